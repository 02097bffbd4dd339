"""Reading, addressing and writing notebook files."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from nbrewind.errors import NotebookError, UsageError
from nbrewind.kernel.notebook import check_writable, code_cells, find_cells, read_notebook, write_notebook


def save(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


def old_notebook(minor: int) -> dict[str, object]:
    cell = {
        "cell_type": "code",
        "source": ["a = 1\n", "a"],
        "metadata": {},
        "outputs": [],
        "execution_count": None,
    }
    return {"nbformat": 4, "nbformat_minor": minor, "metadata": {}, "cells": [cell]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("print('I am a script')", "not JSON"),
        ("", "not JSON"),
        ("[1, 2]", "no key 'nbformat'"),
        ({"cells": []}, "no key 'nbformat'"),
        ({"nbformat": 4, "nbformat_minor": 5, "metadata": {}}, "not a valid notebook"),
        (
            {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "code"}]},
            "not a valid",
        ),
        ({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": 3}, "not a valid notebook"),
    ],
)
def test_what_is_no_notebook_is_told_in_one_paragraph(tmp_path: Path, content: object, words: str) -> None:
    path = save(tmp_path / "x.ipynb", content)
    with pytest.raises(NotebookError, match=words) as caught:
        read_notebook(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_missing_files_folders_and_bytes(tmp_path: Path) -> None:
    with pytest.raises(NotebookError, match="does not exist"):
        read_notebook(tmp_path / "none.ipynb")
    with pytest.raises(NotebookError, match="is a folder"):
        read_notebook(tmp_path)
    (tmp_path / "b.ipynb").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(NotebookError, match="cannot be read"):
        read_notebook(tmp_path / "b.ipynb")


@pytest.mark.parametrize("minor", [2, 4, 5])
def test_the_minor_version_is_kept_and_sources_are_joined(tmp_path: Path, minor: int) -> None:
    notebook = read_notebook(save(tmp_path / "x.ipynb", old_notebook(minor)))
    assert notebook.cells[0].source == "a = 1\na"
    write_notebook(notebook, tmp_path / "y.ipynb")
    written = json.loads((tmp_path / "y.ipynb").read_text("utf-8"))
    assert written["nbformat_minor"] == minor
    assert ("id" in written["cells"][0]) == (minor >= 5)  # ids exist from 4.5 on
    nbformat.validate(written)


def test_cells_are_addressed_by_number_id_and_tag() -> None:
    first, second = new_code_cell("1", id="one"), new_code_cell("", id="two")
    first.metadata["tags"] = ["t"]
    last = new_code_cell("3", id="three", metadata={"tags": ["t", "plots"]})
    notebook = new_notebook(cells=[first, new_markdown_cell("# x", id="text"), second, last])
    assert len(code_cells(notebook)) == 3
    assert find_cells(notebook, "0") == [0] and find_cells(notebook, "2") == [2]
    assert find_cells(notebook, "id:two") == [1]
    assert find_cells(notebook, "tag:t") == [0, 2]
    for unknown in ("3", "id:text", "tag:none", "id:", "-1", "1.5", "x", "", "²"):
        with pytest.raises(UsageError):
            find_cells(notebook, unknown)


def test_writing_keeps_permissions_and_links_and_leaves_nothing_behind(tmp_path: Path) -> None:
    target = save(tmp_path / "real.ipynb", "{}")
    target.chmod(0o640)
    link = tmp_path / "link.ipynb"
    link.symlink_to(target)
    write_notebook(new_notebook(cells=[new_code_cell("1")]), link)
    assert link.is_symlink() and read_notebook(target).cells[0].source == "1"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.ipynb", "real.ipynb"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = save(tmp_path / "x.ipynb", "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NotebookError, match="No space left"):
        write_notebook(new_notebook(), target)
    assert target.read_text("utf-8") == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["x.ipynb"]


def test_places_that_cannot_be_written_are_refused_first(tmp_path: Path) -> None:
    check_writable(tmp_path / "new.ipynb")
    with pytest.raises(NotebookError, match="is a folder"):
        check_writable(tmp_path)
    with pytest.raises(NotebookError, match="does not exist"):
        check_writable(tmp_path / "no" / "x.ipynb")
