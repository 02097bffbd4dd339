"""``python -m benchmarks.audit_overhead``: what auditing costs, cell by cell, against the plain kernel.

Both kernels run at the same time and take turns, so that load, heat and caches hit both
alike.  Times are from the execute_request to the execute_reply, medians of the repetitions.
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
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from rich.console import Console
from rich.table import Table

from benchmarks.cases import QUICK, Case, Sizes, cases, unchanged_notebook
from benchmarks.driver import CellFailed, Kernel, folder_bytes

Row = dict[str, Any]
EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def environment(folder: Path, store: Path) -> dict[str, str]:
    """The environment of both kernels; the plain one ignores the store."""
    ours = {"NBREWIND_STORE": str(store), "PYTHONHASHSEED": "0", "IPYTHONDIR": str(folder / "ipython")}
    return {**os.environ, **ours}


def measure(case: Case, plain: Kernel, audit: Kernel, store: Path) -> Row:
    """Run one case on both kernels in turns; the row of the report."""
    for source in case.setup:
        for kernel in (plain, audit):
            kernel.run(source)
    times: dict[str, list[float]] = {"plain": [], "audit": []}
    peaks: dict[str, list[int]] = {"plain": [], "audit": []}
    stored: list[int] = []
    for n in range(case.repeats):
        order = [("plain", plain), ("audit", audit)]
        for label, kernel in order if n % 2 == 0 else reversed(order):
            if case.before:
                kernel.run(case.before)
            if case.heavy:
                kernel.settle()
            before = folder_bytes(store) if case.heavy and label == "audit" else 0
            if case.memory:
                kernel.reset_peak()
            times[label].append(kernel.run(case.cell.replace("{n}", str(n))).reply)
            if case.heavy:
                kernel.settle()
            if case.memory:
                peaks[label].append(kernel.peak_bytes())
            if case.heavy and label == "audit":
                stored.append(folder_bytes(store) - before)
    return _row(case, times, peaks, stored)


def _row(case: Case, times: dict[str, list[float]], peaks: dict[str, list[int]], stored: list[int]) -> Row:
    plain, audit = statistics.median(times["plain"]), statistics.median(times["audit"])
    ratio, extra = audit / plain, audit - plain
    row: Row = {
        "case": case.name,
        "repeats": case.repeats,
        "plain_ms": round(plain * 1e3, 2),
        "audit_ms": round(audit * 1e3, 2),
        "ratio": round(ratio, 3),
        "extra_ms": round(extra * 1e3, 2),
        "worst_extra_ms": round((max(times["audit"]) - plain) * 1e3, 2),
        "stored_mb": round(statistics.median(stored) / 1e6, 3) if stored else None,
    }
    if case.memory:
        most_plain, most_audit = statistics.median(peaks["plain"]), statistics.median(peaks["audit"])
        ratio = most_audit / most_plain
        row |= {
            "plain_peak_mb": round(most_plain / 1e6, 1),
            "audit_peak_mb": round(most_audit / 1e6, 1),
            "ratio": round(ratio, 3),
        }
    row["budget"] = _budget(case)
    row["kept"] = (case.ratio is None or ratio <= case.ratio) and (case.extra is None or extra <= case.extra)
    if not row["budget"]:
        row["kept"] = None
    return row


def _budget(case: Case) -> str:
    if case.ratio is not None:
        return f"<= {case.ratio}x" + (" peak" if case.memory else "")
    if case.extra is not None:
        return f"<= +{case.extra * 1e3:g} ms"
    return ""


def start_times(plain: str, audit: str, folder: Path, store: Path, repeats: int) -> Row:
    """Seconds from starting the process to its first answer."""
    times: dict[str, list[float]] = {plain: [], audit: []}
    for n in range(repeats + 1):
        for name in {plain: 0, audit: 0}:
            with Kernel(name, folder, environment(folder, store)) as kernel:
                if n:  # the first start only warms the disk cache
                    times[name].append(kernel.start_seconds)
    base, ours = statistics.median(times[plain]), statistics.median(times[audit])
    return {
        "case": "kernel start",
        "repeats": repeats,
        "plain_ms": round(base * 1e3, 1),
        "audit_ms": round(ours * 1e3, 1),
        "ratio": round(ours / base, 3),
        "extra_ms": round((ours - base) * 1e3, 1),
        "budget": "<= +300 ms",
        "kept": ours - base <= 0.3,
    }


def restore_times(audit: str, repeat: str, folder: Path) -> Row:
    """Milliseconds per cell of an unchanged repeat in a new process."""
    store = folder / "restore-store"
    sources = unchanged_notebook()
    recorded: list[float] = []
    with Kernel(audit, folder, environment(folder, store)) as kernel:
        for index, source in enumerate(sources):
            recorded.append(kernel.run(source, cell_id=f"c{index}").reply)
        kernel.settle()
    restored: list[float] = []
    actions: list[str] = []
    with Kernel(repeat, folder, environment(folder, store)) as kernel:
        for index, source in enumerate(sources):
            timing = kernel.run(source, cell_id=f"c{index}")
            restored.append(timing.reply)
            actions.append(str(timing.metadata.get("nbrewind", {}).get("action", "unknown")))
    worst = max(restored)
    return {
        "case": f"unchanged repeat, {len(sources)} cells",
        "repeats": 1,
        "plain_ms": round(statistics.median(recorded) * 1e3, 2),
        "audit_ms": round(statistics.median(restored) * 1e3, 2),
        "worst_ms": round(worst * 1e3, 2),
        "ratio": None,
        "extra_ms": None,
        "restored_cells": actions.count("restored"),
        "budget": "<= 5 ms per cell",
        "kept": statistics.median(restored) <= 0.005 and set(actions) <= {"restored", "skipped"},
    }


def example_times(name: str, plain: str, audit: str, folder: Path, repeats: int) -> Row:
    """One example workflow, the sum over its cells, in a new kernel and a new folder each time."""
    content = json.loads((EXAMPLES / name).read_text(encoding="utf-8"))
    sources = ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"]
    times: dict[str, list[float]] = {"plain": [], "audit": []}
    for n in range(repeats):
        order = [("plain", plain), ("audit", audit)]
        for label, kernel_name in order if n % 2 == 0 else reversed(order):
            place = folder / f"{name}-{label}-{n}"
            place.mkdir()
            with Kernel(kernel_name, place, environment(place, place / "store")) as kernel:
                times[label].append(sum(kernel.run(source).reply for source in sources))
    case = Case(f"example {name}", "", repeats=repeats, ratio=1.02)
    return _row(case, times, {"plain": [], "audit": []}, [])


def table(rows: list[Row], plain: str, audit: str) -> Table:
    """The rows for a terminal."""
    out = Table(title=f"{audit} against {plain}", title_justify="left", header_style="bold")
    out.add_column("case")
    for heading in (f"{plain} ms", f"{audit} ms", "ratio", "extra ms", "stored MB", "budget", ""):
        out.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        if row.get("error"):
            out.add_row(row["case"], "", "", "", "", "", row.get("budget", ""), f"[red]{row['error'][:60]}")
            continue
        if "plain_peak_mb" in row:
            first, second = f"{row['plain_peak_mb']:.0f} MB", f"{row['audit_peak_mb']:.0f} MB"
        else:
            first, second = f"{row['plain_ms']:.1f}", f"{row['audit_ms']:.1f}"
        mark = {True: "[green]kept", False: "[red]over", None: ""}[row["kept"]]
        cells = [row.get(key) for key in ("ratio", "extra_ms", "stored_mb")]
        shown = ["" if value is None else f"{value:.2f}" for value in cells]
        out.add_row(row["case"], first, second, *shown, row["budget"], mark)
    return out


def run(plain: str, audit: str, repeat: str, sizes: Sizes, only: str) -> list[Row]:
    """All rows.  A case whose cell fails gives a row with ``error``; the others go on."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="nbrewind-bench-") as name:
        folder = Path(name)
        store = folder / "store"
        with (
            Kernel(plain, folder, environment(folder, store)) as one,
            Kernel(audit, folder, environment(folder, store)) as two,
        ):
            for case in cases(sizes):
                if only and only not in case.name:
                    for source in case.setup:
                        one.run(source)
                        two.run(source)
                    continue
                try:
                    row = measure(case, one, two, store)
                except (CellFailed, TimeoutError) as error:
                    row = {"case": case.name, "error": str(error), "budget": _budget(case), "kept": False}
                rows.append(row)
                print(".", end="", file=sys.stderr, flush=True)
        if not only or only in "kernel start":
            rows.append(start_times(plain, audit, folder, folder / "start-store", sizes.starts))
        if repeat and (not only or only in "unchanged repeat"):
            rows.append(restore_times(audit, repeat, folder))
        for name in ("convolution.ipynb", "mapreduce.ipynb"):
            if only in f"example {name}" and (only or sizes.examples):
                rows.append(example_times(name, plain, audit, folder, sizes.heavy_repeats))
    print(file=sys.stderr)
    return rows


def main(arguments: list[str] | None = None) -> int:
    """Measure, print a table, and write JSON where asked; the exit code is 2 for an unknown kernel."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit_overhead", description=__doc__)
    parser.add_argument("--plain", default="python3", help="kernel to compare with")
    parser.add_argument("--audit", default="nbrewind-audit", help="kernel under test")
    parser.add_argument("--repeat", default="nbrewind-repeat", help="kernel for the restore time")
    parser.add_argument("--quick", action="store_true", help="small sizes, a minute or less")
    parser.add_argument("--only", default="", help="only cases whose name holds this text")
    parser.add_argument("--json", metavar="FILE", help="write the figures here, '-' for standard output")
    options = parser.parse_args(arguments)
    try:
        for name in filter(None, (options.plain, options.audit, options.repeat)):
            KernelSpecManager().get_kernel_spec(name)
    except NoSuchKernel as error:
        print(f"There is no kernel {error.name!r}; `jupyter kernelspec list` shows them.", file=sys.stderr)
        return 2
    started = time.time()
    repeat = options.repeat if options.audit.startswith("nbrewind") else ""
    rows = run(options.plain, options.audit, repeat, QUICK if options.quick else Sizes(), options.only)
    console = Console(stderr=options.json == "-")
    console.width = max(console.width, 132)
    console.print(table(rows, options.plain, options.audit))
    if options.json:
        result = {
            "schema": 1,
            "started": started,
            "seconds": round(time.time() - started, 1),
            "quick": options.quick,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "cpus": os.cpu_count(),
            "kernels": {"plain": options.plain, "audit": options.audit, "repeat": repeat},
            "rows": rows,
        }
        text = json.dumps(result, indent=1)
        if options.json == "-":
            print(text)
        else:
            Path(options.json).write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
