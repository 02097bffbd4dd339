"""Where executors are hooked: ``submit`` and ``map`` of every subclass of ``Executor``.

A call counts if code of the notebook makes it: what libraries give to pools of their
own is theirs.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import Executor, _base
from functools import partial, wraps
from types import FrameType
from typing import Any

from nbrewind.engines.futures.kinds import Kind, kind_of
from nbrewind.engines.futures.mapping import Mapping, mapped
from nbrewind.engines.futures.relay import Served, in_order, relayed
from nbrewind.tasks import worker
from nbrewind.tasks.context import TaskContext
from nbrewind.tasks.submission import Submission, begin

ENGINE = "futures"
_context: list[TaskContext] = []
_saved: list[tuple[Any, str, Any]] = []
_inner = threading.local()


def install(context: TaskContext) -> None:
    """Hook all executors; a second call only changes the context."""
    _context[:] = [context]
    if _saved:
        return
    stack: list[Any] = [Executor]
    while stack:
        cls = stack.pop()
        _hook(cls)
        stack.extend(cls.__subclasses__())

    def subclassed(cls: Any, /, **kwargs: Any) -> None:
        super(Executor, cls).__init_subclass__(**kwargs)
        if _saved:
            _hook(cls)

    base: Any = Executor
    base.__init_subclass__ = classmethod(subclassed)
    ordered = in_order(_base.as_completed)
    for module in (_base, futures):
        _saved.append((module, "as_completed", _base.as_completed))
    for module in (_base, futures):
        vars(module)["as_completed"] = ordered


def uninstall() -> None:
    """Take the hooks out."""
    if _saved:
        del Executor.__init_subclass__
    while _saved:
        owner, name, value = _saved.pop()
        setattr(owner, name, value)
    _context.clear()


def context_of_kernel() -> TaskContext:
    """The context of the kernel."""
    return _context[-1]


def _hook(cls: Any) -> None:
    for name, make in (("submit", _submit), ("map", _map)):
        original = vars(cls).get(name)
        if callable(original) and (cls, name, original) not in _saved:
            _saved.append((cls, name, original))
            setattr(cls, name, make(original))


def _asked(executor: Any, frame: FrameType) -> tuple[TaskContext, Kind] | None:
    """The context and what is known of the executor, if the notebook's own code calls it now."""
    if not _context or not _context[-1].active or getattr(_inner, "busy", False) or worker.is_inside():
        return None
    context = _context[-1]
    if not context.is_user_frame(frame):
        return None
    kind = kind_of(executor, context)
    return None if kind is None else (context, kind)


def _submit(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def submit(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        frame = sys._getframe(1)
        asked = _asked(self, frame)
        if asked is None:
            return original(self, fn, *args, **kwargs)
        context, kind = asked
        task = begin(context, fn, args, kwargs, engine=ENGINE, **kind.how(fn, frame))
        if task.entry is not None and task.ticket is not None:
            task.show()
            return Served(task.ticket, task.entry, task.result)
        return relayed(_quietly(original, self, task.call, *args, **kwargs), task)

    return submit


def _map(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def call(self: Any, fn: Any, /, *iterables: Any, **options: Any) -> Any:
        frame = sys._getframe(1)
        asked = _asked(self, frame)
        if asked is None or set(options) - {"timeout", "chunksize"}:
            return original(self, fn, *iterables, **options)
        context, kind = asked
        how = kind.how(fn, frame)

        def decide(args: tuple[Any, ...]) -> Submission:
            return begin(context, fn, args, engine=ENGINE, **how)

        # Only pools of processes send items in chunks.
        size = int(options.get("chunksize", 1)) if kind.sends_chunks else 1
        send = partial(_quietly, self.submit)
        return mapped(Mapping(decide, send, size, options.get("timeout")), zip(*iterables, strict=False))

    return call


def _quietly(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call the engine: what it submits in turn is no task of the notebook."""
    _inner.busy = True
    try:
        return call(*args, **kwargs)
    finally:
        _inner.busy = False
