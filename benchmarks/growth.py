"""``python -m benchmarks.growth``: a cell's cost in a long notebook, beside a large state, over a history.

CPU time of the kernel's process up to the reply, medians of small windows of cells; the plain
kernel runs the same cells.  Flat is right, but for the cell that reads the large state.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.driver import Kernel
from benchmarks.peers import Audit, System

WINDOW = 20
Point = dict[str, float]


def cost(kernel: Kernel, sources: list[str]) -> float:
    """The median CPU time of cells up to their replies."""
    times = []
    for source in sources:
        before = kernel.cpu_seconds()
        kernel.run(source)
        times.append(kernel.cpu_seconds() - before)
    return statistics.median(times)


def small_cells(first: int, count: int) -> list[str]:
    """Cells of a notebook that goes on and on: each makes a name and reads an earlier one."""
    return [f"v{n} = {n}" if n < 10 else f"v{n} = v{n - 7} + {n}" for n in range(first, first + count)]


def length(system: System, most: int) -> list[Point]:
    """The cost of a cell after so many cells of one notebook."""
    marks = [mark for mark in (10, 30, 100, 300, 1000, 2000, 5000) if mark <= most]
    found = []
    with (
        tempfile.TemporaryDirectory(prefix="nbrewind-bench-") as folder,
        system.start(Path(folder)) as kernel,
    ):
        done = 0
        for mark in marks:
            for source in small_cells(done, mark - done):
                kernel.run(source)
            found.append({"cells": mark, "cpu": cost(kernel, small_cells(mark, WINDOW))})
            done = mark + WINDOW
    return found


def state(system: System, most: int) -> list[Point]:
    """The cost of a small cell, a written row and a read of everything beside so many bytes."""
    found = []
    size = 1_000_000
    while size <= most:
        with (
            tempfile.TemporaryDirectory(prefix="nbrewind-bench-") as folder,
            system.start(Path(folder)) as kernel,
        ):
            kernel.run(f"import numpy as np\nbig = np.random.default_rng(0).random((100, {size // 800}))")
            kernel.settle()
            beside = cost(kernel, small_cells(0, WINDOW))
            row = cost(kernel, [f"big[{n}, :8] = {n}.5" for n in range(3)])
            kernel.settle()
            read = cost(kernel, [f"mean{n} = float(big.mean())" for n in range(3)])
            found.append({"bytes": size, "beside": beside, "row": row, "read": read})
        size *= 10
    return found


def history(repeats: list[int], cells: int) -> list[Point]:
    """The cost of a restored cell when the store holds so many runs of the notebook."""
    audit = Audit(Path(sys.executable))
    sources = small_cells(0, cells)
    found = []
    with tempfile.TemporaryDirectory(prefix="nbrewind-bench-") as folder:
        place = Path(folder)
        with audit.start(place) as kernel:
            cost(kernel, sources)
            kernel.settle()
        done = 1
        for runs in repeats:
            for _ in range(max(0, runs - done)):
                with audit.start(place, again=True) as kernel:
                    cost(kernel, sources)
            done = runs
            with audit.start(place, again=True) as kernel:
                kernel.run(sources[0])
                found.append({"runs": runs, "cpu": cost(kernel, sources[1:])})
                kernel.settle()
    return found


def main(arguments: list[str] | None = None) -> int:
    """Measure and write the figures as JSON; ``benchmarks.page`` makes the page of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--cells", type=int, default=5000, help="length of the longest notebook")
    parser.add_argument("--bytes", type=int, default=1_000_000_000, help="size of the largest state")
    parser.add_argument("--runs", type=int, default=100, help="runs in the longest history")
    parser.add_argument("--json", metavar="FILE", default="growth.json")
    options = parser.parse_args(arguments)
    started = time.time()
    both: list[System] = [System(Path(sys.executable)), Audit(Path(sys.executable))]
    result: dict[str, Any] = {
        "schema": 1,
        "started": started,
        "load": os.getloadavg()[0],
        "length": {system.name: length(system, options.cells) for system in both},
        "state": {system.name: state(system, options.bytes) for system in both},
        "history": history([n for n in (1, 3, 10, 30, 100, 300) if n <= options.runs], 50),
    }
    result["seconds"] = round(time.time() - started, 1)
    Path(options.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
