"""Recipes for what is never pickled: clients, clusters and futures (R4).

``handles()`` tells the session, per type, how to describe a live object as JSON and how
to make it again, unconnected.  A future is described by the task that made it and comes
back finished, from the log.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from nbrewind.engines.dask import hooks, lazy, recipes, record
from nbrewind.engines.dask.dasklib import Client, Cluster, Future
from nbrewind.engines.dask.graph import Item
from nbrewind.errors import NotStorable
from nbrewind.tasks.handles import Handle


def handles() -> dict[type, Any]:
    """The types that this engine rebuilds."""
    return {
        Client: Handle("dask.client", describe_client, rebuild_client, None, is_closed, client_settings),
        Cluster: Handle("dask.cluster", describe_cluster, rebuild_cluster, None, is_closed, settings),
        Future: Handle("dask.future", describe_future, rebuild_future, future_version),
    }


def describe_cluster(cluster: Any) -> dict[str, Any] | None:
    """The call that made a cluster, and those that gave it its size."""
    return _sized(cluster, _with_end(cluster, recipes.call_recipe(cluster, recipes.encode)))


def describe_client(client: Any) -> dict[str, Any] | None:
    """The call that made a client; a cluster among its arguments by that cluster's recipe."""
    return _sized(lazy.cluster_of(client), _with_end(client, recipes.call_recipe(client, _encode)))


def settings(cluster: Any) -> str:
    """The calls that gave a cluster its size."""
    sizes = recipes.sizes_of(cluster)
    return json.dumps(sizes) if sizes else ""


def client_settings(client: Any) -> str:
    """Those of the cluster that a client made itself; one that it was given has a name of its own."""
    cluster = lazy.cluster_of(client)
    given = cluster is not client and client.__dict__.get("_start_arg") is cluster
    return "" if cluster is None or given else settings(cluster)


def _sized(cluster: Any, recipe: dict[str, Any] | None) -> dict[str, Any] | None:
    if recipe is None or cluster is None:
        return recipe
    try:
        sizes = recipes.sizes_of(cluster)
    except NotStorable:
        return None
    return {**recipe, "sizes": sizes} if sizes else recipe


def is_closed(obj: Any) -> bool:
    """Whether a client or cluster was closed; starts nothing."""
    status = object.__getattribute__(obj, "__dict__").get("status")
    return str(getattr(status, "name", status)) in ("closed", "closing")


def _with_end(obj: Any, recipe: dict[str, Any] | None) -> dict[str, Any] | None:
    return {**recipe, "closed": True} if recipe is not None and is_closed(obj) else recipe


def _known(recipe: dict[str, Any]) -> Any:
    """The live object of a recipe, if it is open or closed as the recipe says."""
    found = recipes.known.get(recipe["id"])
    if found is None or is_closed(found) != bool(recipe.get("closed")):
        return None
    return found


def _encode(value: Any) -> Any:
    cluster = value if isinstance(value, Cluster) else _cluster_at(value)
    if cluster is None:
        return recipes.encode(value)
    recipe = describe_cluster(cluster)
    if recipe is None:
        raise NotStorable("the client's cluster has no recipe")
    return {"cluster": recipe}


def _cluster_at(address: Any) -> Any:
    """The notebook's own cluster behind an address, which is another one next time."""
    if not isinstance(address, str):
        return None
    for found in list(recipes.known.values()):
        if isinstance(found, Cluster) and not lazy.is_lazy(found):
            with_address = getattr(found, "scheduler_address", None)
            if with_address == address:
                return found
    return None


def rebuild_cluster(recipe: dict[str, Any], *, sized: bool = True) -> Any:
    """The cluster of a recipe, not started; the same object for the same recipe.

    ``sized`` says that the recipe tells its newest size: that of a client tells an earlier one.
    """
    found = _known(recipe)
    if found is None:
        args = [recipes.decode(value) for value in recipe["args"]]
        kwargs = {name: recipes.decode(value) for name, value in recipe["kwargs"].items()}
        found = lazy.lazy_cluster(recipes.find_class(recipe["class"]), args, kwargs)
        _remember(found, recipe)
        if recipe.get("closed"):
            found.close()
    elif sized and recipe.get("sizes", []) != recipes.sizes_of(found):
        recipes.remember_sizes(found, recipe.get("sizes", []))
        if not lazy.is_lazy(found):
            recipes.resize(found, found.__dict__[recipes.SIZES])
    return found


def rebuild_client(recipe: dict[str, Any]) -> Any:
    """The client of a recipe, unconnected; the same object for the same recipe."""
    found = _known(recipe)
    if found is not None:
        return found
    cluster = None

    def decode(value: Any) -> Any:
        nonlocal cluster
        if isinstance(value, dict) and "cluster" in value:
            now = {**value["cluster"], "sizes": recipe.get("sizes", [])}
            cluster = rebuild_cluster(now, sized=False)
            return None
        return recipes.decode(value)

    args = [decode(value) for value in recipe["args"]]
    kwargs = {name: decode(value) for name, value in recipe["kwargs"].items()}
    found = lazy.lazy_client(recipes.find_class(recipe["class"]), args, kwargs, cluster)
    _remember(found, recipe)
    if recipe.get("closed"):
        found.close()
    return found


def _remember(obj: Any, recipe: dict[str, Any]) -> None:
    condition = ("closed", "sizes")
    obj.__dict__[recipes.RECIPE] = {key: value for key, value in recipe.items() if key not in condition}
    if recipe.get("sizes") and (isinstance(obj, Cluster) or lazy.cluster_of(obj) is obj):
        recipes.remember_sizes(obj, recipe["sizes"])
    obj.__dict__[recipes.IDENTITY] = recipe["id"]
    recipes.known[recipe["id"]] = obj


def future_version(future: Any) -> str | None:
    """A future counts by its result's digest once known; one whose result is open is like no other.

    By its task alone it must not count: what the task reads may change while its key does not.
    """
    item = hooks.item_of(future)
    if item is None or item.deep is None:
        return None
    return item.digest or uuid.uuid4().hex


def describe_future(future: Any) -> dict[str, Any] | None:
    """The task that made a future, and its client."""
    item = hooks.item_of(future)
    if item is None or item.deep is None or item.spec is None:
        return None
    client = describe_client(future._client)
    if client is None:
        return None
    ticket = item.deep_ticket or item.ticket
    return {
        "client": client,
        "key": recipes.encode(future.key),
        "task": item.deep,
        "occurrence": ticket.occurrence if ticket is not None else 0,
    }


def rebuild_future(recipe: dict[str, Any]) -> Any:
    """The future again, finished, with its result from the log.

    Raises:
        NotStorable: the log has no result: the task failed or never completed.
    """
    client = rebuild_client(recipe["client"])
    key = recipes.decode(recipe["key"])
    runtime = hooks.runtime_of(client)
    if runtime is None:
        raise NotStorable("the Dask adapter is not installed")
    if key in runtime.items and key in client.futures:
        return Future(key, client)
    entries = [e for e in reversed(runtime.context.store.tasks(recipe["task"])) if e.result and not e.error]
    entries.sort(key=lambda e: (e.occurrence != recipe["occurrence"], bool(runtime.context.changed(e))))
    for entry in entries:
        item = Item(key, recorded=True, fate="served", base=entry.key, name=entry.name)
        if record.usable(runtime.context, item, entry):
            item.spec, item.deep, item.entry, item.digest = True, recipe["task"], entry, entry.result_digest
            item.settled.set()
            return runtime.adopt(item)
    raise NotStorable(f"the task log has no result of {key!r}: it failed or did not complete")


__all__ = ["Handle", "handles", "rebuild_client", "rebuild_cluster", "rebuild_future"]
