"""``nbrewind plan``: what a repeat would do and why; executes nothing."""

from __future__ import annotations

from pathlib import Path

import typer

from nbrewind.cli.common import (
    DebugOption,
    JsonOption,
    NotebookArgument,
    StoreOption,
    full_path,
    open_existing,
    print_json,
    store_path,
    verb,
)
from nbrewind.errors import OK, NBRewindError
from nbrewind.model import CellReport

_EXAMPLE = """\b
Example:
  nbrewind plan analysis.ipynb
"""


def plan(
    notebook: NotebookArgument,
    store: StoreOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Tell cell by cell what `nbrewind repeat NOTEBOOK` would do, and why."""
    from nbrewind.report.jsonview import failure_object, run_object

    try:
        reports, sources = _reports(notebook, store)
    except NBRewindError as error:
        if as_json:
            print_json(failure_object(str(notebook), error))
        raise
    if as_json:
        print_json(run_object(str(notebook), "ok", reports, plan=True))
        return OK
    from nbrewind.report.text import output_console, plan_table
    from nbrewind.report.words import summary_line

    console = output_console()
    console.print(plan_table(reports, sources))
    console.print(summary_line(reports, plan=True))
    return OK


def _reports(path: Path, store: Path | None) -> tuple[list[CellReport], list[str]]:
    from nbrewind.kernel.notebook import cell_tags, code_cells, read_notebook
    from nbrewind.kernel.specs import check_notebook_kernel

    notebook = read_notebook(path)
    check_notebook_kernel(notebook, kernel="any: nothing is started")
    cells = code_cells(notebook)
    sources = [cell.source for cell in cells]
    place, label = store_path(path, store), full_path(path)
    if not place.exists():
        return [
            CellReport(index, str(cell.get("id", "")), "executed", "no record: there is no store yet")
            if cell.source.strip()
            else CellReport(index, str(cell.get("id", "")), "skipped", "empty")
            for index, cell in enumerate(cells)
        ], sources
    from nbrewind.session import PlanCell, plan_notebook

    wanted = [PlanCell(cell.source, str(cell.get("id", "")), tuple(cell_tags(cell))) for cell in cells]
    opened = open_existing(place)
    try:
        return plan_notebook(opened, wanted, label.parent, str(label)), sources
    finally:
        opened.close()


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("plan", epilog=_EXAMPLE)(verb(plan))
