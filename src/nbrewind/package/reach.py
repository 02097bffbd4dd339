"""What the chosen runs of a notebook lead to: rows, objects and inputs.

Objects are found as garbage collection finds them: any 32 hexadecimal digits in a row or an image
that are the name of an object keep it, so that no kind of reference is forgotten.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from nbrewind.model import Commit, Digest, FileState, Record, Run, TaskEntry
from nbrewind.store import Store
from nbrewind.store.ledger import encode

_SHAPE = "shape"
"""Engine of the rows that stand for no task: they say that the log knows tasks of a shape."""
_NAME = re.compile(rb"(?=([0-9a-f]{32}))")


@dataclass(slots=True)
class Reached:
    """Rows in the order in which a store takes them, and the objects that they need."""

    runs: list[Run] = field(default_factory=list)
    """Oldest first."""
    commits: dict[str, Commit] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    forgotten: set[str] = field(default_factory=set)
    tasks: list[TaskEntry] = field(default_factory=list)
    objects: set[Digest] = field(default_factory=set)
    large: dict[Digest, int] = field(default_factory=dict)
    """Contents of files among the objects -> size: these may be larger than the memory."""
    inputs: dict[str, FileState] = field(default_factory=dict)
    """Paths that the newest run read or looked at and had not written, as they were."""


def reach(store: Store, runs: Sequence[Run], magic: bytes) -> Reached:
    """Everything behind ``runs`` (newest first); ``magic`` begins an object that names others."""
    found = Reached(runs=list(reversed(runs)))
    for run in found.runs:
        kept = store.commits(run.id)
        for commit in [*store.branch(run), *(one for other in kept for one in store.path_to(other.id))]:
            found.commits.setdefault(commit.id, commit)
    for commit in found.commits.values():
        if commit.record in found.records:
            continue
        record = store.record(commit.record)
        found.records[record.id] = record
        if record.id not in {one.id for one in store.records(record.source_key)}:
            found.forgotten.add(record.id)
    for key in dict.fromkeys(key for record in found.records.values() for key in record.tasks):
        found.tasks += store.tasks(key)
    found.tasks += _under_other_keys(store, found.tasks)
    _objects(store, found, magic)
    found.inputs = _inputs(store, runs[0], found) if runs else {}
    return found


def _under_other_keys(store: Store, tasks: Sequence[TaskEntry]) -> list[TaskEntry]:
    """The same tasks under the other keys that the log has them by, and the rows of their shapes.

    A record names a task by the key that was known when it was submitted.  Where something above it
    runs again, it is looked for by the results above it: without these entries all that follows would
    run, whatever the results are.
    """
    keys = {task.key for task in tasks}
    known = {execution(task) for task in tasks} - {None}
    names = {(_SHAPE, task.name) for task in tasks}
    return [
        task
        for task in store.task_log()
        if task.key not in keys and (execution(task) in known or (task.engine, task.name) in names)
    ]


def execution(task: TaskEntry) -> tuple[str, Digest, float] | None:
    """What the entries of one task that ran have in common; None for a row that stands for no task."""
    return None if task.engine == _SHAPE else (task.name, task.result or task.key, task.created)


def executions(tasks: Iterable[TaskEntry]) -> list[TaskEntry]:
    """One entry for each task that ran, under however many keys it is logged."""
    found = {execution(task): task for task in tasks}
    found.pop(None, None)
    return list(found.values())


def _objects(store: Store, found: Reached, magic: bytes) -> None:
    rows: list[Run | Commit | Record | TaskEntry] = [
        *found.runs,
        *found.commits.values(),
        *found.records.values(),
        *found.tasks,
    ]
    for row in rows:
        for state in _file_states(row):
            if state.digest:
                found.large[state.digest] = state.size
    waiting = [name for row in rows for name in _named(encode(row))]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if not store.has(name):
            continue
        found.objects.add(name)
        if name not in found.large:
            image = store.get(name)
            if image.startswith(magic):
                waiting += _named(image)


def _named(text: bytes) -> set[str]:
    return {match.decode("ascii") for match in _NAME.findall(text)}


def _file_states(row: Run | Commit | Record | TaskEntry) -> Iterable[FileState]:
    if isinstance(row, Run):
        yield from row.found.values()
        yield from row.left.values()
    elif isinstance(row, Record):
        yield from row.delta.files.values()
    elif isinstance(row, TaskEntry):
        yield from row.outputs.values()
    else:
        for _, delta in row.between:
            yield from delta.files.values()


def _inputs(store: Store, run: Run, found: Reached) -> dict[str, FileState]:
    """What the run's cells and tasks found at paths that no cell before them had written."""
    inputs: dict[str, FileState] = {}
    written: set[str] = set()
    tasks: dict[Digest, list[TaskEntry]] = {}
    for task in found.tasks:
        tasks.setdefault(task.key, []).append(task)
    for commit in store.branch(run):
        record = found.records[commit.record]
        read = [record.trace.files, record.trace.probes]
        read += [task.files for key in record.tasks for task in tasks.get(key, [])]
        for states in read:
            for path, state in states.items():
                if path in written or state.kind == "absent":
                    continue
                known = inputs.get(path)
                if known is None or (state.digest and not known.digest):
                    inputs[path] = state
        written.update(record.delta.files)
    return inputs


def without_places(found: Reached, notebook: str, *, values: bool = True, outputs: bool = True) -> Reached:
    """The same rows without what belongs to one machine: the notebook's label, names of workers.

    Without ``values`` or ``outputs`` the objects behind those are left out; what needs them runs again.
    """
    workers: dict[str, str] = {"": ""}
    for task in found.tasks:
        workers.setdefault(task.worker, f"worker-{len(workers)}")
    kept = set(found.objects)
    if not outputs:
        kept -= {record.outputs for record in found.records.values()}
    if not values:
        kept &= {record.outputs for record in found.records.values()} | _contents(found)
    return replace(
        found,
        runs=[replace(run, notebook=notebook) for run in found.runs],
        tasks=[replace(task, worker=workers[task.worker]) for task in found.tasks],
        objects=kept,
    )


def _contents(found: Reached) -> set[Digest]:
    """What is neither a value nor a result: the files of the start world, and descriptions."""
    files = {state.digest for run in found.runs for state in run.found.values()}
    return files | {run.environment for run in found.runs}
