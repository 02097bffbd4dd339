"""Ctrl-C reaches the user's code, never the middle of our own work.

While we decide, restore or record, a first interrupt waits until that is done; a second one
breaks it off, and what was not recorded counts as unknown.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any


class Interrupts:
    """The handling of SIGINT during one request; does nothing outside the main thread."""

    def __init__(self) -> None:
        self.seen = False
        """Whether an interrupt arrived during the request in hand."""

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Own work: a first interrupt is only noted."""
        self.seen = False
        with _handler(self._hold):
            yield

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """The user's code: it is interrupted as ever, and that is noted, even if it goes on."""
        with _handler(self._note):
            yield

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Somebody else's handler, such as that of top-level ``await``, is called; that is noted."""
        inner = signal.getsignal(signal.SIGINT)

        def both(number: int, frame: FrameType | None) -> Any:
            self.seen = True
            return inner(number, frame) if callable(inner) else None

        with _handler(both):
            yield

    def _hold(self, number: int, frame: FrameType | None) -> None:
        if self.seen:
            signal.default_int_handler(number, frame)
        self.seen = True

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.seen = True
        signal.default_int_handler(number, frame)


_set: Callable[[int, Any], Any] = sys.modules["_signal"].signal
_get: Callable[[int], Any] = sys.modules["_signal"].getsignal
"""Without the members of enumerations that ``signal`` makes of everything; every cell calls these often."""
_SIGINT = int(signal.SIGINT)


@contextlib.contextmanager
def _handler(handle: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = _set(_SIGINT, handle)
    try:
        yield
    finally:
        # A cell may set a handler of its own, which stays.
        if _get(_SIGINT) is handle:
            _set(_SIGINT, before)
