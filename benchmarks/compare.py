"""``python -m benchmarks.compare``: notebooks N1 to N8 on a plain kernel, the audit kernel and the peers.

Systems take turns, each in a new process and folder.  Per cell: CPU time of the kernel's process up
to the reply (other load on the machine does not count), wall time, and what is on disk once it is
quiet.  Then a new process brings the state back, and a check tells whether it is right.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.driver import CellFailed
from benchmarks.peers import KINDS, Restored, System, systems
from benchmarks.workloads import MAKERS, Workload

Result = dict[str, Any]
QUIET_AFTER = 40
"""Notebooks with more cells wait for quiet only at their end."""


def measure(system: System, work: Workload, folder: Path, patience: float) -> Result:
    """One run of one notebook on one system, and its return in a new process."""
    cells: list[dict[str, float]] = []
    with system.start(folder) as kernel:
        for source in system.attach:
            kernel.run(source)
        kernel.settle()
        kernel.reset_peak()
        before = system.stored(folder)
        begun = time.monotonic()
        for step in work.steps:
            cpu = kernel.cpu_seconds()
            try:
                timing = kernel.run(step.source)
            except (CellFailed, TimeoutError) as error:
                return {"system": system.name, "error": f"{error}"[:200]}
            at_reply = kernel.cpu_seconds() - cpu
            if len(work.steps) <= QUIET_AFTER:
                kernel.settle()
            stored = system.stored(folder) if len(work.steps) <= QUIET_AFTER else 0
            whole = kernel.cpu_seconds() - cpu
            cells.append({"cpu": at_reply, "cpu_all": whole, "wall": timing.reply, "stored": stored - before})
            if time.monotonic() - begun > patience:
                return {
                    "system": system.name,
                    "error": f"gave up after {len(cells)} cells in {patience:.0f} s",
                }
        kernel.settle()
        stored = system.stored(folder) - before
        peak = kernel.peak_bytes()
        truth = kernel.value(work.check)
    restored = system.restore(folder, [step.source for step in work.steps], work.check)
    return {
        "system": system.name,
        "cells": cells,
        "stored": stored,
        "peak": peak,
        "restored": asdict(restored),
        "right": _right(restored, truth),
    }


def _right(restored: Restored, truth: str) -> str:
    if restored.value.startswith("ERROR"):
        return "failed"
    return "right" if restored.value == truth else "wrong"


def summary(work: Workload, runs: list[Result], plain: Result | None) -> Result:
    """The medians of a system's repetitions on one notebook."""
    name = runs[0]["system"]
    good = [run for run in runs if "error" not in run]
    if not good:
        return {"system": name, "error": runs[0]["error"]}
    count = len(work.steps)

    def middle(key: str, cell: int) -> float:
        return statistics.median(run["cells"][cell][key] for run in good)

    cpu = [middle("cpu", cell) for cell in range(count)]
    base = plain["cpu_per_cell"] if plain is not None else cpu
    extra = [max(0.0, mine - theirs) for mine, theirs in zip(cpu, base, strict=True)]
    restored = [run["restored"] for run in good]
    return {
        "system": name,
        "repetitions": len(good),
        "cpu_per_cell": cpu,
        "stored_per_cell": [middle("stored", cell) for cell in range(count)],
        "cpu": sum(cpu),
        "cpu_all": sum(middle("cpu_all", cell) for cell in range(count)),
        "wall": sum(middle("wall", cell) for cell in range(count)),
        "extra_median": statistics.median(extra),
        "extra_max": max(extra),
        "stored": statistics.median(run["stored"] for run in good),
        "peak": statistics.median(run["peak"] for run in good),
        "ready_cpu": statistics.median(one["ready_cpu"] for one in restored),
        "full_cpu": statistics.median(one["full_cpu"] for one in restored),
        "right": next((run["right"] for run in good if run["right"] != "right"), "right"),
    }


def compare(names: list[str], works: list[Workload], repeats: int, patience: float) -> Iterator[Result]:
    """All notebooks on all systems, in turns; each as soon as it is done."""
    present, absent = systems(names)
    for reason in absent:
        print(reason, file=sys.stderr)
    for work in works:
        runs: dict[str, list[Result]] = {system.name: [] for system in present}
        for number in range(repeats):
            order = present if number % 2 == 0 else present[::-1]
            for system in order:
                if runs[system.name] and "error" in runs[system.name][-1]:
                    continue
                with tempfile.TemporaryDirectory(prefix="nbrewind-bench-") as folder:
                    runs[system.name].append(measure(system, work, Path(folder), patience))
                print(".", end="", file=sys.stderr, flush=True)
        plain: Result | None = None
        rows = []
        for system in present:
            row = summary(work, runs[system.name], plain)
            plain = row if system.name == "plain" and "error" not in row else plain
            rows.append(row)
        yield {
            "name": work.name,
            "title": work.title,
            "cells": len(work.steps),
            "changed": [step.changed for step in work.steps],
            "systems": rows,
        }
    print(file=sys.stderr)


def main(arguments: list[str] | None = None) -> int:
    """Measure and write the figures as JSON; ``benchmarks.page`` makes the page of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument(
        "--scale", type=float, default=1.0, help="size of the notebooks, 1 is what their names tell"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="", help="names of notebooks, with commas between")
    parser.add_argument("--systems", default=",".join(kind.name for kind in KINDS))
    parser.add_argument(
        "--patience", type=float, default=900.0, help="seconds for one notebook on one system"
    )
    parser.add_argument("--json", metavar="FILE", default="compare.json")
    options = parser.parse_args(arguments)
    names = options.only.split(",") if options.only else list(MAKERS)
    unknown = set(names) - MAKERS.keys()
    if unknown:
        parser.error(f"unknown notebooks: {', '.join(sorted(unknown))}; there are {', '.join(MAKERS)}")
    started = time.time()
    works = [MAKERS[name](options.scale) for name in names]
    done: list[Result] = []
    for book in compare(options.systems.split(","), works, options.repeats, options.patience):
        done.append(book)
        result = {
            "schema": 1,
            "started": started,
            "seconds": round(time.time() - started, 1),
            "scale": options.scale,
            "python": platform.python_version(),
            "cpus": os.cpu_count(),
            "load": os.getloadavg()[0],
            "notebooks": done,
        }
        Path(options.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
