"""One way to run the command line in this process, and notebooks to run it on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from nbrewind.cli.app import app
from support.jupyter import fake_kernel, jupyter_data

__all__ = ["fake_kernel", "jupyter_data"]


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object on standard output."""
        content: dict[str, Any] = json.loads(self.out)
        return content


Command = Callable[..., Ran]


@pytest.fixture
def nbrewind(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run ``nbrewind ARGS`` and return its exit code and what it printed."""
    monkeypatch.delenv("NBREWIND_STORE", raising=False)
    monkeypatch.delenv("NBREWIND_DEBUG", raising=False)

    def run(*args: object) -> Ran:
        capfd.readouterr()
        with pytest.raises(SystemExit) as caught:
            app([str(arg) for arg in args], prog_name="nbrewind")
        out, err = capfd.readouterr()
        code = caught.value.code
        return Ran(code if isinstance(code, int) else 0, out, err)

    return run


def save_book(path: Path, *sources: str, tags: dict[int, list[str]] | None = None, **metadata: Any) -> Path:
    """Write a notebook with a text cell in front and code cells ``c0``, ``c1``..."""
    cells = [new_code_cell(source, id=f"c{i}") for i, source in enumerate(sources)]
    for index, words in (tags or {}).items():
        cells[index].metadata["tags"] = words
    notebook = new_notebook(cells=[new_markdown_cell("# text", id="text"), *cells], metadata=metadata)
    nbformat.write(notebook, path)
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the current one."""
    place = tmp_path / "work"
    place.mkdir()
    monkeypatch.chdir(place)
    return place
