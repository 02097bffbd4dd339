"""``nbrewind clear``: forget everything that a store holds."""

from __future__ import annotations

import sys
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
from nbrewind.errors import OK, UsageError
from nbrewind.store import Store

_EXAMPLE = """\b
Example:
  nbrewind clear --yes
"""


def clear(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Delete the store with all its runs, records and task results. Notebooks are left alone.

    Stop the kernels that use it first.
    """
    path = store_path(None, store)
    opened = open_existing(path)  # refuses a folder that is not a store
    try:
        figures = opened.stats()
    finally:
        opened.close()
    if not yes:
        if as_json or not sys.stdin.isatty():
            raise UsageError(f"This would delete the store {path}. Say so with --yes.")
        answer = input(f"Delete the store {path} with everything it recorded? [y/N] ")
        if answer.strip().lower() not in {"y", "yes"}:
            print("Nothing was deleted.")
            return OK
    Store.open(path, create=False).clear()
    if as_json:
        print_json({"schema": 1, "store": str(path), "deleted": True, "stats": figures})
    else:
        print(f"deleted {path}")
    return OK


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("clear", epilog=_EXAMPLE)(verb(clear))
