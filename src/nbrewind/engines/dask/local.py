"""Dask without a cluster: the threaded and the synchronous scheduler.

Tasks run in this process, so each one looks itself up when its inputs are there: what
its upstream returned is known by then, and early cutoff needs no waiting.  The
scheduler on processes runs as ever and is not served.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from functools import wraps
from typing import Any

import dask.base
import dask.local
import dask.threaded
from dask._task_spec import DataNode, Task
from dask.core import flatten

from nbrewind.engines.dask import record
from nbrewind.engines.dask.graph import Item, Key, Reader, content_key, ordered_keys
from nbrewind.errors import NotStorable
from nbrewind.tasks import worker
from nbrewind.tasks.context import TaskContext
from nbrewind.tasks.identity import Identity
from nbrewind.tasks.submission import leak

HERE = "here"
_context: list[TaskContext] = []
_saved: list[Any] = []
_inside = threading.local()


def install(context: TaskContext) -> None:
    """Hook the choice of a scheduler; a second call only changes the context."""
    _context[:] = [context]
    if _saved:
        return
    original: Any = dask.base.get_scheduler
    _saved.append(original)
    served = {
        dask.threaded.get: _serving(dask.threaded.get),
        dask.local.get_sync: _serving(dask.local.get_sync),
    }

    @wraps(original)
    def get_scheduler(*args: Any, **kwargs: Any) -> Any:
        found = original(*args, **kwargs)
        try:
            return served.get(found, found)
        except TypeError:
            return found

    vars(dask.base)["get_scheduler"] = get_scheduler


def uninstall() -> None:
    """Take the hook out."""
    if _saved:
        vars(dask.base)["get_scheduler"] = _saved.pop()
    _context.clear()


def _serving(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def get(dsk: Any, keys: Any, **kwargs: Any) -> Any:
        busy = getattr(_inside, "task", False)
        if not _context or not _context[-1].executing or busy or not hasattr(dsk, "__dask_graph__"):
            return original(dsk, keys, **kwargs)
        flat: Any = flatten
        plan = _Plan(_context[-1], dsk, list(flat([keys])))
        return original(plan.graph(), keys, **kwargs)

    return get


class _Plan:
    """One graph of one call: served nodes as data, all others look themselves up."""

    def __init__(self, context: TaskContext, expr: Any, keys: list[Key]) -> None:
        self.context = context
        self.wanted = ordered_keys(expr, keys)
        self.order = Reader(context, lambda key: None, HERE).read(expr.__dask_graph__(), self.wanted)
        self.identity = uuid.uuid4().hex
        for item in self.order:
            item.cell = context.cell
            if type(item.spec) is not Task:
                # Aliases and containers cost nothing; what they refer to is looked up itself.
                item.recorded = False
                continue
            if not item.recorded or item.deep is None:
                item.fate = "plain" if item.recorded else "glue"
                continue
            context.cell.keys.setdefault(item.deep)
            content = content_key(item)
            if item.deep != content:
                item.deep_ticket = context.claim(item.deep)
            item.fate = "run"
            if content is not None:
                self.serve(item, content)

    def serve(self, item: Item, content: str) -> bool:
        """Serve an item whose content key is known; False if it must run."""
        cell = item.cell or self.context.cell
        item.ticket = self.context.claim(content, cell)
        entry = self.context.find(item.ticket)
        if entry is None or not record.usable(self.context, item, entry):
            return False
        if not self.context.serve(entry, cell):
            return False
        item.entry, item.digest, item.fate = entry, entry.result_digest, "served"
        record.alias(self.context, item, entry)
        return True

    def graph(self) -> dict[Key, Any]:
        """What is left to run, in Dask's own form."""
        items = {item.key: item for item in self.order}
        left: dict[Key, Any] = {}
        stack = list(self.wanted)
        while stack:
            key = stack.pop()
            item = items.get(key)
            if key in left or item is None:
                continue
            if item.fate == "served":
                left[key] = DataNode(key, record.value(self.context, item))
                continue
            left[key] = self._node(item)
            stack.extend(dep.key for dep in item.deps)
        return left

    def _node(self, item: Item) -> Any:
        spec = item.spec
        if item.fate in ("run", "plain") and item.recorded and item.cell is not None:
            item.cell.counts.run += 1
        # Tasks of the engine's own that have inputs may write: `to_parquet` of a frame.
        if type(spec) is not Task or item.fate == "plain":
            return spec
        item.ident = f"{self.identity}-{id(item)}"
        call: Any = worker.Traced(spec.func, item.ident)
        if item.fate == "run":
            call = _Step(self, item, call)
        return Task(spec.key, call, *spec.args, _data_producer=spec.data_producer, **spec.kwargs)


class _Effects:
    """What a task does to the notebook's own process beside giving a result."""

    def __init__(self, context: TaskContext, item: Item, args: Any, kwargs: Any) -> None:
        self._context = context
        self._identity: Identity | None = None
        self._reason = ""
        self._random = worker.random_state()
        try:
            self._identity = context.identity(item.spec.func, args, kwargs)
        except NotStorable as error:
            self._reason = str(error)

    def refusal(self, result: Any) -> str:
        """Why the result cannot stand for the task; empty if it can."""
        if self._identity is None:
            return self._reason
        if worker.random_state() != self._random:
            return "it moved the random state of the notebook"
        return leak(self._context, self._identity, result)


class _Step:
    """A task that looks itself up when it is called, and runs only if it must."""

    def __init__(self, plan: _Plan, item: Item, func: Callable[..., Any]) -> None:
        self._plan, self._item, self._func = plan, item, func
        self.__name__ = getattr(func, "__name__", "task")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        plan, item = self._plan, self._item
        content = content_key(item)
        if item.ticket is None and content is not None and plan.serve(item, content):
            if item.cell is not None:
                item.cell.counts.run -= 1
            return record.value(plan.context, item)
        watch = _Effects(plan.context, item, args, kwargs)
        _inside.task = True
        try:
            result = self._func(*args, **kwargs)
        except Exception as error:
            self._log(None, f"{type(error).__name__}: {error}"[:2000])
            raise
        finally:
            _inside.task = False
        refusal = watch.refusal(result)
        if not refusal:
            self._log(result, "")
        elif item.cell is not None:
            item.cell.notes.setdefault(f"the result of task {item.name} is not stored: {refusal}")
        return result

    def _log(self, result: Any, error: str) -> None:
        sources = [self._item, *(above for above in self._item.closure() if above.fate == "glue")]
        record.write(self._plan.context, self._item, result, error, sources, worker.LOCAL)
