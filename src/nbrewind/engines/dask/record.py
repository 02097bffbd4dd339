"""From a worker's report and a result to an entry of the task log, and back to a value."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from nbrewind.engines.dask.graph import Item, content_key, shape_key
from nbrewind.errors import MissingObject, NotStorable
from nbrewind.flow.environment import versions
from nbrewind.model import TaskEntry
from nbrewind.tasks import payload
from nbrewind.tasks.context import CellTasks, TaskContext
from nbrewind.tasks.reports import entry as described_entry
from nbrewind.tasks.reports import trace
from nbrewind.tasks.versions import versions_above

log = logging.getLogger("nbrewind.dask")
SHAPE = "shape"
"""Engine name of index rows: they say that the log knows a task of this shape."""


Finished = tuple[Item, Any, str, list[Item]]
"""A task that is complete: its result or error, and the items whose reports tell what it read."""


def write_all(context: TaskContext, finished: Sequence[Finished], reports: dict[str, dict[str, Any]]) -> None:
    """Log completed tasks; one that cannot be logged runs again and spoils no other."""
    for item, value, error, sources in finished:
        try:
            write(context, item, value, error, sources, reports)
        except Exception:  # whatever a value's pickling raises: the user's result is unharmed
            log.warning("Task %s was not logged.", item.key, exc_info=True)


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
    wanted = [source for source in sources if source.ident]
    found = [reports[source.ident] for source in wanted if source.ident in reports]
    if len(found) < len(wanted) and not error:
        cell.notes.setdefault(f"task {item.name} is not stored: a worker sent no report")
        return
    seen = trace(context, found)
    if seen.refusal:
        cell.notes.setdefault(f"task {item.name} is not stored: {seen.refusal}")
        return
    own = reports.get(item.ident) or {}
    parts = item.parts() | {
        f"result of {dep.name} (input {number})": str(dep.digest)[:16] for number, dep in enumerate(item.deps)
    }
    entry = described_entry(
        *(content, item.name, "dask", seen, own),
        error=error,
        created=time.time(),
        parts=parts,
        packages=versions(item.packages.union(*(one.packages for one in item.closure() if not one.recorded))),
    )
    written = context.add([item.ticket or context.claim(content, cell)], entry, value)
    reports.pop(item.ident, None)
    if written is None:
        return
    alias(context, item, written)
    if error:
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


def alias(context: TaskContext, item: Item, entry: TaskEntry) -> None:
    """Let the key known at submission lead to an entry: planning asks by it."""
    if item.deep_ticket is not None:
        context.alias(item.deep_ticket, entry, versions_above(item, attrgetter("deps")))


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
