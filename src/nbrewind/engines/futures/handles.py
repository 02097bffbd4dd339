"""Pools and futures that come back in a later run: as a call, and as a result of the log (R4).

An open pool of processes has no recipe: forked workers hold the notebook as it was at the
pool's first task, so the cells that made and used it run again where it is needed.
"""

from __future__ import annotations

import uuid
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

from nbrewind.engines.futures import relay
from nbrewind.errors import NotStorable
from nbrewind.tasks.context import TaskContext
from nbrewind.tasks.handles import Handle

_POOLS: dict[str, Any] = {"threads": ThreadPoolExecutor, "processes": ProcessPoolExecutor}


def handles(context: TaskContext) -> dict[type, Any]:
    """The types that come back."""

    def rebuild_future(recipe: dict[str, Any]) -> Any:
        return served_again(context, recipe)

    future = Handle("futures.future", describe_future, rebuild_future, future_version)
    pool = Handle("futures.pool", describe_pool, rebuild_pool, closed=is_shut)
    return {relay.Served: future, relay.Relay: future, **dict.fromkeys(_POOLS.values(), pool)}


def describe_pool(pool: Any) -> dict[str, Any] | None:
    """The call that makes such a pool, where all that matters of it is known."""
    kind = next((name for name, cls in _POOLS.items() if type(pool) is cls), None)
    shut = is_shut(pool)
    if kind is None or pool._initializer is not None:
        return None
    if kind == "processes" and not shut:
        return None
    return {"pool": kind, "workers": pool._max_workers, "shut": shut}


def rebuild_pool(recipe: dict[str, Any]) -> Any:
    """A pool without workers yet."""
    pool = _POOLS[recipe["pool"]](max_workers=recipe["workers"])
    if recipe["shut"]:
        pool.shutdown()
    return pool


def is_shut(pool: Any) -> bool:
    """Whether a pool takes no more tasks."""
    return bool(getattr(pool, "_shutdown", False) or getattr(pool, "_shutdown_thread", False))


def describe_future(future: Any) -> dict[str, Any] | None:
    """The task that made a future."""
    ticket = future.task.ticket
    return None if ticket is None else {"task": ticket.key, "occurrence": ticket.occurrence}


def future_version(future: Any) -> str | None:
    """A finished future counts by its result; one that is not is like no other."""
    digest: str = future.task.result_digest
    return digest or uuid.uuid4().hex


def served_again(context: TaskContext, recipe: dict[str, Any]) -> Any:
    """The future of a task of an earlier run, finished.

    Raises:
        NotStorable: the log has no result of it.
    """
    task = context.recalled(recipe["task"], recipe["occurrence"])
    if task is None:
        raise NotStorable("the task log has no result of a future: its task failed or did not complete")
    return relay.Served(*task)
