"""``nbrewind stats``: what a store holds and how large it is."""

from __future__ import annotations

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
from nbrewind.errors import OK

_EXAMPLE = """\b
Example:
  nbrewind stats --store results/.nbrewind
"""


def stats(store: StoreOption = None, as_json: JsonOption = False, debug: DebugOption = False) -> int:
    """Count runs, records, tasks and bytes of the store."""
    path = store_path(None, store)
    opened = open_existing(path)
    try:
        figures = opened.stats()
    finally:
        opened.close()
    if as_json:
        from nbrewind.report.jsonview import SCHEMA

        print_json({"schema": SCHEMA, "store": str(path), "stats": figures})
        return OK
    from nbrewind.report.text import size

    print(f"store: {path}")
    for key, value in figures.items():
        shown = size(value) if "bytes" in key and isinstance(value, int | float) else value
        print(f"{key.replace('_', ' ')}: {shown}")
    return OK


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("stats", epilog=_EXAMPLE)(verb(stats))
