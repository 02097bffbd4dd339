"""One fuzzed notebook through its life: audit, repeat, edit, repeat, back again, restore to the middle.

Each step is a new process; each is compared with a plain run of the same cells in a folder of its own by
``support.compare``, which shares no code with the package: values, sharing, outputs, execution counts, files.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzz.grammar import FILES
from fuzz.kernels import Cell, Died, Nursery
from fuzz.notebooks import Fuzzed
from fuzz.reach import reached
from support import compare, folders
from support.kernels import Ran
from support.notebooks import Result

START = {"FUZZ_A": "start"}
"""Variables of every first run."""
MAY_NOT_COME_AGAIN = "an error that may not come again"
"""Why errors of files and of memory are met again rather than replayed (R12)."""
TOLD = ("nbrewind: this cell is not restored: ", "nbrewind: not recorded: ")
"""What the extension and a full disk say of a cell is no output of it."""


class Unfit(Exception):
    """A plain kernel did not come to the notebook's end: there is nothing to compare with."""


@dataclass
class Finding:
    """What came of one notebook."""

    wrong: list[str] = field(default_factory=list)
    """Differences from plain runs, each with its step before it."""
    needless: list[str] = field(default_factory=list)
    """Cells that ran although nothing that they can reach changed, with the reason given."""
    counts: Counter[str] = field(default_factory=Counter)
    actions: dict[str, list[str]] = field(default_factory=dict)

    @property
    def signature(self) -> str:
        """The first difference without what varies, to tell defects apart."""
        if not self.wrong:
            return ""
        return re.sub(r"\d+|'[^']*'|\b[a-z]\b", "#", self.wrong[0])[:160]


class Trial:
    """Runs notebooks, one after the other, in the folders of one nursery."""

    def __init__(self, nursery: Nursery, *, auditor: str = "audit", disk: int = 0) -> None:
        self.nursery = nursery
        self.auditor = auditor
        """The kind of kernel that audits run in."""
        self.disk = disk
        """Bytes of the disk that each notebook's store has to itself; 0 for what is there."""
        self.home = nursery.folder / "trial"
        self.case = self.home / "case"
        self.store = self.home / "store"

    def run(self, fuzzed: Fuzzed, *, only: str = "") -> Finding:
        """Everything with this notebook, or one step of it and what that needs.

        Raises:
            Died: a kernel ended.
        """
        self.close()
        self.case.mkdir(parents=True)
        if self.disk:
            self.store.mkdir()
            mount = ("mount", "-t", "tmpfs", "-o", f"size={self.disk}", "fuzz", str(self.store))
            subprocess.run(mount, check=True)
        finding = Finding()
        steps = _Steps(self, fuzzed, finding)
        steps.all(only)
        finding.counts["notebooks"] += 1
        return finding

    def close(self) -> None:
        """Removes what the last notebook left."""
        if self.store.is_mount():
            subprocess.run(("umount", "--lazy", str(self.store)), check=True)
        shutil.rmtree(self.home, ignore_errors=True)


class _Steps:
    def __init__(self, trial: Trial, fuzzed: Fuzzed, finding: Finding) -> None:
        self.trial = trial
        self.fuzzed = fuzzed
        self.finding = finding
        self.libraries = fuzzed.libraries and not fuzzed.cold
        self.plains = 0
        self.left: dict[str, str] = {}
        """What the run before left on disk."""
        self.asked: dict[int, tuple[Sequence[Cell], Mapping[str, str | None], Mapping[str, str]]] = {}
        """What each plain run ran."""
        self.references: list[Result] = []
        self.at_first: dict[str, str] = {}
        """What was there before the first run."""

    def all(self, only: str = "") -> None:
        fuzzed = self.fuzzed
        cells, edited = fuzzed.cells, fuzzed.edited
        plain = self.plain(cells, {}, {})
        self.world({}, everything=True)
        self.at_first = folders.tree(self.trial.case)
        self.judge("audit", plain, self.ours(self.trial.auditor, cells, {}))
        if only in ("", "unedited"):
            self.world({})
            same = self.ours("repeat", cells, {})
            self.judge("unedited", plain, same)
            self.count("unedited", same, cells, set())
        if only in ("", "edited", "back") and not (fuzzed.drawn(cells) or fuzzed.drawn(edited)):
            self.world(fuzzed.files)
            result = self.ours("repeat", edited, fuzzed.env)
            if only != "back":
                self.judge("edited", self.plain(edited, fuzzed.files, fuzzed.env), result)
                self.count("edited", result, edited, reached(cells, edited, fuzzed.files, fuzzed.env))
            if only != "edited":
                self.world({name: FILES.get(name) for name in fuzzed.files})
                again = self.ours("repeat", cells, {})
                self.judge("back", plain, again)
                self.count("back", again, cells, set())
        part = [*cells[: fuzzed.middle], fuzzed.probe]
        if only in ("", "middle") and not fuzzed.drawn(part):
            self.world({})
            middle = self.ours("repeat", part, {})
            self.judge("middle", self.plain(part, {}, {}), middle)
            self.count("middle", middle, part, {len(part) - 1})

    # -- runs ----------------------------------------------------------------------------------------
    def world(self, files: Mapping[str, str | None], *, everything: bool = False) -> None:
        """What a person changes by hand in the notebook's folder.

        Nobody knows who wrote what cells without a record left there: with a disk that fills, runs begin anew.
        """
        if self.trial.disk:
            shutil.rmtree(self.trial.case)
        if everything or self.trial.disk:
            folders.lay_down(self.trial.case, FILES)
        for name, text in files.items():
            change(self.trial.case / name, text)

    def plain(
        self,
        cells: Sequence[Cell],
        files: Mapping[str, str | None],
        env: Mapping[str, str],
        *,
        entropy: int = 1,
    ) -> Result:
        self.plains += 1
        # As long as the name of the other folder: texts may hold a path's length.
        folder = self.trial.home / f"pla{self.plains}"
        folders.lay_down(folder, FILES)
        for name, text in files.items():
            change(folder / name, text)
        try:
            result = self.run("plain", cells, folder, env, entropy)
        except Died as end:
            raise Unfit(str(end)) from end
        self.asked[id(result)] = cells, files, env
        self.references.append(result)
        return result

    def ours(self, mode: str, cells: Sequence[Cell], env: Mapping[str, str]) -> Result:
        return self.run(mode, cells, self.trial.case, env, 2 if mode == "repeat" else 1)

    def run(
        self, mode: str, cells: Sequence[Cell], folder: Path, env: Mapping[str, str], entropy: int
    ) -> Result:
        return self.trial.nursery.run(
            mode,
            cells,
            folder,
            env=START | env,
            seeded=self.fuzzed.seeded(cells),
            libraries=self.libraries,
            entropy=entropy,
        )

    # -- judging -------------------------------------------------------------------------------------
    def judge(self, step: str, reference: Result, result: Result) -> None:
        left = dict(self.left)
        found = self.differences(step, reference, result)
        if found and self.draws(reference, left):
            self.finding.counts["drawn"] += 1
            return
        self.finding.wrong += [f"{step}: {line}" for line in found]
        self.finding.actions[step] = result.actions

    def draws(self, reference: Result, left: dict[str, str]) -> bool:
        """Whether a plain run that began with other random states differs too: nothing to compare with then.

        Several, since a choice among few values may come out alike.
        """
        now, self.left = self.left, left
        try:
            others = (self.plain(*self.asked[id(reference)], entropy=entropy) for entropy in range(3, 9))
            return any(self.differences("", reference, other) for other in others)
        finally:
            self.left = now

    def differences(self, step: str, reference: Result, result: Result) -> list[str]:
        """Everything in which a run is not as a plain one."""
        found = compare.values(reference.described, result.described)
        found += folders.differences(reference.files, self.without_leftovers(step, reference, result))
        for index, (a, b) in enumerate(zip(reference.runs, result.runs, strict=True)):
            left, right = shown(a), shown(b)
            if left != right:
                found.append(f"output {index}: {str(left)[:300]} in the reference, {str(right)[:300]} here")
            ends = [
                (
                    r.status,
                    r.ename,
                    settled(r.evalue) if r.ename != "RecomputeFailed" else "",
                    r.execution_count,
                )
                for r in (a, b)
            ]
            if ends[0] != ends[1]:
                found.append(f"reply {index}: {ends[0]} in the reference, {ends[1]} here ({b.evalue[:200]})")
            found += [
                f"cell {index}: {w}"
                for w in (b.report or {}).get("warnings", [])
                if w.startswith("not recorded") and not self.trial.disk
            ]
        return found

    def without_leftovers(self, step: str, reference: Result, result: Result) -> dict[str, str]:
        """What is on disk but for what an earlier run left there and this one never came to (R6)."""
        kept = dict(result.files)
        for name, content in self.left.items():
            first = self.at_first.get(name)
            untouched = name not in reference.files or step == "middle" or reference.files[name] == first
            if kept.get(name) == content and untouched:
                kept.pop(name)
                if name in reference.files:
                    kept[name] = reference.files[name]
        self.left = dict(result.files)
        return kept

    def count(self, step: str, result: Result, cells: Sequence[Cell], needed: set[int]) -> None:
        counts = self.finding.counts
        counts["cells"] += len(cells)
        for index, run in enumerate(result.runs):
            if run.skipped or run.action == "skipped":
                counts["restored"] += 1
                continue
            counts["executed"] += 1
            report = run.report or {}
            if report.get("reason") == MAY_NOT_COME_AGAIN:
                counts["by R12"] += 1
                continue
            if index not in needed:
                counts["needless"] += 1
                reason = f"{report.get('reason', '')} {', '.join(report.get('changed_inputs', []))}"
                self.finding.needless.append(f"{step}: cell {index}: {reason}: {cells[index].source!r}")


def shown(run: Ran) -> list[Any]:
    """Outputs; the file that a cell pretends to be in is named by the number of the process."""
    messages = []
    for message in run.messages:
        said = message["content"].get("text", "")
        kept = "".join(line for line in said.splitlines(keepends=True) if not line.startswith(TOLD))
        if kept or not said:
            messages.append({**message, "content": {**message["content"], "text": kept}} if said else message)
    text = json.dumps(compare.outputs(messages))
    found: list[Any] = json.loads(re.sub(r"/[\w/]*ipykernel_\d+/\d+\.py", "<cell>", settled(text)))
    return found


def settled(text: str) -> str:
    """Where the stack ran out is told in other words from one process to the next."""
    return re.sub(r"(maximum recursion depth exceeded)[\w ]*", r"\1", text)


def change(path: Path, text: str | None) -> None:
    """Writes or removes one file as a person would, later than what was there."""
    if text is None:
        path.unlink(missing_ok=True)
        return
    if not path.parent.is_dir():
        return
    before = path.stat().st_mtime if path.exists() else 0.0
    path.write_text(text, encoding="utf-8")
    if before:
        folders.later(path)
