"""A folder with an instrumented copy of an example, and runs of it in new processes.

The copy's task functions append a line to a file of their own each time a worker really runs
them, and Dask's own preload hook tells of every worker process that starts: neither asks
nbrewind what it did.  (A scheduler lives in the kernel, where a hook's file would be an
effect of the cell; no cluster here has a scheduler without workers.)
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DRIVE = Path(__file__).with_name("drive.py")
WORKERS = 2
"""Workers of each example's cluster."""
TIMINGS = {"run", "map", "collect"}
"""Cells whose streams tell seconds: equal on a replay, not between two executions."""


def with_mark(source: str, functions: set[str], marks: Path) -> str:
    """``source`` in which each of ``functions`` first appends a line to the file of its name."""
    if source.startswith("%") or not any(f"def {name}(" in source for name in functions):
        return source
    lines = source.splitlines()
    for node in reversed(ast.parse(source).body):
        if isinstance(node, ast.FunctionDef) and node.name in functions:
            first = node.body[0]
            documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            at = first.end_lineno if documented else first.lineno - 1
            lines[at:at] = [
                f"    with open({str(marks / node.name)!r}, 'a') as _mark:",
                "        _mark.write('ran\\n')",
            ]
    return "\n".join(lines)


@dataclass(frozen=True)
class Site:
    """One folder with one notebook, its store and its counters."""

    folder: Path
    notebook: Path
    marks: Path
    cluster: Path

    @classmethod
    def make(
        cls, folder: Path, example: str, functions: set[str], smaller: dict[str, str] | None = None
    ) -> Site:
        """Copy ``example`` with marks in ``functions`` and texts of ``smaller`` replaced."""
        site = cls(folder / "work", folder / "work" / example, folder / "marks", folder / "cluster")
        site.folder.mkdir(parents=True)
        site.marks.mkdir()
        (folder / "preload.py").write_text(
            "def dask_setup(node):\n"
            f"    with open({str(site.cluster)!r}, 'a') as log:\n"
            "        import os, time\n"
            "        log.write(f'{node.scheduler.address} {os.getpid()} {time.time():.1f}\\n')\n"
        )
        content = json.loads((ROOT / "examples" / example).read_text(encoding="utf-8"))
        for cell in content["cells"]:
            source = "".join(cell["source"])
            for before, after in (smaller or {}).items():
                source = source.replace(before, after)
            if cell["cell_type"] == "code":
                source = with_mark(source, functions, site.marks)
            cell["source"] = source
        site.notebook.write_text(json.dumps(content), encoding="utf-8")
        return site

    def environment(self) -> dict[str, str]:
        """The variables of every run: the store, and Dask's preload hook."""
        preload = repr([str(self.folder.parent / "preload.py")])
        return {
            **os.environ,
            "NBREWIND_STORE": str(self.folder / ".nbrewind"),
            "DASK_DISTRIBUTED__WORKER__PRELOAD": preload,
            "PYTHONPATH": os.pathsep.join(
                filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
            ),
        }

    def edit(self, before: str, after: str) -> None:
        """Replace one text, which must occur once."""
        text = self.notebook.read_text(encoding="utf-8")
        assert text.count(before) == 1, before
        self.notebook.write_text(text.replace(before, after), encoding="utf-8")

    def ids(self) -> list[str]:
        """Ids of the code cells in order."""
        cells = json.loads(self.notebook.read_text(encoding="utf-8"))["cells"]
        return [cell["id"] for cell in cells if cell["cell_type"] == "code"]

    def counts(self) -> Counter[str]:
        """Executions of the marked functions so far, by name."""
        return Counter(
            {path.name: len(path.read_text().splitlines()) for path in self.marks.iterdir() if path.is_file()}
        )

    def clusters(self) -> int:
        """Dask clusters that have started workers so far: a busy machine makes a nanny start one twice."""
        return len({line.split()[0] for line in self._started()})

    def ran(self, expected: Mapping[str, int], before: Counter[str] | None = None, why: str = "") -> None:
        """Workers have run the marked functions just so often since ``before``.

        A worker that Dask lost and started again, as it does on a machine that stands still for a while,
        loses its results, and Dask runs their tasks anew: then they may have run more often.
        """
        found = self.counts() - (before or Counter())
        if found == Counter(expected):
            return
        started = self._started()
        assert len(started) > WORKERS * self.clusters(), f"{why}: {found} ran, not {expected}; {started}"
        assert found.keys() == dict(expected).keys(), (why, found, started)
        assert all(found[name] >= count for name, count in expected.items()), (why, found, started)

    def _started(self) -> list[str]:
        """A line for each worker that was started: its scheduler, its process, when."""
        return self.cluster.read_text().splitlines() if self.cluster.exists() else []

    def command(self, verb: str, *more: str) -> dict[str, Any]:
        """Run ``nbrewind VERB`` with ``--json``; the object that it printed."""
        call = [sys.executable, "-m", "nbrewind", verb, str(self.notebook), "--json", *more]
        done = self._call(call)
        result: dict[str, Any] = json.loads(done)
        return result

    def drive(self, way: str, kernel: str, out: Path) -> list[dict[str, Any]]:
        """Run the notebook by another client; the reports in its replies."""
        done = self._call([sys.executable, str(DRIVE), way, kernel, str(self.notebook), str(out)])
        result: list[dict[str, Any]] = json.loads(done.strip().splitlines()[-1])
        return result

    def _call(self, call: list[str]) -> str:
        for _ in range(3):
            done = subprocess.run(
                call, cwd=self.folder, env=self.environment(), capture_output=True, text=True, timeout=280
            )
            # Jupyter chooses a kernel's ports before the kernel binds them; another test may be faster.
            if done.returncode == 0 or "ZMQError: Address already in use" not in done.stderr:
                break
        assert done.returncode == 0, f"{call[1:5]} ended with {done.returncode}\n{done.stderr[-6000:]}"
        return done.stdout


def outputs(path: Path) -> dict[str, list[Any]]:
    """Outputs of each code cell: streams joined by name, execution counts left out."""
    found: dict[str, list[Any]] = {}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        kept: list[Any] = []
        for output in cell["outputs"]:
            if output["output_type"] == "stream":
                text = "".join(output["text"])
                if kept and kept[-1][:2] == ("stream", output["name"]):
                    kept[-1] = ("stream", output["name"], kept[-1][2] + text)
                else:
                    kept.append(("stream", output["name"], text))
            else:
                kept.append((output["output_type"], output.get("data"), output.get("ename")))
        found[cell["id"]] = kept
    return found


def results_only(found: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Outputs without the streams of cells that print seconds."""
    return {
        cell: [output for output in kept if cell not in TIMINGS or output[0] != "stream"]
        for cell, kept in found.items()
    }
