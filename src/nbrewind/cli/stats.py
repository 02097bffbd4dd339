"""``nbrewind stats``: what a store holds and how large it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from nbrewind.report.book import Book

_EXAMPLE = """\b
Example:
  nbrewind stats --store results/.nbrewind
"""


def stats(store: StoreOption = None, as_json: JsonOption = False, debug: DebugOption = False) -> int:
    """Count runs, records, tasks and bytes of the store; bytes by cell and name of the newest run.

    Logical bytes are what a cell's results, outputs and files hold; stored bytes what of that no
    earlier cell or run had put into the store.
    """
    path = store_path(None, store)
    opened = open_existing(path)
    from nbrewind.report.book import gather
    from nbrewind.report.storage import storage
    from nbrewind.values.images import references

    try:
        figures = opened.stats()
        book = gather(opened, title="", label=None)
        found = storage(book, opened, references)
    finally:
        opened.close()
    cells = [
        {"index": index, "logical": found.cells[key].logical, "stored": found.cells[key].stored}
        for key, index in _positions(book)
        if key in found.cells
    ]
    if as_json:
        from nbrewind.report.jsonview import SCHEMA

        sizes = {"cells": cells, "names": found.names}
        print_json({"schema": SCHEMA, "store": str(path), "stats": figures, **sizes})
        return OK
    from nbrewind.report.words import size

    print(f"store: {path}")
    for key, value in figures.items():
        shown = size(value) if "bytes" in key and isinstance(value, int | float) else value
        print(f"{key.replace('_', ' ')}: {shown}")
    for cell in cells:
        print(f"cell {cell['index']}: {size(cell['logical'])} logical, {size(cell['stored'])} stored")
    for name, held in sorted(found.names.items(), key=lambda item: -item[1])[:_NAMES]:
        print(f"name {name}: {size(held)}")
    return OK


_NAMES = 20
"""The largest are shown; ``--json`` has all."""


def _positions(book: Book) -> list[tuple[str, int]]:
    """The cells of the newest run with their positions."""
    return [(step.key, step.commit.index) for view in book.runs[:1] for step in view.last.values()]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("stats", epilog=_EXAMPLE)(verb(stats))
