"""``nbrewind graph``: who feeds whom in a notebook's newest run."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from nbrewind.cli.common import (
    DebugOption,
    JsonOption,
    StoreOption,
    full_path,
    print_json,
    verb,
)
from nbrewind.cli.report import notebook_cells, shown_notebook
from nbrewind.errors import OK, NotebookError, UsageError
from nbrewind.report.dataflow import Flow

_EXAMPLE = """\b
Examples:
  nbrewind graph analysis.ipynb
  nbrewind graph analysis.ipynb -o flow.svg
  nbrewind graph analysis.ipynb --format mermaid --imports
"""


class Form(StrEnum):
    """How the graph is written."""

    text = "text"
    svg = "svg"
    dot = "dot"
    mermaid = "mermaid"
    json = "json"


_SUFFIXES = {
    ".svg": Form.svg,
    ".dot": Form.dot,
    ".gv": Form.dot,
    ".mmd": Form.mermaid,
    ".mermaid": Form.mermaid,
    ".json": Form.json,
    ".txt": Form.text,
}


def graph(
    notebook: Annotated[
        Path, typer.Argument(metavar="NOTEBOOK|PACKAGE", help="The notebook (.ipynb), or a package.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Where to; .svg, .dot, .mmd, .json or .txt tells the form."
        ),
    ] = None,
    form: Annotated[Form | None, typer.Option("--format", help="The form; default text.")] = None,
    imports: Annotated[
        bool, typer.Option("--imports", help="With imported modules and settings too.")
    ] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Show which cell read what of which other cell, in the newest run.

    Dashed: values that cannot be stored, and are made again when a cell needs them.
    """
    form = Form.json if as_json else form or _form_of(out)
    flow = _flow(notebook, store)
    if not imports:
        flow = flow.without_faint()
    if form is Form.json and out is None:
        from nbrewind.report.jsonview import SCHEMA

        print_json({"schema": SCHEMA, "notebook": str(notebook), **flow.object()})
        return OK
    text = _text(flow, form, notebook.name)
    if out is None:
        print(text, end="")
        return OK
    try:
        out.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise NotebookError(f"The graph cannot be written to {out} ({error.strerror}).") from error
    print(f"{out}: {len(flow.nodes)} nodes, {len(flow.edges)} edges")
    return OK


def _form_of(out: Path | None) -> Form:
    if out is None:
        return Form.text
    if out.suffix.lower() not in _SUFFIXES:
        raise UsageError(f"{out} does not tell the form. End it in {', '.join(_SUFFIXES)}, or give --format.")
    return _SUFFIXES[out.suffix.lower()]


def _flow(notebook: Path, store: Path | None) -> Flow:
    from nbrewind.report.book import gather
    from nbrewind.report.dataflow import flow_of

    with shown_notebook(notebook, store) as (path, opened):
        cells = notebook_cells(path)
        book = gather(opened, title=path.name, label=str(full_path(path)), cells=cells, limit=1)
    if not book.runs:
        raise UsageError(
            f"The store has no run of {notebook}. `nbrewind audit {notebook}` makes one; "
            "`nbrewind log` lists the runs there are."
        )
    return flow_of(book.runs[0].steps, {cell.key: cell.index for cell in book.cells if cell.kind == "code"})


def _text(flow: Flow, form: Form, title: str) -> str:
    from nbrewind.report import drawing

    if form is Form.svg:
        return drawing.svg(flow, title=f"Data-flow of {title}") + "\n"
    if form is Form.dot:
        return drawing.dot(flow)
    if form is Form.mermaid:
        return drawing.mermaid(flow)
    if form is Form.json:
        import json

        return json.dumps(flow.object(), ensure_ascii=False, indent=1) + "\n"
    return drawing.words(flow)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("graph", epilog=_EXAMPLE)(verb(graph))
