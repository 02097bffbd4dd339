"""Futures as the notebook gets them: finished ones for hits, and ones that log before they finish."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from functools import wraps
from typing import Any

from nbrewind.tasks.submission import Submission


class _Served(Future[Any]):
    """The future of a task that an earlier run completed."""

    def __init__(self, task: Submission) -> None:
        super().__init__()
        self.completed = task.entry.created if task.entry is not None else 0.0
        self.set_running_or_notify_cancel()
        self.set_result(task.result)


def finished(task: Submission) -> Future[Any]:
    """The future of a served task."""
    return _Served(task)


def in_order(original: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """``as_completed`` that gives served futures in the order in which their tasks were completed."""

    @wraps(original)
    def as_completed(fs: Iterable[Any], timeout: float | None = None) -> Iterator[Any]:
        futures = list(dict.fromkeys(fs))
        served = [future for future in futures if isinstance(future, _Served)]
        yield from sorted(served, key=lambda future: future.completed)
        rest = [future for future in futures if not isinstance(future, _Served)]
        if rest:
            futures.clear()
            served.clear()
            yield from original(rest, timeout)

    return as_completed


class _Relay(Future[Any]):
    """Stands for the engine's future, whose result has a report beside it."""

    def __init__(self, inner: Any, task: Submission) -> None:
        super().__init__()
        self._inner, self._task = inner, task

    def cancel(self) -> bool:
        """Cancel the task itself."""
        return self.cancelled() or bool(self._inner.cancel())

    def running(self) -> bool:
        """Whether the task itself runs."""
        return not self.done() and bool(self._inner.running())

    def follow(self, inner: Any) -> None:
        """The engine's future is done: log what it has, then pass it on."""
        if inner.cancelled():
            super().cancel()
            self.set_running_or_notify_cancel()
            return
        error = inner.exception()
        if error is not None:
            self._task.failed(error)
            self.set_exception(error)
        else:
            self.set_result(self._task.finished(inner.result()))


for _cls in (_Served, _Relay):
    _cls.__name__ = _cls.__qualname__ = "Future"


def relayed(inner: Any, task: Submission) -> Future[Any]:
    """The future of a task that runs; finishes once its result is logged."""
    if task.ticket is None:
        return inner  # type: ignore[no-any-return]
    outer = _Relay(inner, task)
    inner.add_done_callback(outer.follow)
    return outer
