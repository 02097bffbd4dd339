"""Follows what a client computes until it is in the log; all of it on the client's event loop.

Most tasks are small and give small results, and for tasks of microseconds whatever is done for each of them
counts.  So nothing waits for a task as long as all is well: its report brings the result, the news that the
scheduler has it is seen when a batch is due, and one thread logs the batch.  What is not so simple (a result
that must be asked for, inputs that are open, errors, reports that do not come) has a coroutine of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pickle
import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from nbrewind.engines.dask import record
from nbrewind.engines.dask.dasklib import Future
from nbrewind.engines.dask.graph import End, Item, content_key
from nbrewind.engines.dask.job import Job, Originals
from nbrewind.engines.dask.together import LINGER, Together

if TYPE_CHECKING:
    from nbrewind.engines.dask.runtime import Runtime

log = logging.getLogger("nbrewind.dask")
_FETCHED, _WRITTEN = 64, 256
"""Results that are fetched, and tasks that are logged, in one go at most."""
_REPORT_WAIT = 10.0
_REPORTS = 20_000

Report = dict[str, Any]


class Following:
    """What of one client's tasks is not in the log yet."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.reports: dict[str, Report] = {}
        """The newest reports of tasks that have a coroutine of their own, or are not recorded."""
        self._arrivals: dict[str, asyncio.Event] = {}
        self._expected: dict[str, tuple[Job, Item]] = {}
        """Items for which nothing is to be done before their report comes."""
        self._ready: list[tuple[Job, Item, Report]] = []
        """Items whose report brought the result: the next batch."""
        self._followed: dict[Item, asyncio.Task[None]] = {}
        """Items with a coroutine of their own."""
        self._logging: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._waiting = 0
        """How many wait for tasks to be logged."""
        self._fetched = Together(self._fetch, _FETCHED)
        self._written = Together(self._write, _WRITTEN)

    def start(self, job: Job, items: list[Item]) -> None:
        """Follow items that were sent, or are to be served or sent later."""
        for item in items:
            if job.open or not item.ident or item.deep is None:
                self._follow(job, item)
            elif item.ident in self.reports:
                self._begin(job, item, self.reports.pop(item.ident))
            else:
                self._expected[item.ident] = job, item

    def arrived(self, event: Any) -> None:
        """A worker has sent reports."""
        for report in event[1]["reports"]:
            ident = report["ident"]
            expected = self._expected.pop(ident, None)
            if expected is not None:
                self._begin(*expected, report)
                continue
            self.reports[ident] = report
            arrival = self._arrivals.pop(ident, None)
            if arrival is not None:
                arrival.set()
        while len(self.reports) > _REPORTS:
            del self.reports[next(iter(self.reports))]

    def released(self, item: Item, state: Any) -> None:
        """Nobody holds the item's future any more: the task is cancelled, or its result is forgotten."""
        item.end = _end(state)
        expected = self._expected.pop(item.ident, None)
        if expected is not None:
            # Done, but for a report that is on its way; or never to be done: then nobody waits for it.
            self._follow(*expected)

    def _begin(self, job: Job, item: Item, report: Report) -> None:
        if "value" not in report:
            self.reports[item.ident] = report
            self._follow(job, item)
            return
        self._ready.append((job, item, report))
        if self._logging is None:
            self._logging = asyncio.ensure_future(self._log_ready())

    def _follow(self, job: Job, item: Item) -> None:
        task = asyncio.ensure_future(self._following(job, item))
        self._followed[item] = task
        task.add_done_callback(partial(self._ended, job, item))

    def _ended(self, job: Job, item: Item, task: asyncio.Task[None]) -> None:
        self._followed.pop(item, None)
        job.done(item)

    def _state(self, item: Item) -> Any:
        client = self._runtime.client
        return client.futures.get(item.key) if client is not None else None

    # -- batches ----------------------------------------------------------------------

    async def _log_ready(self) -> None:
        try:
            while self._ready:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._wanted.wait(), LINGER)
                batch, self._ready = self._ready[:_WRITTEN], self._ready[_WRITTEN:]
                await self._log_batch(batch)
        finally:
            self._logging = None

    async def _log_batch(self, batch: list[tuple[Job, Item, Report]]) -> None:
        taken: dict[Item, Job] = {}
        finished: list[record.Finished] = []
        reports: dict[str, Report] = {}
        for job, item, first in batch:
            # Where a worker was lost, another one runs the task again: the last run is what is delivered.
            report = self.reports.pop(item.ident, first)
            found = self._complete(item, report, taken, reports)
            if found is None:
                self.reports[item.ident] = report
                self._follow(job, item)
                continue
            reports[item.ident] = report
            taken[item] = job
            finished.append(found)
        try:
            await self._runtime.offload(record.write_all, self._runtime.context, finished, reports)
        except Exception:  # tasks that cannot be logged run again; the user's futures are unharmed
            log.warning("%d tasks were not logged.", len(finished), exc_info=True)
        finally:
            for item, job in taken.items():
                item.settled.set()
                job.pins.pop(item.key, None)
                job.done(item)

    def _complete(
        self, item: Item, report: Report, taken: Mapping[Item, Job], reports: dict[str, Report]
    ) -> record.Finished | None:
        """What is to be logged of an item; None if that is not all known."""
        if "value" not in report or (item.end or _end(self._state(item))) != _DONE:
            return None
        sources = self._sources(item, taken, reports)
        try:
            return None if sources is None else (item, pickle.loads(report["value"]), "", sources)
        except Exception:  # noqa: BLE001 - told where the item is followed by itself
            return None

    def _sources(
        self, item: Item, taken: Mapping[Item, Job], reports: dict[str, Report]
    ) -> list[Item] | None:
        """The items whose reports tell what a task read, their reports; None if something above is open."""
        sources = [item]
        for above in item.closure() if item.deps else ():
            if above.fate in ("run", "deferred"):
                if not above.settled.is_set() and above not in taken:
                    return None
            elif above.fate == "glue" and above.ident:
                if above.ident not in self.reports:
                    return None
                reports[above.ident] = self.reports[above.ident]
                sources.append(above)
        return sources

    # -- one by one -------------------------------------------------------------------

    async def _following(self, job: Job, item: Item) -> None:
        try:
            if item in job.open:
                try:
                    released = await self._release(job, item)
                finally:
                    job.settle(item)
                if not released:
                    return
            await self._finished(job, item)
        except asyncio.CancelledError:
            raise
        except Exception:  # a task that cannot be logged runs again; the user's future is unharmed
            log.warning("Task %s was not logged.", item.key, exc_info=True)
        finally:
            item.settled.set()

    async def _release(self, job: Job, item: Item) -> bool:
        """Settle a deferred item: serve it or send it.  False if there is nothing left to follow."""
        runtime = self._runtime
        waited_for = item.pending() + item.blocked()
        if waited_for:
            self._hurry(+1)
        try:
            for above in waited_for:
                await self._settled(above)
        finally:
            if waited_for:
                self._hurry(-1)
        if runtime.client is None or not job.alive():
            return False
        state = self._state(item)
        if item.key in job.wanted and (state is None or state.status == "cancelled"):
            return False
        content = content_key(item) if item.deep is not None else None
        if content is not None:
            await runtime.offload(runtime.serve_or_run, item, content)
            if item.fate == "served":
                if state is not None:
                    runtime.complete(item, state)
                item.settled.set()
                return False
        item.fate = "run" if item.deep is not None else "plain"
        if item.cell is not None:
            item.cell.counts.run += 1
        await runtime.offload(runtime.connect)
        job.send([item])
        return True

    async def _settled(self, item: Item) -> None:
        """Wait until an item is in the log or will not be."""
        expected = self._expected.pop(item.ident, None)
        if expected is not None:
            self._follow(*expected)  # which ends where its report does not come
        await item.settled.wait()

    async def _finished(self, job: Job, item: Item) -> None:
        """Wait until the engine has the result, and log it."""
        pin = job.pins.pop(item.key, None)
        if item.end is None:
            state = self._state(item)
            if state is not None:
                await state.wait()
                if self._state(item) is state:
                    item.end = _end(state)
                    if pin is None:
                        # The user may let go of the future at once: hold it until it is logged.
                        pin = Future(item.key, self._runtime.client)
                    if job.open:
                        job.held.append(pin)
            if item.end is None:
                self._abandon(job)
                return
        if item.deep is not None:
            await self._log(item, pin)

    def _abandon(self, job: Job) -> None:
        """Nobody holds a result of this graph any more: let go of what is still to run."""
        if self._runtime.client is None or job.alive():
            return
        job.held.clear()
        for item, task in list(self._followed.items()):
            if item in job.members and _pending(self._state(item)):
                task.cancel()
        for owner, item in list(self._expected.values()):
            if owner is job and _pending(self._state(item)):
                del self._expected[item.ident]
                item.settled.set()
                job.done(item)

    async def _log(self, item: Item, pin: Any) -> None:
        assert item.end is not None
        error = item.end[1]
        sources = [item]
        # A task that fails has reported by then, if it was called at all.
        report = self.reports.get(item.ident) if error else await self._report(item.ident)
        for above in item.closure():
            if above.fate in ("run", "deferred"):
                await self._settled(above)
            elif above.fate == "glue" and above.ident:
                if not error:
                    await self._report(above.ident)
                sources.append(above)
        if report is None and item.ident and not error:
            log.warning("Task %s was not logged: its worker sent no report.", item.key)
            return
        value = None
        if report is not None and "value" in report:
            value = pickle.loads(report["value"])
        elif not error:
            if pin is None:
                return
            value = await self._fetched(pin)
        await self._written((item, value, error, sources))

    async def _report(self, ident: str) -> Report | None:
        """The report of a task that the engine says is done, waiting for it where it is on its way."""
        report = self.reports.get(ident)
        if ident and (report is None or report["failed"]):  # an earlier try may have failed
            arrival = self._arrivals.setdefault(ident, asyncio.Event())
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(arrival.wait(), _REPORT_WAIT)
            report = self.reports.get(ident)
        return None if report is None or report["failed"] else report

    async def _fetch(self, pins: list[Any]) -> list[Any]:
        values: list[Any] = await Originals.gather(self._runtime.client, pins)
        return values

    async def _write(self, finished: list[record.Finished]) -> list[None]:
        await self._runtime.offload(record.write_all, self._runtime.context, finished, self.reports)
        return [None] * len(finished)

    # -- the end ----------------------------------------------------------------------

    def _hurry(self, change: int) -> None:
        """Somebody begins or ends to wait for tasks to be logged."""
        self._waiting += change
        if self._waiting:
            self._wanted.set()
        else:
            self._wanted.clear()
        for together in (self._fetched, self._written):
            if self._waiting:
                together.hurry()
            else:
                together.relax()

    async def drain(self, timeout: float) -> None:
        """Wait until tasks that are complete are logged; those still running are left."""
        self._hurry(+1)
        try:
            await self._drain(timeout)
        finally:
            self._hurry(-1)

    async def _drain(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self._runtime.client is not None:
            for job, item in list(self._expected.values()):
                if _end(self._state(item)) is not None:
                    del self._expected[item.ident]
                    self._follow(job, item)  # which ends where its report does not come
            waited_for = [
                task
                for item, task in self._followed.items()
                if not item.settled.is_set() and (item.end or _end(self._state(item))) is not None
            ]
            if self._logging is not None:
                waited_for.append(self._logging)
            if not waited_for:
                return
            await asyncio.wait(waited_for, timeout=max(0.0, deadline - time.monotonic()))


_DONE: End = ("finished", "")


def _end(state: Any) -> End | None:
    """How a task has ended, as far as its future tells."""
    if state is None or state.status not in ("finished", "error"):
        return None
    if state.status == "error":
        return "error", f"{type(state.exception).__name__}: {state.exception}"[:2000]
    return _DONE


def _pending(state: Any) -> bool:
    return state is not None and state.status == "pending"
