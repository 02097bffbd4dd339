"""Serves and records the tasks of one client.

Everything a client computes passes through ``Client._graph_to_futures``: the graph is
read, nodes that the log holds become finished futures (their values enter what is left
of the graph under keys named by content, so that the scheduler's own keys are never
poisoned), the rest runs wrapped.  Results are logged on the client's event loop as
their keys reach memory.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from nbrewind.engines.dask import record
from nbrewind.engines.dask.dasklib import Future, dask, sync
from nbrewind.engines.dask.following import Following
from nbrewind.engines.dask.graph import Item, Key, Reader, content_key, ordered_keys, shape_key
from nbrewind.engines.dask.job import Job
from nbrewind.tasks import worker
from nbrewind.tasks.context import TaskContext

LARGEST_GRAPH = 200_000
"""Nodes beyond which a graph runs without the log: reading it would cost more than it saves."""
_TYPED = 100_000


class Runtime:
    """The task log beside one client."""

    def __init__(self, client: Any, context: TaskContext) -> None:
        self._client = weakref.ref(client)
        self.context = context
        self.items: dict[Key, Item] = {}
        """Items by Dask's key, as long as the client holds the key."""
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="nbrewind-tasks")
        self.following = Following(self)
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
        followed = [item for item in order if item in job.left]
        self.context.cell.counts.run += sum(1 for item in followed if item.fate != "deferred")
        for item in order:
            if item.fate == "served":
                item.settled.set()
        if followed:
            self.client.loop.add_callback(self.following.start, job, followed)
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
        content = content_key(item) if item.deps else item.deep
        if item.deep != content:
            item.deep_ticket = self.context.claim(item.deep, cell)
        if content is None:
            shape = shape_key(item)
            known = bool(item.blocked()) or (
                cell.serve and shape is not None and bool(self.context.store.tasks(shape))
            )
            item.fate = "deferred" if known else "run"
            return
        self.serve_or_run(item, content)

    def serve_or_run(self, item: Item, content: str) -> None:
        """Serve an item whose content key is known, if the log can; else it has to run."""
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
        record.alias(self.context, item)

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
                self.complete(item, future._state)
            self.items[key] = item
        return futures

    def adopt(self, item: Item) -> Any:
        """A finished future for an item that an earlier process computed."""
        with self.client._refcount_lock:
            future = Future(item.key, self.client)
            self.items[item.key] = item
            self.complete(item, future._state)
        return future

    def complete(self, item: Item, state: Any) -> None:
        """Let the state of a served item's futures be that of a finished task."""
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
            client.subscribe_topic(worker.TOPIC, self.following.arrived)

    def release(self, key: Key, state: Any) -> None:
        """Nobody holds a future of this key any more; called before the client lets go of it, on its loop."""
        item = self.items.pop(key, None)
        if item is not None:
            self.following.released(item, state)

    async def offload(self, call: Callable[..., Any], *args: Any) -> Any:
        """Call something in the recording thread."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, call, *args)

    # -- the end ----------------------------------------------------------------------

    async def drain(self, timeout: float = 30.0) -> None:
        """Wait until tasks that are complete are logged; those still running are left."""
        await self.following.drain(timeout)

    def finish(self, timeout: float | None = None) -> None:
        """``drain`` from the user's thread."""
        client = self.client
        if client is not None and client.status == "running" and not client.asynchronous:
            sync(client.loop, self.drain, 30.0 if timeout is None else timeout)

    def close(self) -> None:
        """Let go of the recording thread."""
        self._pool.shutdown(wait=False)
