"""Kernels whose executors have not started: hits need none.

A *deferred* kernel is complete but for its executors; the first task that must run, or a
look at ``executors`` from outside Parsl, starts them.  A *parked* kernel was rebuilt from
its recipe and is nothing yet; any use makes it a deferred one.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from nbrewind.engines.parsl import recipes
from nbrewind.engines.parsl.parsllib import DataFlowKernel, Loader

WAITING = "_nbrewind_waiting"
"""Executors of a kernel that are to be started at the first need."""
_lock = threading.RLock()


class Deferred(DataFlowKernel):  # type: ignore[misc]  # Parsl's classes are untyped here
    """A kernel whose executors are known and not started."""

    @property
    def executors(self) -> Any:
        """Executors by label; a look from outside Parsl starts them."""
        caller = sys._getframe(1).f_globals.get("__name__", "")
        if not str(caller).startswith(("parsl.", "nbrewind.")):
            start(self)
        return self.__dict__["executors"]

    @executors.setter
    def executors(self, value: Any) -> None:
        self.__dict__["executors"] = value


class Parked(DataFlowKernel):  # type: ignore[misc]
    """A kernel that was rebuilt and that nobody has used yet."""

    def __init__(self, recipe: dict[str, Any]) -> None:
        object.__getattribute__(self, "__dict__")[recipes.RECIPE] = recipe

    def __getattribute__(self, name: str) -> Any:
        held = object.__getattribute__(self, "__dict__")
        if name in ("__dict__", "__class__", "__enter__", "__exit__", "cleanup") or name in held:
            return object.__getattribute__(self, name)
        realise(self)
        return getattr(self, name)

    def cleanup(self) -> None:
        """Nothing has started; it counts as cleaned up from now on."""
        self.__dict__["cleanup_called"] = True
        if Loader._dfk is self:
            Loader.clear()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: object) -> None:
        self.cleanup()

    def __repr__(self) -> str:
        realise(self)
        return repr(self)


for _class in (Deferred, Parked):
    _class.__name__, _class.__qualname__ = DataFlowKernel.__name__, DataFlowKernel.__qualname__
    _class.__module__ = DataFlowKernel.__module__


def parked(recipe: dict[str, Any]) -> Any:
    """The kernel of a recipe, nothing made yet."""
    kernel = Parked(recipe)
    recipes.known[recipe["id"]] = kernel
    return kernel


def realise(kernel: Any) -> None:
    """Make a parked kernel a deferred one."""
    with _lock:
        if type(kernel) is not Parked or kernel.__dict__.get("cleanup_called"):
            return
        kernel.__class__ = DataFlowKernel
        kernel.__dict__[WAITING] = []
        DataFlowKernel.__init__(kernel, recipes.config_of(kernel.__dict__[recipes.RECIPE]))


def defer(kernel: Any) -> None:
    """From now on a look at the executors starts them."""
    kernel.__class__ = Deferred


def start(kernel: Any) -> None:
    """Start the executors that wait; of other kernels nothing."""
    if WAITING not in kernel.__dict__:
        return
    with _lock:
        waiting = kernel.__dict__.pop(WAITING, None)
        if waiting is None:
            return
        if type(kernel) is Deferred:
            kernel.__class__ = DataFlowKernel
        for executors in waiting:
            kernel.add_executors(executors)


def forget(kernel: Any) -> None:
    """The kernel ends: executors that never started need no shutdown."""
    with _lock:
        for executors in kernel.__dict__.pop(WAITING, ()):
            for executor in executors:
                kernel.__dict__["executors"].pop(executor.label, None)
        if type(kernel) is Deferred:
            kernel.__class__ = DataFlowKernel
