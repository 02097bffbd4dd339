"""Papermill through its entry point: parameters, files, errors, prints, and where the store is."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from papermill.engines import papermill_engines
from papermill.exceptions import PapermillExecutionError

from nbrewind.errors import NotebookError
from nbrewind.kernel.papermill import RewindEngine
from nbrewind.store import Store

pytestmark = pytest.mark.real_kernel

PYTHON = {"name": "python3", "language": "python", "display_name": "Python 3"}
CELLS = (
    "n = 1",
    "from pathlib import Path\nPath('data').mkdir()\nrows = list(range(100))",
    "total = sum(rows) * n\nPath(f'data/{n}.txt').write_text(str(total))\nprint('total', total)",
    "len(rows)",
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory, and the engine as its entry point would register it."""
    monkeypatch.delenv("NBREWIND_STORE", raising=False)
    monkeypatch.chdir(tmp_path)
    registered = dict(papermill_engines._engines)
    papermill_engines.register("nbrewind", RewindEngine)
    yield tmp_path
    papermill_engines._engines = registered


def save(path: Path, *sources: str, kernelspec: dict[str, str] | None = None, **tags: list[str]) -> Path:
    cells = [
        new_code_cell(source, id=f"c{index}", metadata={"tags": tags.get(f"c{index}", [])})
        for index, source in enumerate(sources)
    ]
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernelspec or PYTHON}), path)
    return path


def run(source: Path | str, target: Path | str, n: int | None = None, **more: Any) -> Any:
    parameters = {} if n is None else {"n": n}
    return papermill.execute_notebook(
        source, target, parameters, engine_name="nbrewind", progress_bar=False, **more
    )


def actions(store: Path) -> list[str]:
    """What the newest run did."""
    opened = Store.open(store, readonly=True)
    try:
        return [commit.action for commit in opened.commits(opened.runs()[0].id)]
    finally:
        opened.close()


def test_the_entry_point_is_the_engine() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    module, _, name = project["entry-points"]["papermill.engine"]["nbrewind"].partition(":")
    assert getattr(importlib.import_module(module), name) is RewindEngine
    assert not any(word.startswith("papermill") for word in project["dependencies"])


def test_only_papermill_imports_it() -> None:
    code = "import nbrewind.cli.running, sys; print('papermill' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_parameter_runs_what_it_reaches(folder: Path) -> None:
    save(folder / "in.ipynb", *CELLS, c0=["parameters"])
    (folder / "out").mkdir()
    store = folder / ".nbrewind"
    for n, expected in (
        (2, ["executed"] * 5),
        (2, ["restored"] * 5),
        (3, ["restored", "executed", "restored", "executed", "restored"]),
        (2, ["restored"] * 5),
    ):
        book = run("in.ipynb", f"out/{n}.ipynb", n)
        assert actions(store) == expected
        assert book.cells[3].outputs[0].text == f"total {4950 * n}\n"
        assert book.cells[4].outputs[0].data["text/plain"] == "100"
        assert book.metadata.kernelspec == PYTHON and book.metadata.papermill.exception is None
        assert {cell.metadata.papermill.status for cell in book.cells} == {"completed"}
        assert (
            nbformat.read(folder / f"out/{n}.ipynb", as_version=4).cells[3].outputs == book.cells[3].outputs
        )
    assert (folder / "data/2.txt").read_text() == "9900" and (folder / "data/3.txt").read_text() == "14850"
    assert not (folder / "out/.nbrewind").exists()


def test_the_store_is_beside_the_input_wherever_it_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "books").mkdir()
    (folder / "work").mkdir()
    save(folder / "books/in.ipynb", "n = 1", "open('made.txt', 'w').write('x')")
    run("books/in.ipynb", "out.ipynb", cwd="work")
    assert (folder / "work/made.txt").exists() and (folder / "out.ipynb").exists()
    assert actions(folder / "books/.nbrewind") == ["executed"] * 2
    run("books/in.ipynb", "out.ipynb", cwd="work")
    assert actions(folder / "books/.nbrewind") == ["restored"] * 2
    monkeypatch.setenv("NBREWIND_STORE", str(folder / "elsewhere"))
    run("books/in.ipynb", "other.ipynb", cwd="work")
    assert len(actions(folder / "elsewhere")) == 2
    monkeypatch.delenv("NBREWIND_STORE")
    run(nbformat.read("books/in.ipynb", as_version=4), None)  # in memory: where it runs
    assert len(actions(folder / ".nbrewind")) == 2


def test_an_error_is_papermills(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    save(folder / "in.ipynb", "print('before')", "1 / 0", "print('never')")
    with pytest.raises(PapermillExecutionError, match="ZeroDivisionError"):
        run("in.ipynb", "out.ipynb")
    code = [c for c in nbformat.read("out.ipynb", as_version=4).cells if c.cell_type == "code"]
    assert [cell.metadata.papermill.status for cell in code] == ["completed", "failed", "pending"]
    assert code[0].outputs[0].text == "before\n" and code[2].outputs == []
    save(folder / "in.ipynb", "print('before')", "1 / 1", "print('after')")
    run("in.ipynb", "out.ipynb")
    assert actions(folder / ".nbrewind") == ["restored", "executed", "executed"]


def test_what_cells_print_is_logged(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(folder / "in.ipynb", "print('a word')")
    for summary in ("1 executed", "1 restored"):
        caplog.clear()
        with caplog.at_level("INFO", "papermill"), (folder / "said.txt").open("w") as said:
            run("in.ipynb", "out.ipynb", log_output=True, stdout_file=said)
        assert "a word" in caplog.text and summary in caplog.text
        assert (folder / "said.txt").read_text() == "a word\n"


def test_kernels(folder: Path) -> None:
    save(folder / "in.ipynb", "1")
    run("in.ipynb", "out.ipynb", kernel_name="nbrewind-audit")
    run("in.ipynb", "out.ipynb", kernel_name="nbrewind-audit")
    assert actions(folder / ".nbrewind") == ["executed"]
    with pytest.raises(NotebookError, match="not one of nbrewind's"):
        run("in.ipynb", "out.ipynb", kernel_name="python3")
    save(folder / "r.ipynb", "1", kernelspec={"name": "ir", "language": "R", "display_name": "R"})
    with pytest.raises(NotebookError, match="written in R"):
        run("r.ipynb", "out.ipynb")
    save(folder / "dead.ipynb", "import os\nos._exit(3)")
    with pytest.raises(NotebookError, match="kernel stopped"):
        run("dead.ipynb", "out.ipynb")
