"""Room for our own looks at values, without a trace in what the notebook sees of its process.

The recursion limit and the filters of warnings belong to the whole process.  Deep values
need the one raised and looking at objects must not warn, while other threads (an engine's
loop that logs tasks, the notebook's own) run at the same time: what the notebook has set
is remembered here, counted over threads, and told to who records it.
"""

from __future__ import annotations

import contextlib
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import TypeVar

RECURSION = 200_000

T = TypeVar("T")
_lock = threading.Lock()
_inside = 0
_raised = 0
"""The limit set here; 0 while nobody is inside."""
_notebook = 0
"""The limit that holds again when the last one has left."""


@contextlib.contextmanager
def deep() -> Iterator[None]:
    """A recursion limit for deep values; what the notebook sets meanwhile stays."""
    global _inside, _raised, _notebook
    with _lock:
        _inside += 1
        now = sys.getrecursionlimit()
        if now != _raised:
            _notebook, _raised = now, max(now, RECURSION)
            sys.setrecursionlimit(_raised)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                if sys.getrecursionlimit() == _raised:
                    sys.setrecursionlimit(_notebook)
                _raised = 0


def limit() -> int:
    """The recursion limit as the notebook has it."""
    with _lock:
        now = sys.getrecursionlimit()
        return _notebook if _inside and now == _raised else now


def set_limit(value: int) -> None:
    """Give the notebook another recursion limit."""
    global _notebook
    with _lock:
        if _inside and sys.getrecursionlimit() == _raised:
            _notebook = value
        else:
            sys.setrecursionlimit(value)


def with_room(call: Callable[[], T]) -> T:
    """What ``call`` gives.  Beside a running cell the limit is raised only where it does not do.

    ``call`` may be called twice, so it must begin anew.
    """
    if threading.current_thread() is not threading.main_thread():
        with contextlib.suppress(RecursionError):
            return call()
    with deep():
        return call()


@contextlib.contextmanager
def unwarned() -> Iterator[None]:
    """No warnings from what we call ourselves.

    In other threads than the main one nothing is switched off: ``catch_warnings`` there would
    put the filters back over those that a cell has just set.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


_OF_PICKLING = ("ignore", re.compile("Pickle, copy, and deepcopy support"), DeprecationWarning, None, 0)


@contextlib.contextmanager
def without_notices() -> Iterator[None]:
    """Itertools load although a notebook makes errors of warnings; Python 3.12 and 3.13 warn of them.

    One filter goes in and out, where ``unwarned`` puts all back: a package that loading imports may set some
    of its own, which stay.
    """
    warnings.filters.insert(0, _OF_PICKLING)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # a package that is imported may have emptied the list
            warnings.filters.remove(_OF_PICKLING)  # type: ignore[attr-defined]
