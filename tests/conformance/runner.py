"""Runs one conformance case: audit, repeat unedited, repeat edited, restore; each in a process of its own.

The reference is a plain kernel in a folder of its own.  Verdicts, worst first:

- ``wrong``: a value, an output, a file or an expectation differs, or a cell that had to run was not run,
  without the cell being reported as failed;
- ``error``: a kernel died or did not answer, or a cell failed that does not fail in the plain kernel;
- ``unsupported``: differs, but the case is not core and the report warned of it;
- ``needless``: right, but something was executed that need not have been;
- ``pass``.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from conformance.cases import Case, Cell
from support import compare, folders
from support.kernels import House, Kernel, KernelTrouble, Ran

Verdict = Literal["pass", "needless", "unsupported", "error", "wrong"]
ORDER: tuple[Verdict, ...] = ("pass", "needless", "unsupported", "error", "wrong")


@dataclass
class Phase:
    """What one kernel did with one notebook."""

    cells: Sequence[Cell]
    runs: list[Ran] = field(default_factory=list)
    described: dict[str, Any] = field(default_factory=dict)
    expectations: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def raised(self) -> list[int]:
        """Positions of the cells that raised."""
        return [i for i, run in enumerate(self.runs) if run.status == "error"]

    def actions(self) -> list[str]:
        """One word per cell: the action, marked where an error was replayed, or cells were recomputed."""
        words = []
        for run in self.runs:
            report = run.report or {}
            mark = "*" if report.get("replayed") else ""
            words.append(
                run.action + mark + (f"+{len(report['recomputed'])}" if report.get("recomputed") else "")
            )
        return words


@dataclass
class Outcome:
    """The result of one case."""

    name: str
    level: str
    verdict: Verdict = "pass"
    details: list[str] = field(default_factory=list)
    actions: dict[str, list[str]] = field(default_factory=dict)
    reports: dict[str, list[dict[str, Any] | None]] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, verdict: Verdict, detail: str) -> None:
        """Notes a finding; the worst one is the verdict."""
        self.details.append(f"[{verdict}] {detail}")
        if ORDER.index(verdict) > ORDER.index(self.verdict):
            self.verdict = verdict

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "name": self.name,
            "level": self.level,
            "verdict": self.verdict,
            "details": self.details,
            "actions": self.actions,
            "reports": self.reports,
            "seconds": round(self.seconds, 2),
        }


class CaseRunner:
    """Runs cases in one folder, with one house of kernels."""

    def __init__(
        self,
        house: House,
        work: Path,
        *,
        fresh: bool = True,
        plain_only: bool = False,
        second: House | None = None,
        extension: bool = False,
    ) -> None:
        self.house = house
        self.extension = extension
        """Whether audits run in a plain kernel that has loaded the extension."""
        self.second = second or house
        """Where repeats run, and the plain runs that they are compared with: perhaps another Python (R13)."""
        self.work = work
        self.fresh = fresh
        self.plain_only = plain_only

    async def run(self, case: Case) -> Outcome:
        """Runs one case to its verdict; never raises for what a kernel does."""
        outcome = Outcome(case.name, case.level)
        began = time.monotonic()
        folder = self.work / case.name
        shutil.rmtree(folder, ignore_errors=True)
        try:
            async with asyncio.timeout(240):
                await _CaseRun(self, case, folder, outcome).run()
        except (KernelTrouble, TimeoutError) as trouble:
            outcome.add("error", f"{type(trouble).__name__}: {trouble}")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        outcome.seconds = time.monotonic() - began
        return outcome


class _CaseRun:
    def __init__(self, runner: CaseRunner, case: Case, folder: Path, outcome: Outcome) -> None:
        self.runner = runner
        self.case = case
        self.outcome = outcome
        self.folder = folder / "case"
        self.copy = folder / "snapshot"
        self.calls = folder / "calls"
        self.references = 0
        folder.mkdir(parents=True)

    async def run(self) -> None:
        case = self.case
        before, after = case.before(), case.after()
        plain = await self.plain(case.live(), edited=False)
        edited = await self.plain(list(enumerate(after)), edited=True)
        if not case.trace and plain.raised != list(case.raises):
            self.outcome.add(
                "error", f"the plain kernel raises at {plain.raised}, the case says {case.raises}"
            )
        if edited.raised != list(case.raises_after_edit):
            self.outcome.add("error", f"the edited notebook raises at {edited.raised} in a plain kernel")
        for failure in plain.expectations + edited.expectations:
            self.outcome.add("error", f"in the plain kernel: {failure}")
        if self.runner.plain_only:
            again = await self.plain(list(enumerate(after)), edited=True)
            for line in self.differences(edited, again):
                self.outcome.details.append(f"[note] two plain runs differ: {line}")
            return

        audit = await self.audit(plain)
        if self.runner.second is self.runner.house:
            await self.repeat_unedited(audit)
        else:
            # How code and classes look differs between Pythons: what another one repeats is compared with
            # what it would have computed itself.
            await self.repeat_unedited(await self.plain(case.live(), edited=False, second=True), same=False)
        await self.repeat_edited(edited, after)
        if case.restore_after is not None:
            await self.restore(before)

    # -- phases ------------------------------------------------------------------------------------
    async def plain(self, order: list[tuple[int, Cell]], *, edited: bool, second: bool = False) -> Phase:
        self.references += 1
        folder = self.folder.with_name(f"plain{self.references}")
        folders.lay_down(folder, self.case.files)
        if edited:
            self.case.edit_world(folder)
        env = self.case.edit_environment() if edited else {}
        house = self.runner.second if edited or second else self.runner.house
        kernel = await Kernel.start(house, "plain", folder, env=env)
        try:
            phase = await self.cells(kernel, order)
            phase.files = folders.tree(folder)
            phase.described = await kernel.describe(self.case.seeded)
            for expression in self.case.expect if edited else self.case.expect_noedit:
                if failure := await kernel.holds(expression):
                    phase.expectations.append(failure)
        finally:
            await kernel.close()
        return phase

    async def cells(self, kernel: Kernel, order: list[tuple[int, Cell]]) -> Phase:
        phase = Phase([cell for _, cell in order])
        answers = self.case.answers()
        began = time.monotonic()
        for index, cell in order:
            run = await kernel.run_cell(
                cell.source,
                index,
                cell_id=cell.id,
                tags=cell.tags,
                answers=answers if self.case.stdin else None,
            )
            if kernel.mode in ("audit", "repeat") and run.report is None:
                raise KernelTrouble(
                    f"{kernel.mode} kernel: no report for cell {index} ({run.ename}: {run.evalue})"
                )
            phase.runs.append(run)
        phase.seconds = time.monotonic() - began
        return phase

    async def ours(
        self, mode: str, order: list[tuple[int, Cell]], env: dict[str, str], expectations: Sequence[str]
    ) -> Phase:
        house = self.runner.second if mode == "repeat" else self.runner.house
        kernel = await Kernel.start(
            house, mode, self.folder, env=env | self.engine(), fresh=self.runner.fresh
        )
        try:
            phase = await self.cells(kernel, order)
            await kernel.finish()
            phase.files = folders.tree(self.folder)
            phase.described = await kernel.describe(self.case.seeded)
            phase.expectations = [f for e in expectations if (f := await kernel.holds(e))]
            if mode != "repeat":
                await kernel.shutdown()
        finally:
            await kernel.close()
        return phase

    def engine(self) -> dict[str, str]:
        if not self.case.uses_tasks:
            return {}
        return {"NBREWIND_ENGINES": "mini_adapter:MiniAdapter", "MINI_TASKS_CALLS": str(self.calls)}

    async def audit(self, plain: Phase) -> Phase:
        folders.lay_down(self.folder, self.case.files)
        mode = "extension" if self.runner.extension else "audit"
        phase = await self.ours(mode, self.case.live(), {}, ())
        self.note("audit", phase)
        for index, run in enumerate(phase.runs):
            if run.action not in ("executed", "failed") or (run.report or {}).get("replayed"):
                self.outcome.add("error", f"audit: cell {index} was {run.action}")
        await self.judge("audit", plain, phase, edited=False)
        folders.photograph(self.folder, self.copy)
        return phase

    async def repeat_unedited(self, reference: Phase, *, same: bool = True) -> None:
        folders.put_back(self.copy, self.folder)
        phase = await self.ours("repeat", self.case.live(), {}, self.case.expect_noedit)
        self.note("unedited", phase)
        must = self.case.noedit_must_execute
        for index, run in enumerate(phase.runs):
            if index in must and run.skipped:
                self.outcome.add("wrong", f"unedited: cell {index} had to run, was {run.action}")
            elif index not in must and not run.skipped:
                self.outcome.add("needless", f"unedited: cell {index} was {why(run)}")
        # The audit's draws are the legal ones here; where the plain run agrees with them, so must this.
        await self.judge(
            "unedited", reference, phase, edited=False, certain=same and not must, second=not same
        )

    async def repeat_edited(self, plain: Phase, after: list[Cell]) -> None:
        folders.put_back(self.copy, self.folder)
        self.case.edit_world(self.folder)
        self.calls.unlink(missing_ok=True)
        phase = await self.ours(
            "repeat", list(enumerate(after)), self.case.edit_environment(), self.case.expect
        )
        self.note("edited", phase)
        for index in self.case.must_execute:
            if phase.runs[index].skipped:
                self.outcome.add("wrong", f"edited: cell {index} had to run, was {why(phase.runs[index])}")
        for index in self.case.must_skip:
            if not phase.runs[index].skipped:
                self.outcome.add("needless", f"edited: cell {index} was {why(phase.runs[index])}")
        if self.case.tasks_must_execute is not None:
            called = len(self.calls.read_text().splitlines()) if self.calls.exists() else 0
            wanted = self.case.tasks_must_execute
            if called != wanted:
                kind: Verdict = "needless" if called > wanted else "wrong"
                self.outcome.add(kind, f"edited: {called} tasks called, must be {wanted}")
        await self.judge("edited", plain, phase, edited=True)

    async def restore(self, before: list[Cell]) -> None:
        assert self.case.restore_after is not None
        folders.put_back(self.copy, self.folder)
        part = list(enumerate(before))[: self.case.restore_after + 1]
        kernel = await Kernel.start(
            self.runner.second, "repeat", self.folder, env=self.engine(), fresh=self.runner.fresh
        )
        try:
            phase = await self.cells(kernel, part)
            self.note("restore", phase)
            for index, run in enumerate(phase.runs):
                if not run.skipped:
                    self.outcome.add("needless", f"restore: cell {index} was {why(run)}")
            for expression in self.case.expect_restore:
                if failure := await kernel.holds(expression):
                    self.judge_failure("restore", failure, phase)
        finally:
            await kernel.close()

    # -- judging -----------------------------------------------------------------------------------
    def note(self, name: str, phase: Phase) -> None:
        self.outcome.actions[name] = phase.actions()
        self.outcome.reports[name] = [run.report for run in phase.runs]

    def differences(self, reference: Phase, other: Phase, without: Sequence[str] = ()) -> list[str]:
        found = compare.values(reference.described, other.described, without=without)
        found += folders.differences(reference.files, other.files)
        for index, (a, b) in enumerate(zip(reference.runs, other.runs, strict=True)):
            left = compare.outputs(a.messages, str(self.folder))
            right = compare.outputs(b.messages, str(self.folder))
            if left != right:
                found.append(f"output {index}: {left} in the reference, {right} here")
            if a.execution_count != b.execution_count:
                found.append(f"output {index}: execution count {a.execution_count}, here {b.execution_count}")
        return found

    async def judge(
        self,
        name: str,
        reference: Phase,
        phase: Phase,
        *,
        edited: bool,
        certain: bool = False,
        second: bool = False,
    ) -> None:
        found = self.differences(reference, phase)
        if found and not certain:
            order = list(enumerate(self.case.after())) if edited else self.case.live()
            again = await self.plain(order, edited=edited, second=second)
            drawn = compare.roots_of(self.differences(reference, again))
            if drawn:
                found = [
                    x
                    for x in self.differences(reference, phase, sorted(drawn))
                    if not compare.roots_of([x]) & drawn
                ]
        broken = [i for i in phase.raised if i not in reference.raised]
        for index in broken:
            run = phase.runs[index]
            self.outcome.add("error", f"{name}: cell {index} failed: {run.ename}: {run.evalue[:300]}")
        for line in found:
            # A cell that failed openly is no silent difference; what hangs on it is told with it.
            self.judge_failure(name, line, phase, reported=bool(broken))
        for failure in phase.expectations:
            self.judge_failure(name, failure, phase, reported=bool(broken))

    def judge_failure(self, name: str, detail: str, phase: Phase, *, reported: bool = False) -> None:
        warned = [w for run in phase.runs for w in (run.report or {}).get("warnings", [])]
        if compare.UNAVAILABLE in detail and "asynchronous" in detail:
            # R5: a look between cells cannot run asynchronous cells again; a cell that names it can.
            self.outcome.details.append(f"[note] {name}: {detail}")
        elif reported or compare.UNAVAILABLE in detail:
            self.outcome.add("error", f"{name}: {detail}")
        elif self.case.level != "core" and warned:
            self.outcome.add("unsupported", f"{name}: {detail} (warned: {warned[0]})")
        else:
            self.outcome.add("wrong", f"{name}: {detail}")


def why(run: Ran) -> str:
    """The action with the reason that the report gives."""
    report = run.report or {}
    changed = ", ".join(report.get("changed_inputs") or [])
    return f"{run.action} ({report.get('reason', '')}{': ' + changed if changed else ''})"


async def run_all(cases: Sequence[Case], runner: CaseRunner, jobs: int, done: Any = None) -> list[Outcome]:
    """Runs cases, ``jobs`` at a time; ``done`` is called with each outcome."""
    gate = asyncio.Semaphore(jobs)

    async def one(case: Case) -> Outcome:
        async with gate:
            outcome = await runner.run(case)
        if done is not None:
            done(outcome)
        return outcome

    return list(await asyncio.gather(*(one(case) for case in cases)))


def as_text(outcome: Outcome) -> str:
    """A line per finding, without the escape sequences of tracebacks."""
    lines = [f"{outcome.name}: {outcome.verdict}", *outcome.details]
    lines += [f"  {name}: {' '.join(words)}" for name, words in outcome.actions.items()]
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(lines))


def dumped(outcomes: Sequence[Outcome]) -> str:
    """The ``--json`` document."""
    counts = {v: sum(o.verdict == v for o in outcomes) for v in ORDER}
    return json.dumps({"schema": 1, "totals": counts, "cases": [o.as_json() for o in outcomes]}, indent=1)
