"""Tasks of several cells: audit, repeat, edits of a function, of an input file and of a constant."""

from __future__ import annotations

import os
import shutil
import sys
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
    """Engines that have started so far."""


def replacing(before: str, after: str) -> Callable[[Site], None]:
    return lambda site: site.edit(before, after)


def in_file(path: str, before: str, after: str) -> Callable[[Site], None]:
    """Replace the first ``before`` in a file of the notebook's folder."""

    def edit(site: Site) -> None:
        text = (site.folder / path).read_text()
        assert before in text
        (site.folder / path).write_text(text.replace(before, after, 1))

    return edit


def interchanges(site: Site) -> int:
    """Executors of Parsl that have started so far."""
    return len(list(site.folder.glob("runinfo/*/*/interchange.log")))


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


CLIMATE = Workflow(
    "climate_trend.ipynb",
    first={"read": 4, "anomalies": 4, "trend": 4, "regional": 1},
    smaller={
        "STATIONS = 12": "STATIONS = 4",
        # In processes of their own: what threads of the notebook append to a file is the notebook's.
        "ThreadPoolExecutor(max_threads=2)": 'HighThroughputExecutor(address="127.0.0.1", '
        'loopback_address="127.0.0.1", max_workers_per_node=2, provider=LocalProvider(max_blocks=1))',
        "import ThreadPoolExecutor": "import HighThroughputExecutor\nfrom parsl.providers import LocalProvider",
    },
    edits=[
        Edit(
            in_file("data/stations/station_02.csv", ".1", ".9"),
            # A month of 1951: the trend since 1971 is computed again, and gives the same.
            {"write-stations", "run-anomalies", "run-trends", "plot-region"},
            {"read": 1, "anomalies": 1, "trend": 1, "regional": 1},
        ),
        Edit(
            replacing("BASE = (1961, 1990)", "BASE = (1971, 2000)"),
            # Slopes differ in their last bits, which the table rounds away.
            {"parameters", "write-stations", "run-anomalies", "run-trends", "table", "plot-region"},
            {"anomalies": 4, "trend": 4, "regional": 1},
        ),
        Edit(
            replacing("float(20 * error)", "float(10 * error)"),
            {"trend", "write-stations", "run-trends", "table", "plot-trends"},
            {"trend": 4},
        ),
    ],
    starts=interchanges,
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


@pytest.mark.parametrize("flow", [BM25, CLIMATE], ids=lambda flow: flow.notebook)
def test_only_what_an_edit_affects_runs(
    tmp_path: Path, flow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Parsl starts commands of its own by their names.
    monkeypatch.setenv("PATH", os.path.dirname(sys.executable), prepend=os.pathsep)
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
