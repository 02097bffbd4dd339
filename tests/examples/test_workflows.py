"""A client that serves several cells: audit, repeat, edits of a helper, of an input file and of a constant."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from examples.support import Site, outputs

pytestmark = [pytest.mark.real_kernel, pytest.mark.slow]


@dataclass(frozen=True)
class Edit:
    """One edit and all that it may cause."""

    make: Callable[[Site], None]
    cells: set[str]
    tasks: dict[str, int]


@dataclass(frozen=True)
class Workflow:
    """An example made small, and what its edits cause, one after another.

    The edit of the last stage comes last: its tasks work on what the earlier edits left in the
    log, so one comparison with a plain kernel at the end tells of all three.
    """

    notebook: str
    first: dict[str, int]
    smaller: dict[str, str]
    edits: list[Edit]
    starts: Callable[[Site], int]


def replacing(before: str, after: str) -> Callable[[Site], None]:
    return lambda site: site.edit(before, after)


def in_file(path: str, before: str, after: str) -> Callable[[Site], None]:
    """Replace the first ``before`` in a file of the notebook's folder."""

    def edit(site: Site) -> None:
        text = (site.folder / path).read_text()
        assert before in text
        (site.folder / path).write_text(text.replace(before, after, 1))

    return edit


BM25 = Workflow(
    "rag_bm25.ipynb",
    first={"chunk": 4, "count": 4, "build": 1, "search": 4},
    smaller={"BOOKS = 12": "BOOKS = 4", "PARAGRAPHS = 120": "PARAGRAPHS = 20"},
    edits=[
        Edit(
            replacing('word.removesuffix(\\"s\\")', "word"),
            {"tokens", "run-counts", "run-index", "run-queries", "table", "prompts", "plot"},
            {"count": 4, "build": 1, "search": 4},
        ),
        Edit(
            in_file("data/books/book_02.txt", "star", "harbour"),
            {
                "write-books",
                "run-chunks",
                "run-counts",
                "run-index",
                "run-queries",
                "table",
                "prompts",
                "plot",
            },
            {"chunk": 1, "count": 1, "build": 1, "search": 4},
        ),
        Edit(
            replacing("K1, B = 1.2, 0.75", "K1, B = 1.6, 0.75"),
            {"parameters", "write-books", "run-queries", "table", "prompts", "plot"},
            {"search": 4},
        ),
    ],
    starts=Site.clusters,
)


def plain(site: Site) -> Path:
    """The executed notebook of a plain kernel in a folder with the same data."""
    other = Site(
        site.folder.parent / "plain",
        site.folder.parent / "plain" / site.notebook.name,
        site.marks,
        site.cluster,
    )
    other.folder.mkdir()
    shutil.copytree(site.folder / "data", other.folder / "data")
    shutil.copy(site.notebook, other.notebook)
    other.drive("nbclient", "python3", other.folder / "out.ipynb")
    return other.folder / "out.ipynb"


@pytest.mark.parametrize("flow", [BM25], ids=lambda flow: flow.notebook)
def test_only_what_an_edit_affects_runs(tmp_path: Path, flow: Workflow) -> None:
    site = Site.make(tmp_path, flow.notebook, set(flow.first), flow.smaller)
    out = tmp_path / "out.ipynb"
    ids = site.ids()

    def executed(verb: str) -> set[str]:
        cells = site.command(verb, "-o", str(out))["cells"]
        return {cell for cell, report in zip(ids, cells, strict=True) if report["action"] != "restored"}

    assert executed("audit") == set(ids)
    site.ran(flow.first)
    audited = outputs(out)

    before = site.counts()
    assert executed("repeat") == set()
    site.ran({}, before, "a task ran although nothing changed")
    assert flow.starts(site) == 1, "an engine started although nothing changed"
    assert outputs(out) == audited

    for number, edit in enumerate(flow.edits, 2):
        before = site.counts()
        edit.make(site)
        assert executed("repeat") == edit.cells
        site.ran(edit.tasks, before)
        assert flow.starts(site) == number
    assert outputs(out) == outputs(plain(site)), "not what a plain kernel gives"
