"""``report`` and what it says where there is nothing to show."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.conftest import Command, save_book
from support.history import Did, add_run, new_store, stream


def told(folder: Path) -> Path:
    """A notebook with one recorded run."""
    path = save_book(folder / "x.ipynb", "a = 1", "print(a)")
    cells = [Did("a = 1", writes=["a"]), Did("print(a)", reads=["a"], outputs=[stream("printed 1\n")])]
    store = new_store(folder)
    add_run(store, cells, name="aaaa", label=str(path))
    store.close()
    return path


def test_a_page_is_written_beside_the_notebook_or_where_asked(nbrewind: Command, folder: Path) -> None:
    path = told(folder)
    ran = nbrewind("report", path)
    assert ran.code == 0 and "x.report.html: 1 run(s), 3 cells" in ran.out
    text = (folder / "x.report.html").read_text()
    assert "printed 1" in text and "<h1>x.ipynb</h1>" in text
    content = nbrewind("report", path, "-o", "page.html", "--json").json
    assert content["page"] == "page.html" and content["runs"] == 1
    assert content["bytes"] == (folder / "page.html").stat().st_size
    assert [entry.name for entry in (folder / ".nbrewind").iterdir() if "journal" in entry.name] == []


def test_places_that_cannot_be_used_are_named(nbrewind: Command, folder: Path) -> None:
    path = save_book(folder / "x.ipynb", "a = 1")
    assert nbrewind("report", path).code == 4
    told(folder)
    refused = nbrewind("report", path, "-o", folder / "absent" / "page.html")
    assert refused.code == 3 and "absent" in refused.err
    assert nbrewind("report", folder / "other.ipynb").code == 3


def test_a_package_is_shown_without_trust_and_leaves_nothing_behind(
    nbrewind: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = told(folder)
    assert nbrewind("pack", path, "-o", "paper.zip").code == 0
    temporary = folder / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    assert nbrewind("report", "paper.zip", "-o", "paper.html").code == 0
    text = (folder / "paper.html").read_text()
    assert "printed 1" in text and "<h1>x.ipynb</h1>" in text and str(temporary) not in text
    assert "<- 0: a" in nbrewind("graph", "paper.zip").out
    assert nbrewind("report", "paper.zip").out.startswith("paper.report.html")
    assert list(temporary.iterdir()) == []
    (folder / "broken.zip").write_bytes((folder / "paper.zip").read_bytes()[:200])
    assert nbrewind("report", "broken.zip").code not in {0, 70}
