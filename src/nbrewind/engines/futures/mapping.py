"""``Executor.map``: item by item as far as the log goes, in the engine's chunks where it does not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from nbrewind.tasks import worker
from nbrewind.tasks.submission import Submission


@dataclass(frozen=True, slots=True)
class Mapping:
    """One call of ``map``."""

    decide: Callable[[tuple[Any, ...]], Submission]
    send: Callable[..., Any]
    """The executor's own ``submit``."""
    size: int
    """Items of a chunk."""
    timeout: float | None


class _Chunk:
    """Items that the engine would send as one task; those that run go as one task here too."""

    def __init__(self, items: list[Submission]) -> None:
        self.items = items
        self.future: Future[Any] | None = None
        self._lock = threading.Lock()
        self._results: list[Any] | None = None

    def follow(self, future: Future[Any]) -> None:
        """The engine is done with the chunk: log it now, whoever asks for its results later."""
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            self._settle(future.result())
            return
        for item in self.items:
            if not item.served:
                item.failed(error)

    def results(self, timeout: float | None) -> list[Any]:
        """The results of all items, in order; raises what one of them raised, as the engine does."""
        outcomes = [] if self.future is None else self.future.result(timeout)
        return self._settle(outcomes)

    def _settle(self, outcomes: list[Any]) -> list[Any]:
        with self._lock:
            if self._results is None:
                ran = iter(outcomes)
                self._results = [
                    item.result if item.served else item.finished(next(ran)) for item in self.items
                ]
            return self._results


def mapped(mapping: Mapping, arguments: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
    """Submit everything now, as the engine does; give the results in order."""
    until = None if mapping.timeout is None else time.monotonic() + mapping.timeout
    chunks: list[_Chunk] = []
    items: list[tuple[Submission, tuple[Any, ...]]] = []
    for args in arguments:
        items.append((mapping.decide(args), args))
        if len(items) == mapping.size:
            chunks.append(_sent(mapping, items))
            items = []
    if items:
        chunks.append(_sent(mapping, items))
    return _given(chunks, until)


def _sent(mapping: Mapping, items: list[tuple[Submission, tuple[Any, ...]]]) -> _Chunk:
    chunk = _Chunk([item for item, _ in items])
    for item in chunk.items:
        item.show()
    calls = [(item.call, args) for item, args in items if not item.served]
    if calls:
        chunk.future = mapping.send(worker.Several(), calls)
        chunk.future.add_done_callback(chunk.follow)
    return chunk


def _given(chunks: list[_Chunk], until: float | None) -> Iterator[Any]:
    chunks.reverse()
    try:
        while chunks:
            left = None if until is None else until - time.monotonic()
            yield from chunks.pop().results(left)
    finally:
        for chunk in chunks:
            if chunk.future is not None:
                chunk.future.cancel()
