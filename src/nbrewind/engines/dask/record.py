"""From a worker's report and a result to an entry of the task log, and back to a value."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from nbrewind.engines.dask.graph import Item, content_key, shape_key
from nbrewind.errors import MissingObject, NotStorable
from nbrewind.model import FileState, TaskEntry
from nbrewind.tasks import payload
from nbrewind.tasks.context import CellTasks, TaskContext
from nbrewind.tasks.reports import files_of

SHAPE = "shape"
"""Engine name of index rows: they say that the log knows a task of this shape."""


def write(
    context: TaskContext,
    item: Item,
    value: Any,
    error: str,
    sources: list[Item],
    reports: dict[str, dict[str, Any]],
) -> None:
    """Log one completed task with the files of all ``sources`` (in the recording thread)."""
    cell = item.cell or CellTasks()
    content = content_key(item)
    if content is None or item.deep is None:
        return
    reads: dict[str, FileState] = {}
    outputs: dict[str, FileState] = {}
    for source in sources:
        report = reports.get(source.ident)
        if report is None:
            if source.ident and not error:
                cell.notes.setdefault(f"task {item.name} is not stored: a worker sent no report")
                return
            continue
        try:
            read, kept = files_of(context, report)
        except NotStorable as problem:
            cell.notes.setdefault(f"task {item.name} is not stored: {problem}")
            return
        reads.update(read)
        outputs.update(kept)
    own = reports.get(item.ident) or {}
    entry = TaskEntry(
        content,
        item.name,
        "",
        files=reads,
        outputs=outputs,
        error=error,
        seconds=own.get("seconds", 0.0),
        created=time.time(),
        worker=own.get("worker", ""),
        engine="dask",
    )
    tickets = [item.ticket or context.claim(content, cell)]
    if item.deep_ticket is not None:
        tickets.append(item.deep_ticket)
    written = context.add(tickets, entry, value)
    reports.pop(item.ident, None)
    if written is None or error:
        return
    item.digest = written.result_digest
    shape = shape_key(item)
    if item.deps and shape is not None and not context.store.tasks(shape):
        context.store.add_task(TaskEntry(shape, item.name, "", created=time.time(), engine=SHAPE))


def usable(context: TaskContext, item: Item, entry: TaskEntry) -> bool:
    """Whether a stored result can be served; binds the notebook's classes that it names."""
    try:
        data = context.store.get(entry.result)
        if payload.needs_namespace(data):
            # Bound now, in the cell: a later cell may define the class anew.
            payload.loads(data, lambda: _Remembering(context.namespace(), item.namespace))
    except (MissingObject, NotStorable):
        return False
    return True


def alias(context: TaskContext, item: Item) -> None:
    """Let the key known at submission lead to a served entry: planning asks by it."""
    entry, ticket = item.entry, item.deep_ticket
    if entry is None or ticket is None:
        return
    known = context.store.tasks(ticket.key)
    if not any(e.result == entry.result and e.files == entry.files for e in known):
        context.store.add_task(replace(entry, key=ticket.key, occurrence=ticket.occurrence))


def value(context: TaskContext, item: Item) -> Any:
    """A served result, built anew at every call."""
    assert item.entry is not None
    return payload.loads(context.store.get(item.entry.result), lambda: item.namespace)


class _Remembering(dict[str, Any]):
    """A view of the namespace that keeps what was asked for."""

    def __init__(self, source: Any, kept: dict[str, Any]) -> None:
        super().__init__()
        self._source, self._kept = source, kept

    def __missing__(self, name: str) -> Any:
        found = self._source[name]
        self._kept[name] = found
        return found
