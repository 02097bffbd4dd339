"""Audit an example, repeat it unchanged, edit one constant, repeat, and go back."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import nbformat
import pytest

from examples.support import ROOT, Site, outputs, results_only
from nbrewind.store import Store

pytestmark = [pytest.mark.real_kernel, pytest.mark.slow]

MAPREDUCE = "mapreduce.ipynb"
MAPREDUCE_TASKS = {"climate", "add", "heat", "merge", "table"}
MAPREDUCE_FIRST = Counter({"climate": 24, "add": 23, "heat": 24, "merge": 23, "table": 1})
SMALLER = {"RESAMPLES = 2_000": "RESAMPLES = 40", "ROWS = 20_000": "ROWS = 5_000"}
HOT = ("HOT = 27.0", "HOT = 26.0")
HOT_CELLS = {"parameters", "run", "result", "plot-heat"}

CONVOLUTION = "convolution.ipynb"
STAR = ("(880, 880, 6.0)", "(880, 880, 5.0)")
STAR_CELLS = {"parameters", "sky", "cut", "map", "collect", "stitch", "show"}
STAR_TILES = 4
"""The disc reaches from row and column 873 to 887; with their rims, tiles 13 and 14 see it both ways."""


def by_action(reports: list[dict[str, Any]], ids: list[str]) -> dict[str, set[str]]:
    """Ids of the cells by what happened to them."""
    assert len(reports) == len(ids)
    found: dict[str, set[str]] = {}
    for cell, report in zip(ids, reports, strict=True):
        found.setdefault(report["action"], set()).add(cell)
    return found


@pytest.mark.parametrize("name", [MAPREDUCE, CONVOLUTION, "rag_bm25.ipynb", "climate_trend.ipynb"])
def test_examples_are_valid_notebooks_without_outputs(name: str) -> None:
    content = nbformat.read(ROOT / "examples" / name, as_version=4)
    nbformat.validate(content)
    assert (content.nbformat, content.nbformat_minor) == (4, 5)
    ids = [cell["id"] for cell in json.loads((ROOT / "examples" / name).read_text())["cells"]]
    assert len(ids) == len(set(ids))
    assert all(not cell.outputs for cell in content.cells if cell.cell_type == "code")


class Story:
    """One example and the edit whose effect is known; the steps are the same for every client."""

    def __init__(self, site: Site, first: Counter[str], edit: tuple[str, str]) -> None:
        self.site, self.first, self.edit = site, first, edit

    def run(self, way: str, kernel: str) -> tuple[list[dict[str, Any]], dict[str, list[Any]]]:
        """Reports and outputs of one run; papermill's reports come from the history."""
        out = self.site.folder.parent / "out.ipynb"
        if way == "cli":
            verb = kernel.removeprefix("nbrewind-")
            return self.site.command(verb, "-o", str(out))["cells"], outputs(out)
        reports = self.site.drive(way, kernel, out)
        if way == "papermill":
            with_history = Store.open(self.site.folder / ".nbrewind", readonly=True)
            try:
                newest = with_history.runs()[0]
                reports = [{"action": commit.action} for commit in with_history.path_to(newest.head)]
                reports = reports[-len(self.site.ids()) :]
            finally:
                with_history.close()
        return reports, outputs(out)

    def tell(self, way: str, changed: set[str]) -> Counter[str]:
        """The whole story; returns the executions that the edit caused."""
        site, ids = self.site, self.site.ids()
        reports, audited = self.run(way, "nbrewind-audit")
        assert by_action(reports, ids) == {"executed": set(ids)}
        site.ran(self.first)
        first = site.counts()
        assert site.clusters() == 1

        reports, repeated = self.run(way, "nbrewind-repeat")
        assert by_action(reports, ids) == {"restored": set(ids)}
        assert site.counts() == first, "a task ran although nothing changed"
        assert site.clusters() == 1, "a cluster started although nothing changed"
        assert repeated == audited

        site.edit(*self.edit)
        reports, edited = self.run(way, "nbrewind-repeat")
        assert by_action(reports, ids) == {"executed": changed, "restored": set(ids) - changed}
        ran = site.counts() - first
        assert site.clusters() == 2, "tasks ran elsewhere than on the notebook's cluster"
        assert results_only(edited) == results_only(self.plain()), "not what a plain kernel gives"

        site.edit(*reversed(self.edit))
        reports, back = self.run(way, "nbrewind-repeat")
        assert by_action(reports, ids) == {"restored": set(ids)}
        assert site.counts() == first + ran, "going back to an old value is a hit"
        assert site.clusters() == 2
        assert results_only(back) == results_only(audited)
        return ran

    def plain(self) -> dict[str, list[Any]]:
        """Outputs of the edited notebook under a plain kernel in a folder of its own."""
        other = self.site.folder.parent / "plain"
        other.mkdir()
        text = self.site.notebook.read_text(encoding="utf-8")
        (other / "marks").mkdir()
        text = text.replace(str(self.site.marks), str(other / "marks"))
        copy = Site(other, other / self.site.notebook.name, other / "marks", self.site.cluster)
        copy.notebook.write_text(text, encoding="utf-8")
        # The plain run shares the preload hook, but must not count into this site's log of the cluster.
        before = self.site.cluster.read_text()
        copy.drive("nbclient", "python3", other / "out.ipynb")
        self.site.cluster.write_text(before)
        return outputs(other / "out.ipynb")


@pytest.mark.parametrize("way", ["cli", "lab", "nbclient", "papermill"])
def test_mapreduce_runs_only_what_an_edit_affects(tmp_path: Path, way: str) -> None:
    site = Site.make(tmp_path, MAPREDUCE, MAPREDUCE_TASKS, None if way == "cli" else SMALLER)
    ran = Story(site, MAPREDUCE_FIRST, HOT).tell(way, HOT_CELLS)
    assert set(ran) <= {"heat", "merge"}
    assert ran["heat"] == 24
    assert 0 < ran["merge"] <= 23


@pytest.mark.parametrize("way", ["cli", "lab", "nbclient", "papermill"])
def test_convolution_runs_only_the_tiles_that_see_the_star(tmp_path: Path, way: str) -> None:
    site = Site.make(tmp_path, CONVOLUTION, {"convolve"})
    ran = Story(site, Counter(convolve=256), STAR).tell(way, STAR_CELLS)
    assert ran == {"convolve": STAR_TILES}


def test_files_of_mapreduce_come_back(tmp_path: Path) -> None:
    """Data and result are state of the notebook: deleted, they are laid down again (R6)."""
    site = Site.make(tmp_path, MAPREDUCE, MAPREDUCE_TASKS, SMALLER)
    site.command("audit")
    result = site.folder / "results" / "mapreduce.json"
    station = site.folder / "data" / "stations" / "station_03.csv"
    before = result.read_bytes(), station.read_bytes()
    result.unlink()
    station.unlink()
    site.command("repeat")
    assert (result.read_bytes(), station.read_bytes()) == before
    site.ran(MAPREDUCE_FIRST)


def test_an_edit_of_the_collecting_cell_is_served_from_the_log(tmp_path: Path) -> None:
    """The futures of the cell above are gone with their process; its tasks are not run again."""
    site = Site.make(tmp_path, CONVOLUTION, {"convolve"})
    site.command("audit")
    site.edit("done = {}", "done = dict()")
    report = site.command("repeat")
    actions = dict(zip(site.ids(), (cell["action"] for cell in report["cells"]), strict=True))
    assert actions["collect"] == "executed"
    assert actions["map"] in {"recomputed", "restored"}
    site.ran({"convolve": 256})
