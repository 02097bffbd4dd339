"""Where Parsl is hooked, and how the hooks come out again.

A kernel gets a memoizer of ours around its own, and its executors a ``submit`` that asks
for reports (see ``runtime``).  When a repeat serves tasks, executors start at the first
task that must run.
"""

from __future__ import annotations

import os
import random
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial, wraps
from typing import Any

from nbrewind.engines.parsl import lazy, recipes
from nbrewind.engines.parsl.origin import Keys, origin_of
from nbrewind.engines.parsl.parsllib import AppFuture, DataFlowKernel, dataflow
from nbrewind.engines.parsl.runtime import Runtime, Served, consume
from nbrewind.errors import NotStorable
from nbrewind.tasks.context import TaskContext
from nbrewind.tasks.worker import engine_draw

_saved: list[tuple[Any, str, Any]] = []
_context: list[TaskContext] = []
_runtimes: weakref.WeakKeyDictionary[Any, Runtime] = weakref.WeakKeyDictionary()
"""Beside the kernels, not in them: what a value reaches is walked."""
_owners: weakref.WeakKeyDictionary[Any, weakref.ref[Any]] = weakref.WeakKeyDictionary()
"""Executor -> its kernel."""


def runtime_of(kernel: Any) -> Runtime | None:
    """The task log beside a kernel; None for one that was made before the hooks."""
    return _runtimes.get(kernel)


def context() -> TaskContext:
    """The task log of this process.

    Raises:
        NotStorable: the adapter is not installed.
    """
    if not _context:
        raise NotStorable("the Parsl adapter is not installed")
    return _context[-1]


def install(context: TaskContext) -> None:
    """Hook data-flow kernels; a second call only changes the context."""
    _context[:] = [context]
    if _saved:
        return
    context.leaves[AppFuture] = Keys(context).result_text
    _patch(DataFlowKernel, "__init__", _init(DataFlowKernel.__init__))
    _patch(DataFlowKernel, "add_executors", _add_executors(DataFlowKernel.add_executors))
    _patch(DataFlowKernel, "submit", _submit(DataFlowKernel.submit))
    _patch(DataFlowKernel, "cleanup", _cleanup(DataFlowKernel.cleanup))
    _patch(dataflow, "random", _Random)
    for name in ("result", "exception"):
        _patch(AppFuture, name, _consuming(getattr(AppFuture, name)))


def uninstall() -> None:
    """Take the hooks out."""
    while _saved:
        owner, name, value = _saved.pop()
        if value is None:
            delattr(owner, name)
        else:
            setattr(owner, name, value)
    _context.clear()


def _patch(owner: Any, name: str, value: Any) -> None:
    _saved.append((owner, name, vars(owner).get(name)))
    setattr(owner, name, value)


class _Random:
    """Stands for the module ``random`` where Parsl draws the executor of a task."""

    @staticmethod
    def choice(options: Any) -> Any:
        """As ``random.choice``; the draw is the engine's, not a running task's."""
        return engine_draw(partial(random.choice, options))


def _consuming(original: Callable[..., Any]) -> Any:
    """A result that was not known when its cell ended is a read of the cell that looks at it."""

    @wraps(original)
    def look(self: Any, timeout: float | None = None) -> Any:
        found = original(self, timeout)
        origin = origin_of(self)
        if origin is not None and _context:
            consume(_context[-1], origin)
        return found

    return look


def _init(original: Callable[..., None]) -> Any:
    @wraps(original)
    def init(self: Any, config: Any) -> None:
        if not _context:
            original(self, config)
            return
        context = _context[-1]
        # Now: starting an executor changes its settings.
        self.__dict__.setdefault(recipes.RECIPE, recipes.of_kernel(config))
        runtime = _runtimes[self] = Runtime(context)
        recipe = self.__dict__[recipes.RECIPE]
        if recipe is not None:
            recipes.known[recipe["id"]] = self
        context.ignore_folder(os.path.abspath(config.run_dir))
        if context.executing and context.cell.serve:
            self.__dict__[lazy.WAITING] = []
        with context.quiet():  # the engine's own files and processes are none of the cell's
            original(self, config)
        self.memoizer = Served(self.memoizer, runtime)
        if self.__dict__.get(lazy.WAITING):
            lazy.defer(self)

    return init


def _add_executors(original: Callable[..., None]) -> Any:
    @wraps(original)
    def add_executors(self: Any, executors: Any) -> None:
        runtime = runtime_of(self)
        if runtime is None:
            original(self, executors)
            return
        for executor in executors:
            _report(executor, self)
        waiting = self.__dict__.get(lazy.WAITING)
        if waiting is None or any(executor.label.startswith("_parsl") for executor in executors):
            original(self, executors)
            return
        waiting.append(executors)
        for executor in executors:
            self.__dict__["executors"][executor.label] = executor

    return add_executors


def _report(executor: Any, kernel: Any) -> None:
    """Let tasks of an executor report the files they touch."""
    _owners[executor] = weakref.ref(kernel)
    executor.submit = partial(_submit_to, type(executor), executor)


def _submit_to(
    cls: Any, executor: Any, func: Any, resource_specification: Any, *args: Any, **kwargs: Any
) -> Any:
    owner = _owners.get(executor)
    kernel = owner() if owner is not None else None
    submit = partial(cls.submit, executor)
    if kernel is not None:
        lazy.start(kernel)
    if kernel is None or not _context:
        return submit(func, resource_specification, *args, **kwargs)
    return _runtimes[kernel].run(submit, func, resource_specification, args, kwargs)


def _submit(original: Callable[..., Any]) -> Any:
    @wraps(original)
    def submit(self: Any, *args: Any, **kwargs: Any) -> Any:
        runtime = runtime_of(self)
        cell = runtime.cell() if runtime is not None and _context else None
        if runtime is None or cell is None:
            return original(self, *args, **kwargs)
        names = ("func", "app_args", "executors", "cache", "ignore_for_cache", "app_kwargs", "join")
        call = {**dict(zip(names, args, strict=False)), **kwargs}
        origin = runtime.submitted(call, cell)
        with runtime.gate:
            future = original(self, *args, **kwargs)
            runtime.known(origin, future)
        return future

    return submit


def _cleanup(original: Callable[..., None]) -> Any:
    @wraps(original)
    def cleanup(self: Any) -> None:
        lazy.forget(self)
        with context().quiet() if _context else nullcontext():
            original(self)

    return cleanup


__all__ = ["install", "runtime_of", "uninstall"]
