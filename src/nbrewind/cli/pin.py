"""``nbrewind pin``: runs that stay whatever the store holds."""

from __future__ import annotations

from typing import Annotated

import typer

from nbrewind.cli.common import (
    DebugOption,
    JsonOption,
    StoreOption,
    open_existing,
    print_json,
    store_path,
    verb,
)
from nbrewind.cli.history import find_run
from nbrewind.errors import OK, UsageError

_EXAMPLE = """\b
Examples:
  nbrewind pin                  the last run stays
  nbrewind pin 3f2a91           the run whose id starts so
  nbrewind pin 3f2a91 --remove  it may go again
"""


def pin(
    run: Annotated[
        str, typer.Argument(metavar="[RUN]", help="Start of a run's id, last, or last~N.")
    ] = "last",
    remove: Annotated[bool, typer.Option("--remove", help="The run is one like the others again.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Keep a run with all that it needs: no `gc` and no budget deletes it.

    `nbrewind log` tells which runs are pinned.
    """
    from nbrewind.cli.common import is_package
    from nbrewind.report.jsonview import SCHEMA, run_summary
    from nbrewind.store import budget

    path = store_path(None, store)
    if is_package(path):
        raise UsageError(f"{path} is a package, which keeps what it has.")
    opened = open_existing(path)
    try:
        found = find_run(opened.runs(), run)
    finally:
        opened.close()
    budget.pin(path, found.id, stays=not remove)
    if as_json:
        print_json({"schema": SCHEMA, "run": run_summary(found), "pinned": not remove})
    else:
        print(f"run {found.id[:12]} {'may go' if remove else 'stays'}: {found.notebook or '-'}")
    return OK


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("pin", epilog=_EXAMPLE)(verb(pin))
