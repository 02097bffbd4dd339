"""Where Dask is hooked, and how the hooks come out again.

``Client._graph_to_futures`` is private, but submit, map, compute, persist, get and every
collection's compute go through it; ``_gather``, ``_release_key`` and the closing methods
complete the picture.  Names that a notebook has imported already (``wait``,
``as_completed``) need no hook: served futures are Dask's own, finished locally.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import math
import threading
from collections.abc import Callable
from typing import Any

from nbrewind.engines.dask import dasklib, draws, lazy, recipes, record
from nbrewind.engines.dask.dasklib import Client, Cluster, Future, pack_data, thread_state, unpack_remotedata
from nbrewind.engines.dask.graph import Item
from nbrewind.engines.dask.job import Originals
from nbrewind.engines.dask.runtime import Runtime
from nbrewind.errors import NotStorable
from nbrewind.flow.code import hash_parts
from nbrewind.tasks.context import TaskContext

ATTRIBUTE = "_nbrewind_runtime"
_local = threading.local()
_saved: list[tuple[Any, str, Any]] = []
_context: list[TaskContext] = []


def runtime_of(client: Any) -> Runtime | None:
    """The task log beside a client; made at first use."""
    found: Runtime | None = client.__dict__.get(ATTRIBUTE)
    if found is None and _context:
        found = Runtime(client, _context[-1])
        client.__dict__[ATTRIBUTE] = found
    return found


def install(context: TaskContext) -> None:
    """Hook ``distributed``; a second call only changes the context."""
    _context[:] = [context]
    context.leaves[Future] = future_text
    if _saved:
        return
    Originals.graph_to_futures = Client._graph_to_futures
    Originals.gather = Client._gather
    _patch(Client, "_graph_to_futures", _graph_to_futures)
    _patch(Client, "_gather", _gather)
    _patch(Client, "submit", _marking(Client.submit))
    _patch(Client, "map", _marking(Client.map))
    _patch(Client, "scatter", _scatter(Client.scatter))
    _patch(Client, "_release_key", _release_key(Client._release_key))
    _patch(Client, "_close", _drained(Client._close))
    _patch(Client, "_shutdown", _drained(Client._shutdown))
    _patch(Cluster, "close", _close_cluster(Cluster.close))
    _patch(dasklib.as_completed, "update", _in_order(dasklib.as_completed.update))
    _record_calls()
    finder = _find_client(dasklib.client._get_global_client)
    _patch(dasklib.client, "_get_global_client", finder)
    _patch(lazy, "before_start", _restore)
    for module, name, value in draws.replacements():
        _patch(module, name, value)
    atexit.register(_close_clients)  # later than the engine's own, so it runs before these


def uninstall() -> None:
    """Take the hooks out."""
    atexit.unregister(_close_clients)
    if _saved:
        del Cluster.__init_subclass__
    while _saved:
        owner, name, value = _saved.pop()
        setattr(owner, name, value)
    _context.clear()


def _close_clients() -> None:
    """The process ends: clients go before their clusters.

    A cluster that loses its workers one by one has the rest compute again what a client still holds.
    """
    for client in list(Client._instances):
        if client.status == "running" and not client.asynchronous:
            with contextlib.suppress(OSError, RuntimeError, TimeoutError):  # it ends with the process
                client.close(timeout=5)


def finish(timeout: float | None) -> None:
    """Wait until completed tasks of all clients have reached the log."""
    for client in list(Client._instances):
        runtime = client.__dict__.get(ATTRIBUTE)
        if runtime is not None:
            runtime.finish(timeout)


def _record_calls() -> None:
    """Remember how clients and clusters were made and sized, those of classes made later too."""
    _patch(Client, "__init__", recipes.recording(Client.__init__))
    stack = [Cluster]
    while stack:
        cls = stack.pop()
        stack.extend(cls.__subclasses__())
        _record_class(cls)

    def subclassed(cls: Any, /, **kwargs: Any) -> None:
        super(Cluster, cls).__init_subclass__(**kwargs)
        if _saved:
            _record_class(cls)

    Cluster.__init_subclass__ = classmethod(subclassed)


def _record_class(cls: Any) -> None:
    if "__init__" in cls.__dict__:
        _patch(cls, "__init__", recipes.recording(cls.__init__))
    for name in recipes.SIZING:
        if name in cls.__dict__:
            # An adaptive cluster sizes itself, in the engine's loop.
            _patch(cls, name, recipes.sizing(name, cls.__dict__[name], lambda: not _on_a_loop()))


def _patch(owner: Any, name: str, value: Any) -> None:
    _saved.append((owner, name, getattr(owner, name)))
    setattr(owner, name, value)


def future_text(future: Any) -> str:
    """How a future counts in an identity: by its result.

    Raises:
        NotStorable: that is not known yet, or the log does not know the task.
    """
    item = item_of(future)
    if item is None or item.digest is None:
        raise NotStorable(f"the result of the future {future.key!r} is not known to the log yet")
    return item.digest


def item_of(future: Any) -> Item | None:
    """What the log knows of a future."""
    runtime = future._client.__dict__.get(ATTRIBUTE) if future._client is not None else None
    return runtime.items.get(future.key) if runtime is not None else None


def _graph_to_futures(self: Any, expr: Any, keys: Any, *args: Any, **options: Any) -> Any:
    runtime = runtime_of(self)
    inside = getattr(thread_state, "key", None) is not None or not _context or not _context[-1].active
    if runtime is None or inside or args or options.get("actors"):
        if runtime is not None:
            runtime.connect()
        return Originals.graph_to_futures(self, expr, keys, *args, **options)
    futures = runtime.compute(expr, keys, options, pure=getattr(_local, "pure", False))
    if futures is None:
        runtime.connect()
        return Originals.graph_to_futures(self, expr, keys, **options)
    return futures


def _marking(original: Callable[..., Any]) -> Any:
    """Tell the graph hook whether the user calls these tasks pure."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        before = getattr(_local, "pure", False)
        _local.pure = bool(kwargs.get("pure", True))
        try:
            return original(self, *args, **kwargs)
        finally:
            _local.pure = before

    return _named(call, original)


async def _gather(
    self: Any, futures: Any, errors: str = "raise", direct: Any = None, local_worker: Any = None
) -> Any:
    runtime = runtime_of(self)
    if runtime is None:
        return await Originals.gather(self, futures, errors, direct, local_worker)
    unpacked, found = unpack_remotedata(futures, byte_keys=True)
    for future in found:
        item = runtime.items.get(future.key)
        if item is not None and item.fate == "deferred":
            await item.decided.wait()
    served = [f for f in found if f.client is self and runtime.is_served(f)]
    if not served:
        return await Originals.gather(self, futures, errors, direct, local_worker)
    rest = [f for f in found if f not in set(served)]
    data = {}
    bad = set()
    if rest and errors == "raise":
        values = await Originals.gather(self, rest, errors, direct, local_worker)
        data = {f.key: value for f, value in zip(rest, values, strict=True)}
    for future in rest if errors != "raise" else ():
        values = await Originals.gather(self, [future], errors, direct, local_worker)
        if values:
            data[future.key] = values[0]
        else:
            bad.add(future.key)
            data[future.key] = None
    for future in served:
        data[future.key] = record.value(runtime.context, runtime.items[future.key])
    if bad and isinstance(unpacked, list):
        unpacked = [f for f in unpacked if f not in bad]
    return pack_data(unpacked, data)


def _scatter(original: Callable[..., Any]) -> Any:
    """Remember what scattered futures hold, so that tasks reading them have an identity."""

    def call(self: Any, data: Any, *args: Any, **kwargs: Any) -> Any:
        runtime = runtime_of(self)
        if runtime is not None:
            runtime.connect()
        result = original(self, data, *args, **kwargs)
        if runtime is None or self.asynchronous:
            return result
        if isinstance(result, Future):
            pairs = [(result, data)]
        elif isinstance(result, dict):
            pairs = [(result[key], data[key]) for key in result]
        elif isinstance(data, list | tuple):
            pairs = list(zip(result, data, strict=True))
        else:
            pairs = []
        for future, value in pairs:
            try:
                digest = runtime.context.value_digest(value)
            except NotStorable:
                continue
            item = Item(future.key, recorded=True, fate="run", base=digest, digest=digest, sent=True)
            item.deep = hash_parts("scattered", digest)
            item.settled.set()
            runtime.items[future.key] = item
        return result

    return _named(call, original)


def _in_order(original: Callable[..., Any]) -> Any:
    """Give served futures to ``as_completed`` in the order in which their tasks were completed."""

    def completed(future: Any) -> float:
        item = item_of(future) if isinstance(future, Future) else None
        entry = item.entry if item is not None and item.fate == "served" else None
        return math.inf if entry is None else entry.created

    def call(self: Any, futures: Any) -> Any:
        return original(self, sorted(futures, key=completed))

    return _named(call, original)


def _release_key(original: Callable[..., Any]) -> Any:
    def call(self: Any, key: Any) -> Any:
        runtime = self.__dict__.get(ATTRIBUTE)
        if runtime is not None:
            runtime.items.pop(key, None)
        return original(self, key)

    return _named(call, original)


def _drained(original: Callable[..., Any]) -> Any:
    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        runtime = self.__dict__.get(ATTRIBUTE)
        if runtime is not None:
            await runtime.drain()
        result = await original(self, *args, **kwargs)
        if runtime is not None:
            runtime.close()
        return result

    return _named(call, original)


def _close_cluster(original: Callable[..., Any]) -> Any:
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        for client in list(Client._instances):
            runtime = client.__dict__.get(ATTRIBUTE)
            mine = client.__dict__.get("cluster") is self
            if mine and runtime is not None and not self.called_from_running_loop:
                runtime.finish()
        return original(self, *args, **kwargs)

    return _named(call, original)


def _find_client(original: Callable[..., Any]) -> Any:
    """An engine used implicitly: a client that a restored cell made must appear."""

    def call() -> Any:
        client = original()
        if client is None:
            _restore()
            client = original()
        return client

    return _named(call, original)


def _restore() -> None:
    """Make clients and clusters appear that restored cells made."""
    if _context and _context[-1].executing and not _on_a_loop():
        make = _context[-1].default_client
        if make is not None:
            make()


def _on_a_loop() -> bool:
    """Whether this is a thread that runs an engine's loop; a kernel runs the cells themselves in its own."""
    if threading.current_thread() is threading.main_thread():
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _named(call: Any, original: Any) -> Any:
    call.__name__ = original.__name__
    call.__qualname__ = original.__qualname__
    call.__doc__ = original.__doc__
    call.__wrapped__ = original
    return call
