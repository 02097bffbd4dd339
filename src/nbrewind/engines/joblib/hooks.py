"""Where joblib is hooked: ``Parallel.__call__``, and the callback that takes in a batch's results.

The items that the log holds never reach joblib; those that run go through it as ever, in
its own batches, and are logged as their batches complete.  The backend does not matter:
workers of processes, threads and ``n_jobs=1`` differ only in what an item may change.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import wraps
from typing import Any

import joblib.parallel as joblib_parallel

from nbrewind.tasks import reports, worker
from nbrewind.tasks.context import TaskContext
from nbrewind.tasks.submission import Submission, begin

ENGINE = "joblib"
Parallel: Any = joblib_parallel.Parallel
Callback: Any = joblib_parallel.BatchCompletionCallBack
_context: list[TaskContext] = []
_saved: list[tuple[Any, str, Any]] = []
_running: dict[str, Submission] = {}
"""Items that run, by the name in their report."""
_numbers = itertools.count()


def install(context: TaskContext) -> None:
    """Hook joblib; a second call only changes the context."""
    _context[:] = [context]
    if _saved:
        return
    for owner, name, make in (
        (Parallel, "__call__", _call),
        (Callback, "_register_outcome", _register_outcome),
    ):
        original = vars(owner).get(name)
        if original is not None:
            _saved.append((owner, name, original))
            setattr(owner, name, make(original))


def uninstall() -> None:
    """Take the hooks out."""
    while _saved:
        owner, name, value = _saved.pop()
        setattr(owner, name, value)
    _context.clear()
    _running.clear()


def _call(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def call(self: Any, iterable: Iterable[Any]) -> Any:
        if not _context or not _context[-1].active or worker.is_inside():
            return original(self, iterable)
        run = _Run(_context[-1], self)
        lazily = bool(getattr(self, "return_generator", False))
        try:
            output = original(self, run.items(iterable))
        except BaseException:  # an interrupt too: the run is over
            run.end()
            raise
        return run.merged(output) if lazily else list(run.merged(output))

    return call


def _register_outcome(original: Callable[..., Any]) -> Callable[..., Any]:
    """A batch is complete: its items are logged now, whoever asks for the results later."""

    @wraps(original)
    def call(self: Any, outcome: dict[str, Any]) -> Any:
        result = outcome.get("result")
        if isinstance(result, list):
            outcome = {**outcome, "result": [_logged(value) for value in result]}
        return original(self, outcome)

    return call


def _logged(outcome: Any) -> Any:
    report, value = reports.split(outcome)
    if report is None:
        return value
    task = _running.pop(report["ident"], None)
    return value if task is None else task.finished(outcome)


class _Run:
    """One call of ``Parallel``."""

    def __init__(self, context: TaskContext, parallel: Any) -> None:
        self.context = context
        self.cell = context.cell
        self.parallel = parallel
        self.order: list[Submission | None] = []
        """Served items, and None for each that joblib runs."""
        self.idents: list[str] = []

    def items(self, iterable: Iterable[Any]) -> Iterator[Any]:
        """What is left for joblib to run, one after another as it asks for them."""
        where = self._where()
        for func, args, kwargs in iterable:
            task = self._decided(func, args, kwargs, where)
            if task is not None and task.served:
                task.show()
                self.order.append(task)
                continue
            self.order.append(None)
            if task is None or task.ticket is None:
                yield func, args, kwargs
                continue
            task.ident = f"joblib-{next(_numbers)}"
            _running[task.ident] = task
            self.idents.append(task.ident)
            yield task.call, args, kwargs

    def _decided(self, func: Any, args: Any, kwargs: Any, where: dict[str, Any]) -> Submission | None:
        # joblib asks for later items from threads of its own, and may outlive the cell.
        if not self.context.active or self.context.cell is not self.cell:
            return None
        return begin(self.context, func, args, kwargs, engine=ENGINE, **where)

    def _where(self) -> dict[str, Any]:
        """Where items will run: what is in the notebook's own process may change what it is given."""
        backend = self.parallel._backend
        jobs = self.parallel._effective_n_jobs()
        if jobs == 1 or getattr(backend, "supports_sharedmem", False):
            return {"options": "here", "here": True}
        forked = isinstance(backend, joblib_parallel.MultiprocessingBackend)
        # Workers that were forked earlier have the notebook as it was then.
        return {"unsure": forked and bool(self.parallel._managed_backend)}

    def merged(self, output: Iterable[Any]) -> Iterator[Any]:
        """Results in the order of the items, those of joblib among those of the log."""
        ran = iter(output)
        position = 0
        try:
            for value in ran:
                position = yield from self._served_from(position)
                position += 1
                yield _logged(value)
            yield from self._served_from(position)
        finally:
            self.end()

    def _served_from(self, position: int) -> Generator[Any, None, int]:
        """The served items up to the next one that ran; gives back its position."""
        while position < len(self.order):
            task = self.order[position]
            if task is None:
                break
            yield task.result
            position += 1
        return position

    def end(self) -> None:
        """Items that gave no result failed, or were given up."""
        for ident in self.idents:
            task = _running.pop(ident, None)
            if task is not None:
                task.failed(RuntimeError("joblib gave no result"))
