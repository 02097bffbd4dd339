"""``python -m tests.fuzz.run --examples N --seed S``: fuzzed notebooks against plain runs, and the counts.

Notebook ``i`` of seed ``S`` is the same everywhere: ``--only i`` makes it again, ``--shrink`` makes what
is wrong with it small.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import re
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fuzz.dense import notebook as dense_notebook
from fuzz.kernels import Died, Nursery
from fuzz.notebooks import Author, Chance, Fuzzed
from fuzz.trial import Finding, Trial, Unfit


def notebook(seed: int, number: int, *, dense: bool = False) -> Fuzzed:
    """The notebook of a number."""
    if dense:
        return dense_notebook(Chance(f"dense:{seed}:{number}"))
    return Author(Chance(f"{seed}:{number}")).write()


def tried(trial: Trial, fuzzed: Fuzzed, *, only: str = "") -> Finding:
    """A trial where the end of a kernel is a difference too."""
    try:
        return trial.run(fuzzed, only=only)
    except Unfit:
        return Finding(counts=Counter(unfit=1))
    except Died as end:
        return Finding([f"died: {str(end).strip()[-1500:]}"], counts=Counter(notebooks=1))


def shrunk(trial: Trial, fuzzed: Fuzzed, finding: Finding, *, most: int = 150) -> tuple[Fuzzed, Finding]:
    """A smaller notebook with the same kind of difference in the same step."""
    step = finding.wrong[0].split(":")[0]
    only = "" if step == "died" else step
    best, tries, progress = fuzzed, 0, True
    kinds = {kind(line) for line in finding.wrong if line.startswith(step + ":")}
    while progress and tries < most:
        progress = False
        for smaller in smaller_ones(best):
            tries += 1
            other = tried(trial, smaller, only=only)
            if kinds & {kind(line) for line in other.wrong if line.startswith(step + ":")}:
                best, finding, progress = smaller, other, True
                break
            if tries >= most:
                break
    return best, finding


def kind(line: str) -> str:
    """A difference without the names and numbers in it."""
    return re.sub(r"\d+|'[^']*'|\b[a-z]\b|0x\w+", "#", line)[:60]


def smaller_ones(fuzzed: Fuzzed):
    """Notebooks with one thing less."""
    if fuzzed.files or fuzzed.env:
        yield replace(fuzzed, files={}, env={})
    if fuzzed.probe.source:
        yield replace(fuzzed, probe=replace(fuzzed.probe, source=""))
    if fuzzed.edited != fuzzed.cells:
        yield replace(fuzzed, edited=fuzzed.cells)
    half = len(fuzzed.cells) // 2
    for kept in (fuzzed.cells[:half], fuzzed.cells[half:]) if half > 2 else ():
        names = {c.id for c in kept}
        yield replace(
            fuzzed,
            cells=list(kept),
            edited=[c for c in fuzzed.edited if c.id in names or c.id.startswith("n")],
            middle=min(fuzzed.middle, len(kept)),
        )
    ids = [c.id for c in fuzzed.cells] + [c.id for c in fuzzed.edited if c.id.startswith("n")]
    for gone in reversed(ids):
        position = next((i for i, c in enumerate(fuzzed.cells) if c.id == gone), len(fuzzed.cells))
        middle = fuzzed.middle - (position < fuzzed.middle)
        yield replace(
            fuzzed,
            cells=[c for c in fuzzed.cells if c.id != gone],
            edited=[c for c in fuzzed.edited if c.id != gone],
            middle=middle,
        )
    sources = {c.source for c in (*fuzzed.cells, *fuzzed.edited)}
    for source in sorted(sources, key=len, reverse=True):
        lines = source.split("\n")
        if len(lines) < 2:
            continue
        for i in range(len(lines)):
            less = "\n".join(lines[:i] + lines[i + 1 :])
            cells, edited = (
                [replace(c, source=less) if c.source == source else c for c in group]
                for group in (fuzzed.cells, fuzzed.edited)
            )
            yield replace(fuzzed, cells=cells, edited=edited)


_trial: Trial


def begin(auditor: str, disk: int) -> None:
    """A worker's nursery lives as long as the worker."""
    global _trial
    nursery = Nursery()
    _trial = Trial(nursery, auditor=auditor, disk=disk)
    multiprocessing.util.Finalize(None, nursery.close, exitpriority=10)
    multiprocessing.util.Finalize(None, _trial.close, exitpriority=20)


def one(task: tuple[int, int, bool, bool]) -> tuple[int, Finding, str]:
    """A notebook's number and what came of it, with its text where it is wrong."""
    seed, number, dense, shrink = task
    fuzzed = notebook(seed, number, dense=dense)
    finding = tried(_trial, fuzzed)
    if not finding.wrong:
        return number, finding, ""
    if shrink:
        fuzzed, finding = shrunk(_trial, fuzzed, finding)
    return number, finding, fuzzed.text()


def main() -> int:
    """Prints what differs and the counts; exit code 1 if anything differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description=__doc__)
    parser.add_argument("--examples", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first notebook")
    parser.add_argument(
        "--only", type=int, action="append", help="the number of one notebook; repeat it for more"
    )
    parser.add_argument("--dense", action="store_true", help="notebooks about what cannot be stored, patches")
    parser.add_argument("--shrink", action="store_true")
    parser.add_argument("--needless", action="store_true", help="tell each cell that ran without need")
    parser.add_argument(
        "--extension", action="store_true", help="audit in a plain kernel with the extension loaded"
    )
    parser.add_argument("--disk", type=int, default=0, help="stores on disks of so many bytes (as root)")
    parser.add_argument("--waiting", type=int, help="bytes that may wait to be written, instead of gigabytes")
    parser.add_argument("-j", "--jobs", type=int, default=2)
    options = parser.parse_args()
    if options.waiting is not None:
        os.environ["WAITING_BYTES"] = str(options.waiting)
    numbers = options.only or range(options.first, options.first + options.examples)
    auditor = "extension" if options.extension else "audit"
    counts: Counter[str] = Counter()
    began, done = time.monotonic(), 0
    with multiprocessing.get_context("spawn").Pool(options.jobs, begin, (auditor, options.disk)) as pool:
        tasks = [(options.seed, number, options.dense, options.shrink) for number in numbers]
        for number, finding, text in pool.imap_unordered(one, tasks):
            counts += finding.counts
            counts["wrong"] += bool(finding.wrong)
            done += 1
            if not done % 50:
                print(f"{done} of {len(tasks)}, {counts['wrong']} wrong", file=sys.stderr, flush=True)
            if finding.wrong:
                print(
                    f"== {options.seed}:{number}",
                    *finding.wrong[:8],
                    finding.actions,
                    text,
                    sep="\n",
                    flush=True,
                )
            if options.needless:
                for line in finding.needless:
                    print(f"{options.seed}:{number}: {line}", flush=True)
        pool.close()
        pool.join()
    cells = max(counts["cells"], 1)
    print(
        f"{counts['notebooks']} notebooks, {counts['cells']} cells: {counts['restored']} restored, "
        f"{counts['executed']} executed, {counts['needless']} of them without need "
        f"({100 * counts['needless'] / cells:.1f} %), {counts['by R12']} by R12, {counts['wrong']} notebooks wrong, {counts['unfit']} unfit; "
        f"{time.monotonic() - began:.0f} s"
    )
    return 1 if counts["wrong"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
