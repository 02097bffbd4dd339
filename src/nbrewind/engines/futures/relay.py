"""Futures as the notebook gets them: finished ones for hits, and ones that log before they finish."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any

from nbrewind.model import Digest, TaskEntry
from nbrewind.tasks.context import CellTasks, Ticket
from nbrewind.tasks.submission import Submission


class Served(Future[Any]):
    """The future of a task that an earlier run completed."""

    def __init__(self, ticket: Ticket, entry: TaskEntry, result: Any) -> None:
        super().__init__()
        self.task = Past(ticket, entry.result_digest)
        self.completed = entry.created
        self.set_running_or_notify_cancel()
        self.set_result(result)


@dataclass(slots=True)
class Past:
    """What a future remembers of its task: no more than a recipe needs."""

    ticket: Ticket | None
    result_digest: Digest = ""


def in_order(original: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """``as_completed`` that gives served futures in the order in which their tasks were completed."""

    @wraps(original)
    def as_completed(fs: Iterable[Any], timeout: float | None = None) -> Iterator[Any]:
        futures = list(dict.fromkeys(fs))
        served = [future for future in futures if isinstance(future, Served)]
        yield from sorted(served, key=lambda future: future.completed)
        rest = [future for future in futures if not isinstance(future, Served)]
        if rest:
            futures.clear()
            served.clear()
            yield from original(rest, timeout)

    return as_completed


class Relay(Future[Any]):
    """Stands for the engine's future, whose result has a report beside it."""

    def __init__(self, inner: Any, ticket: Ticket) -> None:
        super().__init__()
        self._inner = inner
        self.task = Past(ticket)

    def cancel(self) -> bool:
        """Cancel the task itself."""
        return self.cancelled() or bool(self._inner.cancel())

    def running(self) -> bool:
        """Whether the task itself runs."""
        return not self.done() and bool(self._inner.running())

    def follow(self, task: Submission, inner: Any) -> None:
        """The engine's future is done: log what it has, then pass it on."""
        if inner.cancelled():
            super().cancel()
            self.set_running_or_notify_cancel()
            return
        error = inner.exception()
        if error is not None:
            task.failed(error)
            self.set_exception(error)
            return
        value = task.finished(inner.result())
        if task.entry is not None:
            self.task.result_digest = task.entry.result_digest
        else:
            self.task.ticket = None
        self.set_result(value)


for _cls in (Served, Relay):
    # As the notebook shows it: `<Future at 0x... state=finished>`, of the module that everybody knows.
    _cls.__name__ = _cls.__qualname__ = "Future"
    _cls.__module__ = Future.__module__


def relayed(inner: Any, task: Submission) -> Future[Any]:
    """The future of a task that runs; finishes once its result is logged."""
    if task.ticket is None:
        return inner  # type: ignore[no-any-return]
    outer = Relay(inner, Ticket(task.ticket.key, task.ticket.occurrence, CellTasks()))
    inner.add_done_callback(partial(outer.follow, task))
    return outer
