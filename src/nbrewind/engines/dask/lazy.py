"""Clients and clusters that are rebuilt without being started (R4).

A lazy client is a real client whose loop runs but which is connected to nothing: hits,
gather, wait and as_completed need no more.  The first miss, or a use that needs the
cluster, connects it; from then on it is an ordinary instance of the engine's class.
"""

from __future__ import annotations

import contextlib
import threading
from functools import lru_cache
from typing import Any

from distributed.core import Status

from nbrewind.engines.dask import dasklib, recipes
from nbrewind.engines.dask.dasklib import Client, sync
from nbrewind.engines.dask.recipes import clean_path

_QUIET = frozenset(
    {"submit", "map", "gather", "compute", "persist", "get", "close", "start", "get_executor"}
) | {
    *("loop", "asynchronous", "sync", "current", "as_current", "preloads"),
    *("normalize_collection", "futures_of", "unsubscribe_topic"),
}
"""Parts of a client that need no cluster as long as nothing misses."""


def before_start() -> None:
    """Called before a client connects: the name of its cluster may hold a newer size than its recipe."""


@lru_cache(maxsize=64)
def lazy_client_class(cls: Any) -> Any:
    """A subclass of a client class whose instances connect at the first real need."""
    loud = frozenset(n for n in dir(cls) if not n.startswith("_")) - _QUIET | {"cluster", "scheduler"}

    def __getattribute__(self: Any, name: str) -> Any:
        if name in loud and not object.__getattribute__(self, "__dict__").get("_nbrewind_building", True):
            self._nbrewind_connect()
            return getattr(self, name)
        return super(made, self).__getattribute__(name)

    def start(self: Any, **kwargs: Any) -> None:
        self._loop_runner.start()
        if self._set_as_default:
            dasklib.client._set_global_client(self)

    def connect(self: Any) -> None:
        before_start()
        with self.__dict__["_nbrewind_lock"]:
            if type(self) is not made:
                return
            self.__class__ = cls
            cluster = self.__dict__.pop("_nbrewind_cluster", None)
            if cluster is not None:
                realise(cluster)
                # By its address: this client has a loop of its own, where nobody may wait for the cluster.
                self._start_arg = cluster.scheduler_address
            with clean_path():
                sync(self.loop, self._start)
            if cluster is not None:
                self.cluster = self._start_arg = cluster
            recipes.resize(self.cluster, self.__dict__.pop(recipes.SIZES, {}))

    def close(self: Any, timeout: Any = None) -> None:
        with self.__dict__["_nbrewind_lock"]:
            if type(self) is not made:
                self.close()
                return
            self.__class__ = cls
        for key in list(self.futures):
            self._release_key(key)
        dasklib.client._del_global_client(self)
        if self._set_as_default and not dasklib.client._global_clients:
            with contextlib.suppress(AttributeError), self._set_config:
                pass
        self.status = "closed"
        self._loop_runner.stop()

    def shown(name: str) -> Any:
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            self._nbrewind_connect()
            return getattr(self, name)(*args, **kwargs)

        return call

    body = {
        "__getattribute__": __getattribute__,
        "__doc__": cls.__doc__,
        "__module__": cls.__module__,
        "__repr__": shown("__repr__"),
        "_repr_html_": shown("_repr_html_"),
        "_nbrewind_connect": connect,
        "start": start,
        "close": close,
    }
    made: Any = type(cls.__name__, (cls,), body)
    made.__qualname__ = cls.__qualname__
    return made


def lazy_client(cls: Any, args: list[Any], kwargs: dict[str, Any], cluster: Any) -> Any:
    """An unconnected client; ``cluster`` stands for a cluster among the arguments."""
    made: Any = lazy_client_class(cls)
    client = made.__new__(made)
    client.__dict__["_nbrewind_lock"] = threading.RLock()
    client.__dict__["_nbrewind_building"] = True
    if cluster is not None:
        client.__dict__["_nbrewind_cluster"] = cluster
    client.__init__(*args, **kwargs)
    client.__dict__["_nbrewind_building"] = False
    return client


_OWN = frozenset(
    {"__class__", "__dict__", "close", "__del__", "__enter__", "__exit__", "__init__", "__reduce_ex__"}
)


@lru_cache(maxsize=64)
def lazy_cluster_class(cls: Any) -> Any:
    """A subclass of a cluster class whose instances start at the first use."""

    def __getattribute__(self: Any, name: str) -> Any:
        held = object.__getattribute__(self, "__dict__")
        if name in _OWN or name in held:
            return object.__getattribute__(self, name)
        realise(self)
        return getattr(self, name)

    def close(self: Any, timeout: Any = None) -> None:
        self.__dict__["status"] = Status.closed

    def shown(name: str) -> Any:
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            realise(self)
            return getattr(self, name)(*args, **kwargs)

        return call

    body = {
        "__getattribute__": __getattribute__,
        "__doc__": cls.__doc__,
        "__module__": cls.__module__,
        "__repr__": shown("__repr__"),
        "_repr_html_": shown("_repr_html_"),
        "__enter__": lambda self: self,
        "__exit__": lambda self, *error: self.close(),
        "__del__": lambda self: None,
        "close": close,
    }
    made: Any = type(cls.__name__, (cls,), body)
    made.__qualname__ = cls.__qualname__
    return made


def lazy_cluster(cls: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """A cluster that is not started."""
    made: Any = lazy_cluster_class(cls)
    cluster = object.__new__(made)
    cluster.__dict__["_nbrewind_start"] = (cls, args, kwargs, threading.RLock())
    return cluster


def realise(cluster: Any) -> None:
    """Start a lazy cluster; others are left alone."""
    start = object.__getattribute__(cluster, "__dict__").get("_nbrewind_start")
    if start is None:
        return
    cls, args, kwargs, lock = start
    with lock:
        if "_nbrewind_start" not in cluster.__dict__:
            return
        if cluster.__dict__.get("status") is Status.closed:
            raise RuntimeError("This cluster is closed.")
        del cluster.__dict__["_nbrewind_start"]
        cluster.__class__ = cls
        cls.__init__(cluster, *args, **kwargs)
        recipes.resize(cluster, cluster.__dict__.get(recipes.SIZES, {}))


def cluster_of(client: Any) -> Any:
    """The cluster of a client, started or not; the client itself where it will make one."""
    held = object.__getattribute__(client, "__dict__")
    if hasattr(type(client), "_nbrewind_connect"):
        return held.get("_nbrewind_cluster", client)
    return held.get("cluster")


def is_lazy(obj: Any) -> bool:
    """Whether a client or cluster was rebuilt and has not been needed yet."""
    held = object.__getattribute__(obj, "__dict__")
    return "_nbrewind_start" in held or (isinstance(obj, Client) and hasattr(type(obj), "_nbrewind_connect"))
