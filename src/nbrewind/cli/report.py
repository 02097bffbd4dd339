"""``nbrewind report``: one page that shows a notebook, its runs and its data-flow."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nbrewind.cli.common import (
    DebugOption,
    JsonOption,
    MaxSizeOption,
    StoreOption,
    full_path,
    open_existing,
    print_json,
    store_path,
    verb,
)
from nbrewind.errors import OK, NotebookError
from nbrewind.report.book import Cell

if TYPE_CHECKING:
    from nbrewind.store import Store

_EXAMPLE = """\b
Examples:
  nbrewind report analysis.ipynb                  writes analysis.report.html
  nbrewind report analysis.ipynb -o page.html --runs 3
  nbrewind report paper.zip -o paper.html
"""


def report(
    notebook: Annotated[
        Path, typer.Argument(metavar="NOTEBOOK|PACKAGE", help="The notebook (.ipynb), or a package.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="PAGE", help="The page; default NOTEBOOK.report.html."),
    ] = None,
    runs: Annotated[int, typer.Option("--runs", min=1, help="Show at most so many runs.")] = 10,
    store: StoreOption = None,
    max_size: MaxSizeOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Write one page in HTML: cells with outputs, what each run did and why, tasks, data-flow, storage.

    It needs no network, and nothing of the outputs in it can run.  No value is loaded, so a package
    need not be trusted.
    """
    target = out or notebook.with_name(f"{notebook.stem}.report.html")
    with shown_notebook(notebook, store, max_size) as (path, opened):
        text, runs, cells = _page(path, opened, runs)
    try:
        target.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise NotebookError(f"The page cannot be written to {target} ({error.strerror}).") from error
    if as_json:
        from nbrewind.report.jsonview import SCHEMA

        print_json({"schema": SCHEMA, "page": str(target), "runs": runs, "bytes": target.stat().st_size})
        return OK
    print(f"{target}: {runs} run(s), {cells} cells")
    return OK


def _page(path: Path, store: Store, limit: int) -> tuple[str, int, int]:
    from nbrewind.package.environment import recorded
    from nbrewind.report.book import gather
    from nbrewind.report.html.page import page
    from nbrewind.values.images import references

    cells = notebook_cells(path)
    book = gather(store, title=path.name, label=str(full_path(path)), cells=cells, limit=limit)
    environments = [recorded(store, view.run) for view in book.runs]
    return page(book, store, references, environments), len(book.runs), len(cells)


@contextlib.contextmanager
def shown_notebook(
    place: Path, store: Path | None, max_size: str | None = None
) -> Iterator[tuple[Path, Store]]:
    """A notebook and its store to look at; those of a package lie in a folder that is gone at the end.

    Raises:
        StoreError: there is no store, or it cannot be read.
        PackageError: the package is damaged.
    """
    if place.suffix == ".ipynb":
        opened = open_existing(store_path(place, store))
        try:
            yield place, opened
        finally:
            opened.close()
        return
    from nbrewind.cli.packages import open_package

    with tempfile.TemporaryDirectory(prefix="nbrewind-look-") as folder:
        # Trusted only as far as looking goes: its rows and outputs are verified and read, nothing is loaded.
        unpacked = open_package(place, Path(folder) / "look", trust=True, required=False, max_size=max_size)
        with shown_notebook(unpacked.notebook, unpacked.store) as shown:
            yield shown


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
