"""``nbrewind repeat``: run only what has to run, restore the rest."""

from __future__ import annotations

from typing import Annotated

import typer

from nbrewind.cli.common import (
    DebugOption,
    JsonOption,
    KernelOption,
    NotebookArgument,
    OutOption,
    StoreOption,
    UntilOption,
    verb,
)

_EXAMPLE = """\b
Examples:
  nbrewind repeat analysis.ipynb
  nbrewind repeat analysis.ipynb --until tag:plots --force 3 -o executed.ipynb
"""


def repeat(
    notebook: NotebookArgument,
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
    trust: Annotated[
        bool, typer.Option("--trust", help="Restore values of a package from elsewhere without a signature.")
    ] = False,
    kernel: KernelOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Run NOTEBOOK again: cells whose inputs did not change are restored, the others run.

    Cells without a record are executed and recorded, so this verb is enough for daily work.
    """
    from nbrewind.cli.running import Request, run

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
            kernel=kernel,
            store=store,
            as_json=as_json,
            debug=debug,
        )
    )


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("repeat", epilog=_EXAMPLE)(verb(repeat))
