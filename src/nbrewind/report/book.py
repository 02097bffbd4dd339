"""What a store tells about one notebook, gathered for views: rows and texts, no value is loaded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from nbrewind.errors import MissingObject
from nbrewind.model import Commit, Digest, Record, Run, TaskEntry
from nbrewind.store import Store

SLACK = 0.5
"""Seconds by which the clocks of a cell and of a task's worker may differ."""

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """One execution or restoration of a cell in a run."""

    commit: Commit
    record: Record | None
    """None when the store dropped it or it is damaged."""
    key: str
    """How the cell is known: its id, else its position."""

    @property
    def seconds(self) -> float:
        """What it took in this run; rows of older versions only tell what executing it took."""
        if self.commit.seconds or self.record is None or self.commit.action == "restored":
            return self.commit.seconds
        return self.record.seconds


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of the notebook; ``index`` counts code cells and is -1 for text."""

    key: str
    index: int
    kind: str
    source: str
    outputs: tuple[Message, ...] = ()
    """Saved in the notebook's file: shown where the store knows no run of the cell."""


@dataclass(frozen=True, slots=True)
class RunView:
    """A run with its steps in order, and the last step of each cell."""

    run: Run
    steps: tuple[Step, ...]

    @property
    def last(self) -> dict[str, Step]:
        """The last step of each cell, in the order of these."""
        found: dict[str, Step] = {}
        for step in self.steps:
            found.pop(step.key, None)
            found[step.key] = step
        return found

    @property
    def seconds(self) -> float:
        """From start to end, or to the last cell where the run did not end in order."""
        ends = self.run.ended or max((step.commit.created for step in self.steps), default=0.0)
        return max(0.0, ends - self.run.started)


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task of a step.  ``state`` is ``served``, ``run`` or ``failed``; ``start`` since the run's start."""

    name: str
    state: str
    start: float
    seconds: float
    worker: str


@dataclass(slots=True)
class Book:
    """Cells and runs of one notebook, runs newest first."""

    title: str
    path: str
    cells: list[Cell]
    runs: list[RunView]
    all_runs: int = 0
    """Runs that the store has of it, with those left out."""
    entries: dict[Digest, list[TaskEntry]] = field(default_factory=dict)
    """The task log, for the keys that the runs' records name."""


def gather(
    store: Store,
    *,
    title: str,
    label: str | None,
    cells: Sequence[Cell] = (),
    limit: int = 10,
) -> Book:
    """Read what the store has about the notebook with this label; of the newest run's for None.

    ``cells`` are those of the notebook's file.  Cells that ran and are not in it come last.
    """
    runs = [run for run in store.runs(label) if run.head]
    if label is None and runs:
        label = runs[0].notebook
        runs = [run for run in runs if run.notebook == label]
    known = {cell.key for cell in cells}
    by_index = {cell.index: cell.key for cell in cells if cell.index >= 0}
    views = [RunView(run, tuple(_steps(store, run, known, by_index))) for run in runs[:limit]]
    book = Book(title, label or "", list(cells), [view for view in views if view.steps], len(runs))
    book.cells += _gone(book)
    wanted = {key for view in book.runs for step in view.steps if step.record for key in step.record.tasks}
    for entry in store.task_log() if wanted else ():
        if entry.key in wanted:
            book.entries.setdefault(entry.key, []).append(entry)
    return book


def _steps(store: Store, run: Run, known: set[str], by_index: dict[int, str]) -> Iterable[Step]:
    for position, commit in enumerate(store.branch(run)):
        key = commit.cell_id
        if not key or key not in known:
            key = by_index.get(commit.index, key or f"#{commit.index if commit.index >= 0 else position}")
        yield Step(commit, record_of(store, commit), key)


def _gone(book: Book) -> list[Cell]:
    """Cells that ran in the newest run and are not in the notebook's file."""
    known = {cell.key for cell in book.cells}
    index = 1 + max((cell.index for cell in book.cells), default=-1)
    found: list[Cell] = []
    for view in book.runs[:1]:
        for key, step in view.last.items():
            if key not in known:
                source = step.record.source if step.record is not None else ""
                found.append(Cell(key, index + len(found), "code", source))
    return found


def record_of(store: Store, commit: Commit) -> Record | None:
    """The record that a commit applied; None when it was dropped or is damaged."""
    try:
        return store.record(commit.record)
    except MissingObject:
        return None


def again(steps: Iterable[Step]) -> set[str]:
    """Records that ran again for values that later cells needed."""
    return {name for step in steps for name in step.commit.recomputed}


def action_of(step: Step, recomputed: set[str]) -> str:
    """What was done with a cell in the end: restored, and run again for a later one's value."""
    action = step.commit.action
    if action == "restored" and step.commit.record in recomputed:
        return "recomputed"
    return action


def messages(store: Store, record: Record) -> list[Message]:
    """The output messages of a record; none where the store has lost or spoilt them.

    What was sent once and changed later, or cleared, is as it was seen in the end.
    """
    if not record.outputs:
        return []
    try:
        found = json.loads(store.get(record.outputs))
    except (MissingObject, ValueError):
        return []
    if not isinstance(found, list):
        return []
    return displayed(message for message in found if isinstance(message, dict))


def displayed(sent: Iterable[Message]) -> list[Message]:
    """Messages as outputs of a notebook, in the order of publication."""
    shown: list[Message] = []
    clear = False
    for message in sent:
        kind, content = str(message.get("type", "")), message.get("content")
        if not isinstance(content, dict):
            continue
        if kind == "clear_output":
            clear = bool(content.get("wait"))
            if not clear:
                shown.clear()
            continue
        if clear:
            shown.clear()
            clear = False
        if kind == "update_display_data":
            name = _display_id(content)
            for one in shown:
                if name and _display_id(one) == name:
                    one["data"] = content.get("data")
            continue
        output = {"output_type": kind, **content}
        last = shown[-1] if shown else {}
        if kind == last.get("output_type") == "stream" and last.get("name") == output.get("name"):
            last["text"] = f"{last.get('text', '')}{output.get('text', '')}"
        else:
            shown.append(output)
    return shown


def _display_id(content: Message) -> str:
    transient = content.get("transient")
    return str(transient.get("display_id", "")) if isinstance(transient, dict) else ""


def tasks_of(book: Book, view: RunView, step: Step) -> list[TaskRow]:
    """The tasks of a step, in order of their start: those that ran in it, then those that were served."""
    if step.record is None or step.commit.action == "restored":
        return []
    begun = step.commit.created - step.seconds - SLACK
    ends = (view.run.ended or float("inf")) + SLACK
    rows = []
    for key in step.record.tasks:
        entries = book.entries.get(key, [])
        ran = [entry for entry in entries if begun <= entry.created <= ends]
        for entry in ran:
            start = entry.created - entry.seconds - view.run.started
            state = "failed" if entry.error else "run"
            rows.append(TaskRow(entry.name, state, start, entry.seconds, entry.worker))
        if entries and not ran:
            rows.append(TaskRow(entries[-1].name, "served", 0.0, entries[-1].seconds, ""))
    return sorted(rows, key=lambda row: (row.state == "served", row.start))
