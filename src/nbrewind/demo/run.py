"""The three runs of the demonstration and the edit between them."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from nbrewind.demo.tables import audit_line, edit_text, repeat_table, summary
from nbrewind.errors import NBRewindError, NotebookError

NOTEBOOK = "mapreduce.ipynb"
EDIT = ("HOT = 27.0", "HOT = 26.0")
"""The constant that only the heat tasks use."""
LIBRARIES = ("dask", "distributed", "matplotlib", "numpy", "pandas")


@dataclass(frozen=True, slots=True)
class DemoRun:
    """One run of the demonstration: its title, the wall time in seconds, what ``--json`` printed."""

    title: str
    seconds: float
    report: dict[str, Any]


def notebook_source() -> Path:
    """Where the demonstration's notebook is: in the wheel, else in the clone that is installed editable.

    Raises NotebookError when it is in neither place.
    """
    here = Path(__file__).resolve()
    for place in (here.parent / NOTEBOOK, here.parents[3] / "examples" / NOTEBOOK):
        if place.is_file():
            return place
    raise NotebookError(
        f"The demonstration's notebook {NOTEBOOK} is missing from this installation. "
        "Install nbrewind again, or clone the repository and run `make demo` there."
    )


def run(folder: Path | str | None = None, *, as_json: bool = False, console: Console | None = None) -> int:
    """Show audit, unchanged repeat and repeat after an edit; returns the exit code (0 when all went well).

    ``folder`` receives the notebook, its data and its store and is kept; without it a temporary
    folder is used and removed.  Raises NotebookError when a library of the notebook is not
    installed, or when the folder already holds a notebook of that name; NBRewindError when one of
    the runs fails.
    """
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise NotebookError(
            f"The demonstration needs {', '.join(missing)}, not installed here. "
            "Install them with: pip install 'nbrewind[demo]'"
        )
    out = console or Console(stderr=as_json)
    if not out.is_terminal:
        out.width = max(out.width, 118)
    if folder is not None:
        return _show(Path(folder), out, as_json=as_json)
    with tempfile.TemporaryDirectory(prefix="nbrewind-demo-", ignore_cleanup_errors=True) as temporary:
        return _show(Path(temporary), out, as_json=as_json)


def _show(folder: Path, out: Console, *, as_json: bool) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    notebook = folder / NOTEBOOK
    if notebook.exists():
        raise NotebookError(f"{notebook} exists already. Give the demonstration an empty folder.")
    notebook.write_bytes(notebook_source().read_bytes())
    sources = _sources(notebook)

    first = _drive("audit", notebook, out, "1  nbrewind audit")
    out.print(audit_line(first.report, first.seconds))
    second = _drive("repeat", notebook, out, "2  nbrewind repeat, nothing changed")
    out.print(repeat_table(second.title, second.report, sources))
    _edit(notebook)
    out.print(edit_text(*EDIT))
    third = _drive("repeat", notebook, out, "3  nbrewind repeat, one constant changed")
    audited = {cell["cell_id"]: cell["seconds"] for cell in first.report["cells"]}
    out.print(repeat_table(third.title, third.report, _sources(notebook), audited))
    runs = (first, second, third)
    out.print(summary([(one.title, one.seconds, one.report) for one in runs]))
    if as_json:
        plain = [{"title": one.title, "seconds": round(one.seconds, 3), **one.report} for one in runs]
        print(json.dumps({"schema": 1, "runs": plain}))
    return 0


def _drive(verb: str, notebook: Path, out: Console, title: str) -> DemoRun:
    """Run one verb in a new process, its store beside the notebook."""
    environment = {name: value for name, value in os.environ.items() if name != "NBREWIND_STORE"}
    command = [sys.executable, "-m", "nbrewind", verb, notebook.name, "--json"]
    started = time.perf_counter()
    with out.status(f"{title} ..."):
        done = subprocess.run(
            command, cwd=notebook.parent, env=environment, capture_output=True, text=True, check=False
        )
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        raise NBRewindError(
            f"`nbrewind {verb}` ended with exit code {done.returncode}.\n{done.stderr.strip()}"
        )
    report: dict[str, Any] = json.loads(done.stdout)
    return DemoRun(title, seconds, report)


def _sources(notebook: Path) -> list[str]:
    """Sources of the code cells, in order: what ``index`` of a report counts."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def _edit(notebook: Path) -> None:
    """Change the constant in the file, as a person would in an editor."""
    text = notebook.read_text(encoding="utf-8")
    before, after = EDIT
    if text.count(before) != 1:
        raise NotebookError(f"{notebook} no longer holds the line {before!r}, which the demonstration edits.")
    notebook.write_text(text.replace(before, after), encoding="utf-8")
