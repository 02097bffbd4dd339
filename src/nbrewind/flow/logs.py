"""What cells log to handlers that the notebook has made (R7).

Logging changes what a handler holds (a stream, a file, a list) past all names.  What goes to the kernel's
own streams is output, and files are followed whoever writes them; a cell that logs to anything else, or that
touches a handler, runs at every repeat.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

LOGGED = "what log handlers hold"
"""The label of cells that log to them."""


class LogWatch:
    """Notices records that reach a handler besides the kernel's streams."""

    def __init__(self, recording: Callable[[], bool]) -> None:
        self.logged = False
        """Whether the running cell, or a thread beside it, has logged so."""
        self._recording = recording
        self._original: Any = None
        self._installed: Any = None

    def install(self) -> None:
        """Begin to look at what loggers hand on."""
        original = self._original = logging.Logger.callHandlers
        watch = self

        def callHandlers(self: logging.Logger, record: logging.LogRecord) -> None:
            if not watch.logged and watch._recording():
                watch.logged = any(record.levelno >= h.level and not shown(h) for h in _chain(self))
            original(self, record)

        callHandlers.__doc__ = original.__doc__
        logging.Logger.callHandlers = self._installed = callHandlers  # type: ignore[method-assign]

    def remove(self) -> None:
        """Leave logging as it was, unless the notebook has put something of its own there."""
        if logging.Logger.callHandlers is self._installed:
            logging.Logger.callHandlers = self._original  # type: ignore[method-assign]


def _chain(logger: logging.Logger | None) -> Iterator[logging.Handler]:
    while logger is not None:
        yield from logger.handlers
        logger = logger.parent if logger.propagate else None


def shown(handler: logging.Handler) -> bool:
    """Whether what a handler is given is output of the cell, goes into a file, or nowhere."""
    if isinstance(handler, logging.FileHandler):
        return True
    stream: Any = getattr(handler, "stream", None)
    if stream is not None:
        return stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    return type(handler).__module__ != "__main__" and not type(handler).__module__.startswith("logging.")


def in_use() -> list[logging.Handler]:
    """The handlers of all loggers."""
    loggers = [logging.root, *list(logging.root.manager.loggerDict.values())]
    return [handler for logger in loggers for handler in getattr(logger, "handlers", ())]


def holders() -> set[int]:
    """Addresses of handlers and of what they have, where what is logged ends up."""
    found = set()
    for handler in in_use():
        if not shown(handler):
            found |= {id(handler), *map(id, vars(handler).values())}
    return found
