"""The demonstration and the benchmark harness do what they show."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from examples.support import ROOT
from nbrewind.demo import run
from nbrewind.demo.run import EDIT, notebook_source
from nbrewind.errors import NotebookError


def test_the_edited_constant_is_in_the_notebook_once() -> None:
    assert notebook_source().read_text(encoding="utf-8").count(EDIT[0]) == 1


def test_a_folder_that_holds_the_notebook_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mapreduce.ipynb").write_text("mine")
    with pytest.raises(NotebookError, match="empty folder"):
        run(tmp_path)
    assert (tmp_path / "mapreduce.ipynb").read_text() == "mine"


@pytest.mark.slow
@pytest.mark.real_kernel
def test_demo_shows_hits_after_an_edit(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nbrewind", "demo", "--keep", str(tmp_path / "demo"), "--json"],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    audit, unchanged, edited = json.loads(done.stdout)["runs"]
    cells = len(audit["cells"])
    assert audit["totals"]["executed"] == cells
    assert unchanged["totals"]["restored"] == cells
    assert 0 < edited["totals"]["executed"] < cells
    counts = [cell["tasks"] for cell in edited["cells"] if cell["tasks"]["run"]]
    assert len(counts) == 1
    assert counts[0]["served"] >= 48
    assert 24 <= counts[0]["run"] <= 47
    assert "Now the parameter cell is edited" in done.stderr


@pytest.mark.real_kernel
def test_the_benchmark_harness_runs_against_any_two_kernels(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    call = [sys.executable, "-m", "benchmarks.audit_overhead", "--quick", "--audit", "python3"]
    done = subprocess.run(
        [*call, "--only", "small cell: assign", "--json", str(figures)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(figures.read_text())["rows"]
    assert row["case"] == "small cell: assign"
    assert row["ratio"] > 0
