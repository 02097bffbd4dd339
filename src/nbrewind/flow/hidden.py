"""State of the process that nothing can store: handlers, hooks, registrations (R7).

A cell that changes some of it is executed at every repeat, whatever its record says; what it
changed has a version by origin, so the cells after it hit as long as it does the same again.
"""

from __future__ import annotations

import abc
import copyreg
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

from nbrewind.flow.code import hash_parts
from nbrewind.model import State

HIDDEN = "process:"
"""How the keys of hidden state begin."""
RELOADED = "the loaded module "
"""How the label of a module begins whose code a cell ran anew."""

_SETTERS = {
    "umask": "the file mode mask",
    "nice": "the priority",
    "setpriority": "the priority",
    "setrlimit": "a resource limit",
    "settrace": "the trace function",
    "setprofile": "the profile function",
    "set_start_method": "the start method of processes",
    "set_int_max_str_digits": "the limit of digits",
    "set_event_loop_policy": "the event loop policy",
    "add_type": "the table of MIME types",
    "register_adapter": "an adapter of sqlite3",
    "register_converter": "a converter of sqlite3",
    "register_error": "an error handler of codecs",
    "register_namespace": "a namespace of ElementTree",
    "addLevelName": "the names of log levels",
    "addaudithook": "an audit hook",
    "register_dialect": "a dialect of csv",
    "unregister_dialect": "a dialect of csv",
    "install_opener": "the opener of urllib",
    "seterrcall": "the error function of NumPy",
    "setLoggerClass": "the class of loggers",
    "setLogRecordFactory": "the maker of log records",
    "set_asyncgen_hooks": "the hooks of asynchronous generators",
}
"""Functions that set what cannot be read, or is not worth it: naming one is enough."""


_LOGGING = frozenset({"addHandler", "removeHandler", "addFilter", "setFormatter", "dictConfig", "fileConfig"})
"""What code names that changes other loggers than the root's."""


class HiddenState:
    """Compares the process before and after a cell."""

    def __init__(self) -> None:
        self.probes: dict[str, Callable[[], Any]] = {
            "signal handlers": _signal_handlers,
            "log handlers": _root_handlers,
            "import finders": _finders,
            "reducers of pickle": _reducers,
            "threads": threads_of_the_notebook,
        }
        """Label -> what is compared, by equality."""
        self.named_modules: Callable[[], set[str]] = set
        """Modules that are values of the notebook: they come back with their names."""
        self._before: dict[str, Any] = {}
        self._loggers: list[Any] | None = None
        self._registered: object = None
        self._modules: set[str] | None = None
        self._table: dict[str, ModuleType] = {}

    def begin(self, names: frozenset[str]) -> None:
        """A cell starts whose own code mentions ``names``."""
        self._before = {label: look() for label, look in self.probes.items()}
        self._loggers = _all_handlers() if names & _LOGGING else None
        self._registered = abc.get_cache_token()
        self._modules = _made_by_hand() if "modules" in names else None
        self._table = dict(sys.modules) if "modules" in names else {}

    def changed(self, names: frozenset[str]) -> list[str]:
        """Labels of what the cell changed; ``names`` are those that its code mentions."""
        found = [label for label, look in self.probes.items() if look() != self._before.get(label)]
        found += [label for name, label in _SETTERS.items() if name in names]
        if names & _LOGGING and _all_handlers() != self._loggers:
            found.append("log handlers")
        if "register" in names:
            if names & {"atexit", "codecs"}:
                found.append("functions registered with the interpreter")
            if abc.get_cache_token() != self._registered:
                found.append("virtual subclasses")
        if self._modules is not None and _made_by_hand() - self._modules - self.named_modules():
            found.append("modules made by hand")
        if "modules" in names and (
            "pop" in names or any(sys.modules.get(name) is not was for name, was in self._table.items())
        ):
            found.append("the table of imported modules")
        return list(dict.fromkeys(found))


def _signal_handlers() -> list[Any]:
    # Jupyter itself sets SIGINT around each cell.
    return [_getsignal(number) for number in range(1, signal.NSIG) if number != signal.SIGINT]


_getsignal: Callable[[int], Any] = sys.modules["_signal"].getsignal
"""Without making members of an enumeration, which costs ten times as much."""


def _root_handlers() -> list[Any]:
    return [_described(handler) for handler in logging.root.handlers]


def _all_handlers() -> list[Any]:
    """Handlers and filters of all loggers; packages give themselves some when they are imported."""
    return [
        (name, len(logger.filters), [_described(handler) for handler in logger.handlers])
        for name, logger in list(logging.root.manager.loggerDict.items())
        if isinstance(logger, logging.Logger) and (logger.handlers or logger.filters)
    ]


def _described(handler: logging.Handler) -> tuple[Any, ...]:
    return id(handler), handler.level, id(handler.formatter), len(handler.filters)


def _reducers() -> list[Any]:
    return [
        (cls, reduce)
        for cls, reduce in list(copyreg.dispatch_table.items())
        if getattr(reduce, "__module__", None) == "__main__"
    ]


def _finders() -> list[Any]:
    """What the notebook's own code looks modules up with; packages have theirs when they are imported."""
    return [
        id(finder)
        for finder in (*sys.meta_path, *sys.path_hooks)
        if "__main__" in (type(finder).__module__, getattr(finder, "__module__", None))
    ]


def threads_of_the_notebook() -> set[int]:
    """Threads that the notebook's own code started and that still run."""
    return {
        id(thread)
        for thread in threading.enumerate()
        if type(thread).__module__ == "__main__"
        or getattr(getattr(thread, "_target", None), "__module__", None) == "__main__"
    }


def _made_by_hand() -> set[str]:
    return {
        name
        for name, module in list(sys.modules.items())
        if isinstance(module, ModuleType) and getattr(module, "__spec__", None) is None
    }


def hidden_version(key: str, trace_key: str, before: State) -> str:
    """What cannot be compared is as its cell made it from what that read.

    A module is another one after each time that it is loaded, also by cells with the same text.
    """
    old = before.ambient.get(key) if key.startswith(HIDDEN + RELOADED) else None
    return hash_parts("process", key, trace_key, old.digest if old is not None else "")


def reloads(state: State, now: Iterable[str] = (), trace_key: str = "") -> dict[str, str]:
    """Modules that cells up to ``state`` loaded again, and those that the cell of ``trace_key`` did."""
    begin = HIDDEN + RELOADED
    found = {key[len(begin) :]: v.digest for key, v in state.ambient.items() if key.startswith(begin)}
    return found | {name: hidden_version(begin + name, trace_key, state) for name in now}
