"""What is known of an executor: where its tasks run, and what they find there.

A forked worker has the notebook as it was when the pool got its first task, and
functions travel by name: one that was defined again since then is still the old one
there.  So what a fork pool's functions reach is looked at when the pool starts.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any

from nbrewind.errors import NotStorable
from nbrewind.flow.code import codes_of
from nbrewind.model import Digest
from nbrewind.tasks.context import TaskContext
from nbrewind.tasks.modules import module_digest

_OTHERS = frozenset({"asyncio", "distributed"})
"""Packages whose executors are another adapter's."""


class Kind:
    """One executor."""

    def __init__(self, executor: Any, context: TaskContext) -> None:
        self._context = context
        place = _place(executor)
        self._here = bool(place)
        self._setup = (*place, *_setup(executor))
        self._by_name = _start_method(executor)
        self.sends_chunks = hasattr(executor, "_max_workers") and not hasattr(executor, "_threads")
        """Whether ``map`` of the executor heeds ``chunksize``: thread pools do not."""
        self._era: dict[int, tuple[Any, Digest]] | None = None
        """What functions were when a fork pool got its first task."""

    def how(self, func: Any, frame: FrameType) -> dict[str, Any]:
        """Arguments for ``submission.begin``: what else changes the result, and whether it is known."""
        options: list[Any] = list(self._setup)
        if self._by_name in ("spawn", "forkserver"):
            options.append(module_digest(str(getattr(func, "__module__", ""))))
        known = self._by_name != "fork" or self._same_since_start(func, frame)
        return {"options": options or None, "unsure": not known, "here": self._here}

    def _same_since_start(self, func: Any, frame: FrameType) -> bool:
        func = getattr(func, "func", func)
        if self._era is None:
            self._era = {}
            for found in (func, *_named_callables(frame)):
                digest = self._code(found)
                if digest is not None:
                    self._era[id(found)] = found, digest
        known = self._era.get(id(func))
        if known is None:
            return not self._is_users(func)
        return known[0] is func and known[1] == self._code(func)

    def _code(self, func: Any) -> Digest | None:
        try:
            return self._context.identify(func)
        except NotStorable:
            return None

    def _is_users(self, func: Any) -> bool:
        try:
            return self._context.identity(func).user
        except NotStorable:
            return True


_kinds: weakref.WeakKeyDictionary[Any, Kind] = weakref.WeakKeyDictionary()


def kind_of(executor: Any, context: TaskContext) -> Kind | None:
    """What is known of an executor; None if its tasks are another adapter's."""
    if type(executor).__module__.partition(".")[0] in _OTHERS:
        return None
    found = _kinds.get(executor)
    if found is None or found._context is not context:
        found = _kinds[executor] = Kind(executor, context)
    return found


def _setup(executor: Any) -> tuple[Any, ...]:
    """The initialiser of the workers: a hidden input of every task."""
    initializer = getattr(executor, "_initializer", None)
    return () if initializer is None else (initializer, getattr(executor, "_initargs", ()))


def _place(executor: Any) -> tuple[str, ...]:
    """What tells tasks of the notebook's own process from others: those may change what they are given."""
    cls = type(executor)
    apart = hasattr(executor, "_mp_context") or "loky" in cls.__module__
    return () if apart else (f"{cls.__module__}.{cls.__qualname__}",)


def _start_method(executor: Any) -> str:
    """How workers are started, where functions travel by name; empty where they travel by value."""
    mp_context = getattr(executor, "_mp_context", None)
    if mp_context is None:
        return ""
    method = str(mp_context.get_start_method())
    return method if method in ("fork", "spawn", "forkserver") else ""


def _named_callables(frame: FrameType | None) -> Iterator[Any]:
    """Functions and classes that the running code of the notebook names."""
    while frame is not None:
        if frame.f_globals.get("__name__") == "__main__":
            for name in _names(frame.f_code):
                try:
                    value = frame.f_globals[name]
                except KeyError:
                    continue
                if callable(value) and getattr(value, "__module__", "") == "__main__":
                    yield value
        frame = frame.f_back


def _names(code: CodeType) -> set[str]:
    return {name for inner in codes_of(code) for name in inner.co_names}
