"""Packed at one site, looked at and repeated at another, changed there, packed and repeated at the first again.

``make test-sites``: needs root, mmdebstrap and some minutes the first time.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sites.second_site import HOME, REPOSITORY, USER, Site

pytestmark = [
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        not os.environ.get("NBREWIND_SITES"),
        reason="a second root file system is made by `make test-sites` only",
    ),
]

EDITS = {
    "mapreduce": ("months.round(3)", "months.round(2)"),
    "convolution": ("vmax=2)", "vmax=3)"),
    "climate_trend": None,
    "rag_bm25": ("{text[:160]}", "{text[:120]}"),
}
"""Every example -> an edit of a cell that needs no engine, and that nothing else depends on.

None for Parsl's: which of its kernels is loaded is state of its module, and any cell that executes comes after it.
"""

ON_THEIR_ENGINES = [
    ("convolution", ("(880, 880, 6.0)", "(880, 880, 5.0)"), 4),
    ("climate_trend", ("float(20 * error)", "float(10 * error)"), 12),
    ("rag_bm25", ("K1, B = 1.2, 0.75", "K1, B = 1.6, 0.75"), 4),
]
"""Example, an edit that some of its tasks see, and how many these are."""

ELSEWHERE = ("--engine", "none", "--env", "any")
"""No engine is installed there, and NumPy and pandas are the newest, not those of the first site."""

BY_PARAMETER = """if CLUSTER == "slurm":
    from dask_jobqueue import SLURMCluster

    cluster = SLURMCluster(cores=1, processes=1, memory="600MB", walltime="00:10:00",
                           scheduler_options={"host": "127.0.0.1", "dashboard_address": None})
    cluster.scale(jobs=2)
else:
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0")
"""
"""The line that makes the cluster, where a parameter says which."""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """The other site, with an empty home."""
    found = Site.make(REPOSITORY / ".site-trixie")
    found.refresh()
    found.engines()
    for path in found.home.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    yield found


def here(*arguments: str, folder: Path) -> dict[str, Any]:
    """One verb at the first site."""
    done = subprocess.run(
        [sys.executable, "-m", "nbrewind", *arguments, "--json"], cwd=folder, capture_output=True, text=True
    )
    assert done.stdout, done.stderr
    content: dict[str, Any] = json.loads(done.stdout)
    return content


def outputs(notebook: Path) -> list[Any]:
    """What its cells show: displays and errors in order, and the text of each stream, however it was cut."""
    cells = json.loads(notebook.read_text())["cells"]
    found: list[Any] = []
    for cell in cells:
        streams: dict[str, str] = {}
        for output in cell.get("outputs", []):
            if output["output_type"] == "stream":
                streams[output["name"]] = streams.get(output["name"], "") + "".join(output["text"])
        shown = [{**one, "execution_count": 0} for one in cell.get("outputs", []) if "text" not in one]
        found.append((streams, shown))
    return found


def printed(notebook: Path) -> list[str]:
    """What its cells print but for times: other versions of matplotlib draw other pictures."""
    lines = [line for streams, _ in outputs(notebook) for line in streams.get("stdout", "").splitlines()]
    return [line for line in lines if not line.startswith(("CPU times", "Wall time"))]


def executed(content: dict[str, Any]) -> list[int]:
    """Cells of which code ran."""
    return [cell["index"] for cell in content["cells"] if cell["action"] not in {"restored", "skipped"}]


def edit(notebook: Path, before: str, after: str) -> None:
    """Replace one text, which must occur once."""
    content = notebook.read_text()
    assert content.count(before) == 1, before
    notebook.write_text(content.replace(before, after))


def packed_here(folder: Path, name: str, site: Site, *changes: tuple[str, str]) -> Path:
    """An example, changed if asked, audited and packed at the first site; the package is at both."""
    notebook = folder / f"{name}.ipynb"
    shutil.copy(REPOSITORY / "examples" / notebook.name, notebook)
    for change in changes:
        edit(notebook, *change)
    assert here("audit", notebook.name, folder=folder)["status"] == "ok"
    here("pack", notebook.name, "-o", f"{name}.zip", folder=folder)
    shutil.copy(folder / f"{name}.zip", site.home)
    return notebook


def test_every_example_is_here() -> None:
    assert {path.stem for path in (REPOSITORY / "examples").glob("*.ipynb")} == set(EDITS)


@pytest.mark.parametrize("name", EDITS)
def test_there_and_back(site: Site, tmp_path: Path, name: str) -> None:
    notebook = packed_here(tmp_path, name, site)

    # at the second site, which has no engine: nothing runs, and all is as it was recorded
    assert not any(site.has(engine) for engine in ("dask", "distributed", "parsl"))
    assert site.nbrewind("verify", f"{name}.zip")["sound"]
    repeated = site.nbrewind("repeat", f"{name}.zip", "--trust", *ELSEWHERE)
    assert repeated["status"] == "ok" and executed(repeated) == [], repeated["cells"]
    there = site.home / f"{name}-repeat"
    assert outputs(there / notebook.name) == outputs(notebook)

    # one edit there runs one cell
    change = EDITS[name]
    if change is not None:
        edit(there / notebook.name, *change)
        changed = site.nbrewind("repeat", notebook.name, *ELSEWHERE, folder=f"{HOME}/{there.name}")
        assert changed["status"] == "ok" and len(executed(changed)) == 1, changed["cells"]
        assert outputs(there / notebook.name) != outputs(notebook)
    site.nbrewind("pack", notebook.name, "-o", f"../{name}-back.zip", folder=f"{HOME}/{there.name}")

    # and at the first again
    shutil.copy(site.home / f"{name}-back.zip", tmp_path)
    back = here("repeat", f"{name}-back.zip", "--trust", *ELSEWHERE, "--into", "back", folder=tmp_path)
    assert back["status"] == "ok" and executed(back) == [], back["cells"]
    assert outputs(tmp_path / "back" / notebook.name) == outputs(there / notebook.name)
    assert USER not in str(tmp_path)


@pytest.mark.parametrize(("name", "change", "tasks"), ON_THEIR_ENGINES, ids=lambda value: str(value)[:12])
def test_an_edit_runs_there_on_its_engine(
    site: Site, tmp_path: Path, name: str, change: tuple[str, str], tasks: int
) -> None:
    """Once the second site has the engine that the notebook asks for, the tasks that see an edit run on it."""
    notebook = packed_here(tmp_path, name, site)
    site.engines("dask", "distributed", "parsl")
    into = f"{name}-engine"
    site.nbrewind("unpack", f"{name}.zip", "--trust", "-o", into)
    edit(site.home / into / notebook.name, *change)
    changed = site.nbrewind("repeat", notebook.name, "--env", "any", folder=f"{HOME}/{into}")
    assert changed["status"] == "ok"
    assert sum(cell["tasks"]["run"] for cell in changed["cells"]) == tasks, changed["cells"]
    edit(notebook, *change)
    assert here("repeat", notebook.name, folder=tmp_path)["status"] == "ok"
    assert printed(site.home / into / notebook.name) == printed(notebook) != []


def test_tasks_run_there_on_another_engine(site: Site, tmp_path: Path) -> None:
    """An edit that needs tasks, recorded on a cluster: the second site has Dask's threads and no cluster."""
    name, longer = "mapreduce", ("if length >= 2:", "if length >= 3:")
    notebook = packed_here(tmp_path, name, site)
    site.engines("dask")
    assert site.has("dask") and not site.has("distributed")
    into = f"{name}-threads"
    site.nbrewind("unpack", f"{name}.zip", "--trust", "-o", into)
    there = site.home / into / notebook.name
    edit(there, *longer)
    changed = site.nbrewind("repeat", notebook.name, *ELSEWHERE, folder=f"{HOME}/{into}")
    # Cells 11 and 13 show a frame that a cluster had sent and threads did not: equal, but now and then made otherwise.
    assert changed["status"] == "ok" and set(executed(changed)) - {11, 13} == {6, 10, 12, 14}, changed[
        "cells"
    ]
    assert sum(cell["tasks"]["run"] for cell in changed["cells"]) == 95
    site.nbrewind("pack", notebook.name, "-o", f"../{into}.zip", folder=f"{HOME}/{into}")

    recorded = (tmp_path / "results/mapreduce.json").read_bytes()
    # what the other engine gave is what a plain edit at the first site gives, and is taken there
    edit(notebook, *longer)
    assert here("repeat", notebook.name, folder=tmp_path)["status"] == "ok"
    shutil.copy(site.home / f"{into}.zip", tmp_path)
    back = here("repeat", f"{into}.zip", "--trust", *ELSEWHERE, "--into", "back", folder=tmp_path)
    # In threads a sum of two frames shares its index with one of them: it is not stored, and its cell executes.
    assert back["status"] == "ok" and set(executed(back)) <= {10, 11, 12, 13}, back["cells"]
    result = Path("results/mapreduce.json")
    assert (tmp_path / "back" / result).read_bytes() == (tmp_path / result).read_bytes()
    assert (tmp_path / result).read_bytes() != recorded


def test_tasks_run_there_as_jobs_of_slurm(site: Site, tmp_path: Path) -> None:
    """Recorded on a cluster of this machine's processes; an edit at the second site runs as jobs of its Slurm."""
    name, hotter = "mapreduce", ("HOT = 27.0", "HOT = 26.0")
    example = (REPOSITORY / "examples" / f"{name}.ipynb").read_text()
    cluster = re.search(r'"cluster = LocalCluster.*?\\n"', example)
    assert cluster
    notebook = packed_here(
        *(tmp_path, name, site),
        (cluster[0], json.dumps(BY_PARAMETER)),
        ('"HOT = 27.0\\n"', json.dumps('HOT = 27.0\nCLUSTER = "local"\n')),
    )
    site.engines("dask", "distributed", "dask-jobqueue")
    site.settings(interface="lo", queue="main")
    site.nbrewind("unpack", f"{name}.zip", "--trust", "-o", "jobs")
    folder, there = f"{HOME}/jobs", site.home / "jobs" / notebook.name

    # The scheduler is another, and half of the tasks see the edit: the others come from the package.
    edit(there, r"CLUSTER = \"local\"", r"CLUSTER = \"slurm\"")
    edit(there, *hotter)
    changed = site.nbrewind("repeat", notebook.name, "--env", "any", folder=folder, slurm=True)
    assert changed["status"] == "ok" and set(executed(changed)) == {1, 9, 10, 12, 14, 15}, changed["cells"]
    assert [sum(cell["tasks"][what] for cell in changed["cells"]) for what in ("served", "run")] == [48, 47]
    assert site.jobs() == 2

    # Nothing changed: no job is asked for, though Slurm is there.
    again = site.nbrewind("repeat", notebook.name, "--env", "any", folder=folder, slurm=True)
    assert again["status"] == "ok" and executed(again) == [], again["cells"]
    assert site.jobs() == 0
    site.nbrewind("pack", notebook.name, "-o", "../jobs.zip", folder=folder)

    # What the jobs gave is what a plain edit at the first site gives, and is taken there without any engine.
    edit(notebook, *hotter)
    assert here("repeat", notebook.name, folder=tmp_path)["status"] == "ok"
    shutil.copy(site.home / "jobs.zip", tmp_path)
    back = here("repeat", "jobs.zip", "--trust", *ELSEWHERE, "--into", "back", folder=tmp_path)
    assert back["status"] == "ok" and executed(back) == [], back["cells"]
    result = Path("results/mapreduce.json")
    assert (tmp_path / "back" / result).read_bytes() == (tmp_path / result).read_bytes()
