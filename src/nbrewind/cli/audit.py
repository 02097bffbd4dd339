"""``nbrewind audit``: run a notebook once and record everything."""

from __future__ import annotations

import typer

from nbrewind.cli.common import (
    DebugOption,
    JsonOption,
    KeepBytesOption,
    KeepOption,
    KernelOption,
    NotebookArgument,
    OutOption,
    StoreOption,
    UntilOption,
    verb,
)

_EXAMPLE = """\b
Example:
  nbrewind audit analysis.ipynb -o executed.ipynb
"""


def audit(
    notebook: NotebookArgument,
    out: OutOption = None,
    until: UntilOption = None,
    keep: KeepOption = "all",
    keep_bytes: KeepBytesOption = None,
    kernel: KernelOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Run NOTEBOOK from top to bottom and record every cell.

    The executed notebook replaces NOTEBOOK in one step, unless -o names another place.
    """
    from nbrewind.cli.running import Request, run

    return run(
        Request(
            "audit",
            notebook,
            out=out,
            until=until,
            keep=keep,
            keep_bytes=keep_bytes,
            kernel=kernel,
            store=store,
            as_json=as_json,
            debug=debug,
        )
    )


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("audit", epilog=_EXAMPLE)(verb(audit))
