"""``nbrewind report``: one page that shows a notebook, its runs and its data-flow."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nbrewind.cli.common import (
    DebugOption,
    JsonOption,
    StoreOption,
    full_path,
    open_existing,
    print_json,
    store_path,
    verb,
)
from nbrewind.errors import OK, NotebookError
from nbrewind.report.book import Cell

_EXAMPLE = """\b
Examples:
  nbrewind report analysis.ipynb                  writes analysis.report.html
  nbrewind report analysis.ipynb -o page.html --runs 3
"""


def report(
    notebook: Annotated[Path, typer.Argument(metavar="NOTEBOOK", help="The notebook (.ipynb).")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="PAGE", help="The page; default NOTEBOOK.report.html."),
    ] = None,
    runs: Annotated[int, typer.Option("--runs", min=1, help="Show at most so many runs.")] = 10,
    store: StoreOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Write one page in HTML: cells with outputs, what each run did and why, tasks, data-flow, storage.

    It needs no network, and nothing of the outputs in it can run.  No value is loaded.
    """
    from nbrewind.report.book import gather
    from nbrewind.report.html.page import page
    from nbrewind.values.images import references

    cells = notebook_cells(notebook)
    target = out or notebook.with_suffix(".report.html")
    opened = open_existing(store_path(notebook, store))
    try:
        book = gather(opened, title=notebook.name, label=str(full_path(notebook)), cells=cells, limit=runs)
        text = page(book, opened, references)
    finally:
        opened.close()
    try:
        target.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise NotebookError(f"The page cannot be written to {target} ({error.strerror}).") from error
    if as_json:
        from nbrewind.report.jsonview import SCHEMA

        print_json(
            {"schema": SCHEMA, "page": str(target), "runs": len(book.runs), "bytes": target.stat().st_size}
        )
        return OK
    print(f"{target}: {len(book.runs)} run(s), {len(cells)} cells")
    return OK


def notebook_cells(path: Path) -> list[Cell]:
    """The cells of a notebook's file, as views need them."""
    from nbrewind.kernel.notebook import read_notebook

    found, index = [], 0
    for position, cell in enumerate(read_notebook(path).cells):
        code = cell.cell_type == "code"
        outputs = tuple(dict(output) for output in cell.get("outputs", []))
        key = str(cell.get("id", "")) or f"#{index if code else f't{position}'}"
        found.append(Cell(key, index if code else -1, str(cell.cell_type), str(cell.source), outputs))
        index += code
    return found


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("report", epilog=_EXAMPLE)(verb(report))
