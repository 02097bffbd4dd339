"""``nbrewind repeat``: run only what has to run, restore the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nbrewind.cli.common import (
    DebugOption,
    JsonOption,
    KeepBytesOption,
    KeepOption,
    KernelOption,
    MaxSizeOption,
    OutOption,
    StoreOption,
    TrustOption,
    UntilOption,
    verb,
)
from nbrewind.errors import UsageError

_EXAMPLE = """\b
Examples:
  nbrewind repeat analysis.ipynb
  nbrewind repeat analysis.ipynb --until tag:plots --force 3 -o executed.ipynb
  nbrewind repeat paper.zip --trust --engine none --compare
"""


def repeat(
    notebook: Annotated[
        Path, typer.Argument(metavar="NOTEBOOK|PACKAGE", help="A notebook (.ipynb), or a package of one.")
    ],
    out: OutOption = None,
    until: UntilOption = None,
    force: Annotated[
        list[str] | None,
        typer.Option("--force", metavar="CELL", help="Execute this cell in any case; may be repeated."),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option("--engine", metavar="none", help="With 'none', tasks run in the kernel: no cluster."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Execute nondeterministic cells and their readers again.")
    ] = False,
    env: Annotated[
        str,
        typer.Option("--env", metavar="RULE", help="Which package versions fit: exact, compatible or any."),
    ] = "compatible",
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare the outputs with those that the notebook held before.")
    ] = False,
    trust: TrustOption = False,
    into: Annotated[
        Path | None,
        typer.Option(
            "--into", metavar="DIR", help="Of a package: the new folder to work in; default NAME-repeat."
        ),
    ] = None,
    max_size: MaxSizeOption = None,
    keep: KeepOption = "all",
    keep_bytes: KeepBytesOption = None,
    kernel: KernelOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Run NOTEBOOK again: cells whose inputs did not change are restored, the others run.

    A PACKAGE is verified and unpacked first, and is repeated only with --trust or a known signature.

    Cells without a record are executed and recorded, so this verb is enough for daily work.
    With --compare the exit code is 6 if all went well and the outputs are different; `nbrewind compare`
    has the tolerances.
    """
    from nbrewind.cli.running import Request, run
    from nbrewind.package.layout import is_package

    if is_package(notebook):
        from nbrewind.cli.packages import open_package

        if store is not None:
            raise UsageError("A package brings its own store: --store is for notebooks.")
        notebook = open_package(notebook, into, trust=trust, required=True, max_size=max_size).notebook
    elif into is not None or max_size is not None:
        raise UsageError("--into and --max-size are for packages.")
    return run(
        Request(
            "repeat",
            notebook,
            out=out,
            until=until,
            force=tuple(force or ()),
            engine=engine,
            strict=strict,
            env=env,
            keep=keep,
            keep_bytes=keep_bytes,
            kernel=kernel,
            store=store,
            compare=compare,
            as_json=as_json,
            debug=debug,
        )
    )


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("repeat", epilog=_EXAMPLE)(verb(repeat))
