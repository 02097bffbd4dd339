"""Notebooks whose workers are jobs of a real Slurm; ``make test-slurm`` starts one (``run.sh``)."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from examples.support import Site


@dataclass(frozen=True)
class SlurmSite(Site):
    """A folder with one notebook, whose cells are named ``c0``, ``c1`` and so on."""

    def environment(self) -> dict[str, str]:
        """As of any site, with Dask's settings of this one and Parsl's commands on the path."""
        here = super().environment()
        path = os.pathsep.join([os.path.dirname(sys.executable), here["PATH"]])
        return {**here, "PATH": path, "DASK_CONFIG": str(self.folder.parent / "settings")}

    def settings(self, **settings: object) -> None:
        """What this site says of its Slurm, where Dask looks for it."""
        folder = self.folder.parent / "settings"
        folder.mkdir(exist_ok=True)
        (folder / "site.yaml").write_text(json.dumps({"jobqueue": {"slurm": settings}}))

    def executed(self, verb: str) -> set[str]:
        """Run the notebook; the cells that were executed."""
        cells = self.command(verb, "-o", str(self.folder.parent / "out.ipynb"))["cells"]
        print({cell["cell_id"]: cell["reason"] for cell in cells})  # pytest shows it where something fails
        return {cell["cell_id"] for cell in cells if cell["action"] != "restored"}

    def call(self, verb: str) -> list[str]:
        """The command line of a run."""
        return [sys.executable, "-m", "nbrewind", verb, str(self.notebook)]

    @contextmanager
    def started(self, verb: str) -> Iterator[subprocess.Popen[bytes]]:
        """A run of the notebook in a process of its own, which ends with the block."""
        call = [*self.call(verb), "-o", str(self.folder.parent / "out.ipynb")]
        process = subprocess.Popen(call, cwd=self.folder, env=self.environment())
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)

    def printed(self) -> str:
        """What the last cell printed in the last run."""
        cells = json.loads((self.folder.parent / "out.ipynb").read_text())["cells"]
        return "".join(text for output in cells[-1]["outputs"] for text in output.get("text", ()))


def client(*command: str) -> str:
    """What one of Slurm's commands says."""
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def submitted() -> int:
    """Jobs that Slurm has been given so far, by anybody: its own count."""
    found = re.search(r"^NEXT_JOB_ID\s*=\s*(\d+)", client("scontrol", "show", "config"), re.MULTILINE)
    assert found
    return int(found[1])


def partitions(after: int) -> set[str]:
    """Where jobs were submitted to from the one numbered ``after`` on."""
    jobs = [
        line.split() for line in client("squeue", "--noheader", "--states=all", "--format=%i %P").splitlines()
    ]
    return {partition for number, partition in jobs if int(number) >= after}


def running() -> list[str]:
    """Jobs that run now, oldest first."""
    return sorted(client("squeue", "--noheader", "--states=RUNNING", "--format=%i").split(), key=int)


def until(condition: Callable[[], bool], what: str, limit: float = 120.0) -> None:
    """Poll; fails after ``limit`` seconds, saying what did not happen."""
    ends = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < ends, f"{what} did not happen within {limit} s"
        time.sleep(0.02)


@pytest.fixture
def site(tmp_path: Path) -> Callable[[Sequence[str]], SlurmSite]:
    """Makes the folder of a notebook; ``MARKS`` in a cell stands for the folder of the counters."""
    if "SLURM_CONF" not in os.environ or shutil.which("squeue") is None:
        pytest.skip("no Slurm runs here: `make test-slurm` starts one")

    def make(cells: Sequence[str]) -> SlurmSite:
        folder = tmp_path / "work"
        made = SlurmSite(folder, folder / "slurm.ipynb", tmp_path / "marks", tmp_path / "cluster")
        folder.mkdir()
        made.marks.mkdir()
        (tmp_path / "preload.py").write_text("def dask_setup(node):\n    pass\n")
        marks = repr(str(made.marks))
        found = [new_code_cell(s.strip().replace("MARKS", marks), id=f"c{n}") for n, s in enumerate(cells)]
        made.notebook.write_text(json.dumps(new_notebook(cells=found)), encoding="utf-8")
        made.settings(interface="lo", queue="main")
        return made

    return make
