"""``python -m tests.public.run``: audit, repeat and edit notebooks of public projects, against plain runs.

Each notebook runs under a plain kernel, is audited, repeated unchanged in a new process, and repeated after
each of some random edits of one cell, each compared with a plain run of the same cells: names, outputs, files.
Where something differs the plain runs go on: what differs between them is drawn, not computed, and not compared.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from public import edits, sources  # noqa: E402
from support import compare, folders  # noqa: E402
from support.kernels import House, KernelTrouble  # noqa: E402
from support.notebooks import Lab, Result  # noqa: E402

MORE_PLAIN_RUNS = 6


@dataclass
class Row:
    """What came of one notebook."""

    notebook: str
    cells: int
    outcome: str = "ok"
    """``ok``, ``wrong``, ``error``, or ``skipped``."""
    reason: str = ""
    plain_seconds: float = 0.0
    audit_seconds: float = 0.0
    repeat_seconds: float = 0.0
    unchanged_executed: int = 0
    edited_cells: int = 0
    edited_executed: int = 0
    needless: int = 0
    wrong: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


class Trial:
    """One notebook in folders of its own."""

    def __init__(self, house: House, found: sources.Found, home: Path) -> None:
        self.found = found
        self.lab = Lab(house, home)
        self.home = home

    def folder(self, name: str) -> Path:
        """A fresh folder with what lies beside the notebook, in the same place for all runs but the name."""
        target = self.home / name
        shutil.copytree(self.found.path.parent, target, ignore=shutil.ignore_patterns("*.ipynb", ".*"))
        return target

    def run(
        self, mode: str, cells: Sequence[str], folder: Path, force: Collection[int] = ()
    ) -> tuple[Result, float]:
        """One run in a new process, and its seconds."""
        began = time.perf_counter()
        named = [(f"c{i}", s) for i, s in enumerate(cells)]
        result = self.lab.run(mode, named, folder=folder, force=sorted(force))
        return result, time.perf_counter() - began

    def repeat(self, cells: Sequence[str], folder: Path) -> tuple[Result, float]:
        """A repeat, started over as ``nbrewind repeat`` does: with the cells forced that draw something else (R5)."""
        forced: set[int] = set()
        while True:
            try:
                result, seconds = self.run("repeat", cells, folder, forced)
            except KernelTrouble as error:
                more = named_to_force(str(error)) - forced
                if not more:
                    raise
            else:
                told = [run.evalue for run in result.runs if run.ename == "RecomputeFailed"]
                told += [form[1] for form in result.described["names"].values() if form[0] == "unavailable"]
                more = named_to_force(" ".join(told)) - forced
                if not more:
                    return result, seconds
            forced |= more

    def row(self, dice: random.Random, count: int, patience: float) -> Row:
        """Everything with this notebook."""
        cells = list(self.found.cells)
        row = Row(title(self.found), len(cells))
        first, row.plain_seconds = self.run("plain", cells, self.folder("plain-a"))
        failed = [r for r in first.runs if r.status != "ok"]
        if len(failed) * 2 > len(cells) or row.plain_seconds > patience:
            row.outcome = "skipped"
            row.reason = f"{failed[0].ename}: {failed[0].evalue}"[:120] if failed else "too slow"
            return row
        drawn = Drawn(first)
        work = self.folder("work")
        _, row.audit_seconds = self.run("audit", cells, work)
        same, row.repeat_seconds = self.repeat(cells, work)
        row.unchanged_executed = executed(same)
        row.reasons += reasons(same, range(len(cells)))
        row.wrong += [f"unchanged: {d}" for d in self.differences(drawn, cells, same)]
        for number in range(count):
            where, changed = edits.edit(cells, dice)
            drawn = Drawn(self.run("plain", changed, self.folder(f"plain-{number}"))[0])
            result, _ = self.repeat(changed, work)
            needed = edits.reached(changed, where)
            outside = [i for i in range(len(cells)) if i not in needed]
            row.edited_cells += len(cells)
            row.edited_executed += executed(result)
            row.needless += sum(not result.runs[i].skipped for i in outside)
            row.reasons += reasons(result, outside)
            found = self.differences(drawn, changed, result)
            row.wrong += [f"cell {where} is {changed[where][-60:]!r}: {d}" for d in found]
        row.outcome = "wrong" if row.wrong else "ok"
        return row

    def differences(self, drawn: Drawn, cells: Sequence[str], result: Result) -> list[str]:
        """What differs from plain runs, also from some more: small numbers are equal by chance."""
        for _ in range(MORE_PLAIN_RUNS):
            found = drawn.differences(result)
            if not found:
                break
            drawn.add(self.run("plain", cells, self.folder(f"more-{next(self.lab.house.numbers)}"))[0])
        return drawn.differences(result)


def named_to_force(message: str) -> set[int]:
    """Cells that a refusal to run cells again names."""
    return set(map(int, re.findall(r"cell (\d+) is nondeterministic", message)))


class Drawn:
    """What differs between plain runs of the same cells, and is therefore not compared."""

    def __init__(self, reference: Result) -> None:
        self.reference = reference
        self.names: set[str] = set()
        self.outputs: set[int] = set()
        self.files: set[str] = set()

    def add(self, other: Result) -> None:
        """Another plain run."""
        self.names |= compare.drawn(self.reference.described, other.described)
        pairs = zip(self.reference.runs, other.runs, strict=True)
        self.outputs |= {
            i for i, (a, b) in enumerate(pairs) if compare.outputs(a.messages) != compare.outputs(b.messages)
        }
        self.files |= set(folders.differences(self.reference.files, other.files))

    def differences(self, result: Result) -> list[str]:
        """Everything else that differs from the reference."""
        reference = self.reference
        found = compare.values(reference.described, result.described, without=self.names)
        if not self.files:
            found += folders.differences(reference.files, result.files)
        for index, (a, b) in enumerate(zip(reference.runs, result.runs, strict=True)):
            left, right = compare.outputs(a.messages), compare.outputs(b.messages)
            if index not in self.outputs and left != right:
                found.append(f"output {index}: {str(left)[:200]} in the reference, {str(right)[:200]} here")
        return found


def executed(result: Result) -> int:
    """Cells whose code ran."""
    return sum(not run.skipped for run in result.runs)


def reasons(result: Result, cells: Sequence[int]) -> list[str]:
    """Why these cells ran."""
    return [f"{i}: {result.reports[i].get('reason', '')}" for i in cells if not result.runs[i].skipped]


def main() -> int:
    """Prints a table; exit code 1 where a repeat differed from a plain run."""
    parser = argparse.ArgumentParser(prog="python -m tests.public.run", description=__doc__)
    parser.add_argument("packages", nargs="*", default=list(sources.CHOSEN))
    parser.add_argument("--cache", type=Path, default=Path(".public"), help="where archives are kept")
    parser.add_argument(
        "--all", action="store_true", help="all notebooks of the projects, not the chosen ones"
    )
    parser.add_argument("--most", type=int, default=100, help="notebooks of one project")
    parser.add_argument("--only", default="", help="notebooks whose path holds this")
    parser.add_argument("--edits", type=int, default=3)
    parser.add_argument("--patience", type=float, default=40.0, help="seconds of a plain run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--json", type=Path, help="all that is known of each notebook; rows that it has are kept"
    )
    parser.add_argument("--table", type=Path, help="the result as Markdown")
    options = parser.parse_args()
    rows = known(options.json)
    with House() as house:
        for package in options.packages:
            try:
                names = () if options.all else sources.CHOSEN.get(package, ())
                found = sources.notebooks(package, options.cache.absolute(), names)
            except (LookupError, OSError) as error:
                print(f"{package}: {error}", file=sys.stderr)
                continue
            kept = [f for f in found if options.only in str(f.path)]
            tried = 0
            for one in kept:
                if tried >= options.most:
                    break
                row = trial(house, one, options)
                tried += row.outcome != "skipped"
                rows = [*(r for r in rows if r.notebook != row.notebook), row]
                print(line(row), flush=True)
                if options.json:
                    options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
                if options.table:
                    options.table.write_text(table(rows))
    counts = Counter(row.outcome for row in rows)
    ran = [row for row in rows if row.outcome != "skipped"]
    cells, edited = sum(r.cells for r in ran), sum(r.edited_cells for r in ran)
    print(f"\n{dict(counts)}; unchanged: {sum(r.unchanged_executed for r in ran)} of {cells} cells executed")
    print(
        f"edited: {sum(r.edited_executed for r in ran)} of {edited} executed, "
        f"{sum(r.needless for r in ran)} of them out of the edit's reach"
    )
    return 1 if counts["wrong"] or counts["error"] else 0


def trial(house: House, found: sources.Found, options: argparse.Namespace) -> Row:
    """One notebook; what goes wrong in the test's own machinery is an outcome too."""
    home = house.folder / f"trial{next(house.numbers)}"
    home.mkdir()
    try:
        return Trial(house, found, home).row(random.Random(options.seed), options.edits, options.patience)
    except (KernelTrouble, AssertionError, TimeoutError, asyncio.CancelledError) as error:
        return Row(title(found), len(found.cells), "error", str(error)[:300])
    finally:
        shutil.rmtree(home, ignore_errors=True)


def known(path: Path | None) -> list[Row]:
    """The rows of earlier runs."""
    if path is None or not path.exists():
        return []
    return [Row(**row) for row in json.loads(path.read_text())]


def title(found: sources.Found) -> str:
    """What a notebook is called."""
    return f"{found.package} {found.version}: {found.path.stem}"


def table(rows: Sequence[Row]) -> str:
    """Rows that ran as a table in Markdown."""
    ran = [row for row in rows if row.outcome != "skipped"]
    head = "| notebook | cells | unchanged: executed | edits: executed of | needless | differences |\n|---|---|---|---|---|---|"
    lines = [
        f"| {r.notebook} | {r.cells} | {r.unchanged_executed} "
        f"| {r.edited_executed} of {r.edited_cells} | {r.needless} | {len(r.wrong) or r.reason or 'none'} |"
        for r in ran
    ]
    sums = [sum(getattr(r, name) for r in ran) for name in ("cells", "unchanged_executed", "edited_executed")]
    edited, needless = sum(r.edited_cells for r in ran), sum(r.needless for r in ran)
    wrong = sum(bool(r.wrong) for r in ran)
    total = f"| **{sum(r.outcome != 'error' for r in ran)}** | {sums[0]} | {sums[1]} | {sums[2]} of {edited} | {needless} | {wrong or 'none'} |"
    return "\n".join([head, *lines, total]) + "\n"


def line(row: Row) -> str:
    """One row for people."""
    text = (
        f"{row.outcome:8}{row.notebook:60.60} {row.cells:3} cells; plain {row.plain_seconds:.1f} s, "
        f"audit {row.audit_seconds:.1f} s, repeat {row.repeat_seconds:.1f} s; unchanged {row.unchanged_executed} "
        f"executed; edits {row.edited_executed} of {row.edited_cells}, needless {row.needless} {row.reason}"
    )
    return "\n    ".join([text, *row.wrong[:6], *(r for r in dict.fromkeys(row.reasons))])


if __name__ == "__main__":
    raise SystemExit(main())
