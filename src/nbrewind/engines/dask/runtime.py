"""Serves and records the tasks of one client.

Everything a client computes passes through ``Client._graph_to_futures``: the graph is
read, nodes that the log holds become finished futures (their values enter what is left
of the graph under keys named by content, so that the scheduler's own keys are never
poisoned), the rest runs wrapped.  Results are logged on the client's event loop as
their keys reach memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from nbrewind.engines.dask import record
from nbrewind.engines.dask.dasklib import Future, dask, sync
from nbrewind.engines.dask.graph import Item, Key, Reader, content_key, ordered_keys, shape_key
from nbrewind.engines.dask.job import Job, Originals
from nbrewind.engines.dask.together import Together
from nbrewind.tasks import worker
from nbrewind.tasks.context import TaskContext

log = logging.getLogger("nbrewind.dask")
LARGEST_GRAPH = 200_000
"""Nodes beyond which a graph runs without the log: reading it would cost more than it saves."""
_FETCHED, _WRITTEN = 64, 256
"""Results that are fetched, and tasks that are logged, in one go at most."""
_TYPED = 100_000
_REPORT_WAIT = 10.0
_REPORTS = 20_000


class Runtime:
    """The task log beside one client."""

    def __init__(self, client: Any, context: TaskContext) -> None:
        self._client = weakref.ref(client)
        self.context = context
        self.items: dict[Key, Item] = {}
        """Items by Dask's key, as long as the client holds the key."""
        self.reports: dict[str, dict[str, Any]] = {}
        self._arrivals: dict[str, asyncio.Event] = {}
        self._following: dict[Item, asyncio.Task[None]] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="nbrewind-tasks")
        self._waiting = 0
        """How many wait for tasks to be logged."""
        self._fetched = Together(self._fetch, _FETCHED)
        self._written = Together(self._write, _WRITTEN)
        self._subscribed: object | None = None

    @property
    def client(self) -> Any:
        """The client; None once it was collected."""
        return self._client()

    # -- submission -------------------------------------------------------------------

    def compute(
        self, expr: Any, keys: Iterable[Key], options: dict[str, Any], *, pure: bool
    ) -> dict[Key, Any] | None:
        """Futures for ``keys``; None where the graph must take the engine's own way."""
        graph = dict(expr.__dask_graph__())
        if len(graph) > LARGEST_GRAPH:
            return None
        wanted = ordered_keys(expr, keys)
        annotations = expr.__dask_annotations__()
        with self.client._refcount_lock:
            order = Reader(self.context, self._held).read(graph, wanted)
            cell = self.context.cell
            for item in order:
                item.cell, item.pure = cell, pure
                self._decide(item)
            futures = self._futures(order, wanted)
            ready = [
                item for item in order if item.recorded and item.fate in ("run", "plain") and not item.sent
            ]
            job = Job(self, order, set(wanted), annotations, options, dask.get_annotations())
        if ready:
            self.connect()
            job.send(ready)
        self._watch(job, order)
        return futures

    def _held(self, key: Key) -> Item | None:
        """The item of a key that the client holds: the engine would not run it again either."""
        state = self.client.futures.get(key)
        return self.items.get(key) if state is not None and state.status in ("pending", "finished") else None

    def _decide(self, item: Item) -> None:
        if item.fate == "data" and not item.recorded:
            return
        if not item.recorded:
            item.fate = "glue"
            return
        if item.deep is None or item.base is None:
            item.fate = "deferred" if item.blocked() else "plain"
            return
        cell = item.cell or self.context.cell
        cell.keys.setdefault(item.deep)
        content = content_key(item)
        if item.deep != content:
            item.deep_ticket = self.context.claim(item.deep, cell)
        if content is None:
            shape = shape_key(item)
            known = bool(item.blocked()) or (
                cell.serve and shape is not None and bool(self.context.store.tasks(shape))
            )
            item.fate = "deferred" if known else "run"
            return
        self._serve_or_run(item, content)

    def _serve_or_run(self, item: Item, content: str) -> None:
        cell = item.cell or self.context.cell
        item.ticket = self.context.claim(content, cell)
        item.fate = "run"
        entry = self.context.find(item.ticket, pure=item.pure)
        if (
            entry is None
            or not record.usable(self.context, item, entry)
            or not self.context.serve(entry, cell)
        ):
            return
        item.entry, item.digest, item.fate = entry, entry.result_digest, "served"
        record.alias(self.context, item, entry)

    def _futures(self, order: list[Item], wanted: list[Key]) -> dict[Key, Any]:
        """Futures of the wanted keys, made before anything is sent; served ones are finished."""
        by_key = {item.key: item for item in order}
        futures = {}
        for key in wanted:
            item = by_key.get(key)
            future = Future(key, self.client)
            futures[key] = future
            if item is None:
                continue
            if item.fate == "served" and future._state.status == "pending" and key not in self.items:
                self._finish(item, future._state)
            self.items[key] = item
        return futures

    def adopt(self, item: Item) -> Any:
        """A finished future for an item that an earlier process computed."""
        with self.client._refcount_lock:
            future = Future(item.key, self.client)
            self.items[item.key] = item
            self._finish(item, future._state)
        return future

    def _finish(self, item: Item, state: Any) -> None:
        kind = None
        if item.entry is not None and len(self.context.store.get(item.entry.result)) <= _TYPED:
            kind = type(record.value(self.context, item))
        state.finish(kind)

    def is_served(self, future: Any) -> bool:
        """Whether a future's result is here and not on the cluster."""
        item = self.items.get(future.key)
        return item is not None and item.fate == "served" and future.status == "finished"

    def connect(self) -> None:
        """Connect a client that was rebuilt lazily; never from its own loop."""
        client = self.client
        ensure = getattr(type(client), "_nbrewind_connect", None)
        if ensure is not None:
            ensure(client)
        self._subscribe()

    def _subscribe(self) -> None:
        client = self.client
        if self._subscribed is not client.scheduler_comm:
            self._subscribed = client.scheduler_comm
            client.subscribe_topic(worker.TOPIC, self._reported)

    def _reported(self, event: Any) -> None:
        message = event[1]
        ident = message["ident"]
        self.reports[ident] = message
        if len(self.reports) > _REPORTS:
            del self.reports[next(iter(self.reports))]
        arrival = self._arrivals.pop(ident, None)
        if arrival is not None:
            arrival.set()

    # -- completion -------------------------------------------------------------------

    def _watch(self, job: Job, order: list[Item]) -> None:
        followed = [item for item in order if item in job.left]
        counts = self.context.cell.counts
        counts.run += sum(1 for item in followed if item.fate != "deferred")
        for item in order:
            if item.fate == "served":
                item.settled.set()
        if followed:
            self.client.loop.add_callback(self._start_following, job, followed)

    def _start_following(self, job: Job, items: list[Item]) -> None:
        for item in items:
            task = asyncio.ensure_future(self._follow(job, item))
            self._following[item] = task
            task.add_done_callback(partial(self._followed, job, item))

    def _followed(self, job: Job, item: Item, task: asyncio.Task[None]) -> None:
        self._following.pop(item, None)
        job.done(item)

    async def _follow(self, job: Job, item: Item) -> None:
        try:
            if item in job.open:
                try:
                    released = await self._release(job, item)
                finally:
                    job.settle(item)
                if not released:
                    return
            pin = job.pins.pop(item.key, None)
            client = self.client
            state = client.futures.get(item.key) if client is not None else None
            if state is None:
                return
            await state.wait()
            if state.status == "cancelled" or client.futures.get(item.key) is not state:
                self._abandon(job)
                return
            if pin is None:
                # The user may let go of the future at once: hold it until it is logged.
                pin = Future(item.key, client)
            if job.open:
                job.held.append(pin)
            if item.deep is not None:
                await self._log(job, item, pin, state)
        except asyncio.CancelledError:
            raise
        except Exception:  # a task that cannot be logged runs again; the user's future is unharmed
            log.warning("Task %s was not logged.", item.key, exc_info=True)
        finally:
            item.settled.set()

    async def _release(self, job: Job, item: Item) -> bool:
        """Settle a deferred item: serve it or send it.  False if there is nothing left to follow."""
        waited_for = item.pending() + item.blocked()
        if waited_for:
            self._hurry(+1)
        try:
            for above in waited_for:
                await above.settled.wait()
        finally:
            if waited_for:
                self._hurry(-1)
        client = self.client
        if client is None or not job.alive():
            return False
        state = client.futures.get(item.key)
        if item.key in job.wanted and (state is None or state.status == "cancelled"):
            return False
        content = content_key(item) if item.deep is not None else None
        if content is not None:
            await self._offload(self._serve_or_run, item, content)
            if item.fate == "served":
                if state is not None:
                    self._finish(item, state)
                item.settled.set()
                return False
        item.fate = "run" if item.deep is not None else "plain"
        if item.cell is not None:
            item.cell.counts.run += 1
        await self._offload(self.connect)
        job.send([item])
        return True

    def _abandon(self, job: Job) -> None:
        """Nobody holds a result of this graph any more: let go of what is still to run."""
        if not job.alive():
            job.held.clear()
            for item, task in list(self._following.items()):
                state = self.client.futures.get(item.key)
                if item in job.members and state is not None and state.status == "pending":
                    task.cancel()

    async def _offload(self, call: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, call, *args)

    async def _log(self, job: Job, item: Item, pin: Any, state: Any) -> None:
        error, value = "", None
        if state.status == "error":
            error = f"{type(state.exception).__name__}: {state.exception}"[:2000]
        elif state.status == "finished":
            value = await self._fetched(pin)
        else:
            return
        report = await self._report(item.ident)
        sources = [item]
        for above in item.closure():
            if above.fate in ("run", "deferred"):
                await above.settled.wait()
            elif above.fate == "glue" and above.ident:
                await self._report(above.ident)
                sources.append(above)
        if report is None and item.ident and not error:
            log.warning("Task %s was not logged: its worker sent no report.", item.key)
            return
        await self._written((item, value, error, sources))

    def _hurry(self, change: int) -> None:
        """Somebody begins or ends to wait for tasks to be logged."""
        self._waiting += change
        for together in (self._fetched, self._written):
            if self._waiting:
                together.hurry()
            else:
                together.relax()

    async def _fetch(self, pins: list[Any]) -> list[Any]:
        values: list[Any] = await Originals.gather(self.client, pins)
        return values

    async def _write(self, finished: list[tuple[Item, Any, str, list[Item]]]) -> list[None]:
        await self._offload(record.write_all, self.context, finished, self.reports)
        return [None] * len(finished)

    async def _report(self, ident: str) -> dict[str, Any] | None:
        if not ident:
            return None
        if ident not in self.reports:
            arrival = self._arrivals.setdefault(ident, asyncio.Event())
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(arrival.wait(), _REPORT_WAIT)
        return self.reports.get(ident)

    # -- the end ----------------------------------------------------------------------

    async def drain(self, timeout: float = 30.0) -> None:
        """Wait until tasks that are complete are logged; those still running are left."""
        self._hurry(+1)
        try:
            await self._drain(timeout)
        finally:
            self._hurry(-1)

    async def _drain(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            client = self.client
            if client is None:
                return
            open_items = []
            for item, task in list(self._following.items()):
                state = client.futures.get(item.key)
                if state is not None and state.status in ("finished", "error") and not item.settled.is_set():
                    open_items.append(task)
            if not open_items:
                return
            await asyncio.wait(open_items, timeout=max(0.0, deadline - time.monotonic()))

    def finish(self, timeout: float | None = None) -> None:
        """``drain`` from the user's thread."""
        client = self.client
        if client is not None and client.status == "running" and not client.asynchronous:
            sync(client.loop, self.drain, 30.0 if timeout is None else timeout)

    def close(self) -> None:
        """Let go of the recording thread."""
        self._pool.shutdown(wait=False)
