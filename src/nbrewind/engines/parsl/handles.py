"""Recipes for what is never pickled: kernels, executors and futures (R4).

A future is described by the task that made it and comes back finished, from the log.
"""

from __future__ import annotations

from typing import Any

from nbrewind.engines.parsl import hooks, lazy, recipes
from nbrewind.engines.parsl.origin import Keys, Origin, origin_of, set_origin
from nbrewind.engines.parsl.parsllib import (
    AppFuture,
    DataFlowKernel,
    DataFuture,
    File,
    Loader,
    ParslExecutor,
    States,
)
from nbrewind.errors import MissingObject, NotStorable
from nbrewind.tasks.context import CellTasks, TaskContext
from nbrewind.tasks.handles import Handle


def handles() -> dict[type, Any]:
    """The types that this engine rebuilds."""
    return {
        DataFlowKernel: Handle("parsl.dfk", describe_kernel, rebuild_kernel, closed=is_closed),
        ParslExecutor: Handle("parsl.executor", describe_executor, recipes.executor_of),
        AppFuture: Handle("parsl.future", describe_future, rebuild_future, future_version),
        DataFuture: Handle("parsl.data", describe_data, rebuild_data, data_version),
    }


def describe_kernel(kernel: Any) -> dict[str, Any] | None:
    """The configuration that a kernel was made with."""
    held = object.__getattribute__(kernel, "__dict__")
    recipe: dict[str, Any] | None = held.get(recipes.RECIPE)
    return {**recipe, "closed": True} if recipe is not None and is_closed(kernel) else recipe


def is_closed(kernel: Any) -> bool:
    """Whether a kernel was cleaned up; starts nothing."""
    return bool(object.__getattribute__(kernel, "__dict__").get("cleanup_called"))


def rebuild_kernel(recipe: dict[str, Any]) -> Any:
    """The kernel of a recipe, not started; the same object for the same recipe."""
    found = recipes.known.get(recipe["id"])
    if found is not None and is_closed(found) == bool(recipe.get("closed")):
        return found
    kernel = lazy.parked({key: value for key, value in recipe.items() if key != "closed"})
    if recipe.get("closed"):
        kernel.cleanup()
    return kernel


def describe_executor(executor: Any) -> dict[str, Any] | None:
    """The settings that an executor was made with; None where they have no JSON form."""
    try:
        return recipes.of_executor(executor)
    except NotStorable:
        return None


def future_version(future: Any) -> str | None:
    """A future counts by its result once known, else by its task."""
    try:
        return Keys(hooks.context()).result_text(future)
    except NotStorable:
        return None


def describe_future(future: Any) -> dict[str, Any] | None:
    """The task that made a future."""
    origin = origin_of(future)
    if origin is None or origin.deep is None or origin.local:
        return None
    ticket = origin.deep_ticket or origin.ticket
    kwargs = future.task_record["kwargs"]
    try:
        return {
            "task": origin.deep,
            "occurrence": ticket.occurrence if ticket is not None else 0,
            "name": origin.name,
            "id": future.task_record["id"],
            "streams": {name: recipes.encode(kwargs.get(name)) for name in ("stdout", "stderr")},
            "outputs": [data.file_obj.url for data in future.outputs],
        }
    except NotStorable:
        return None


def rebuild_future(recipe: dict[str, Any]) -> Any:
    """The future again, finished, with its result from the log.

    Raises:
        NotStorable: the log has no result: the task failed or never completed.
    """
    context: TaskContext = hooks.context()
    entries = [e for e in reversed(context.store.tasks(recipe["task"])) if e.result and not e.error]
    entries.sort(key=lambda e: (e.occurrence != recipe["occurrence"], bool(context.changed(e))))
    for entry in entries:
        try:
            value = context.load(entry)
        except (MissingObject, NotStorable):
            continue
        streams = {name: recipes.decode(spec) for name, spec in recipe["streams"].items()}
        record = {
            "id": recipe["id"],
            "dfk": Loader._dfk,
            "func_name": recipe["name"],
            "kwargs": {name: spec for name, spec in streams.items() if spec is not None},
            "status": States.memo_done,
        }
        future = AppFuture(record)
        origin = Origin(CellTasks(), recipe["name"], None, (), {}, deep=recipe["task"], entry=entry)
        origin.digest = entry.result_digest
        set_origin(future, origin)
        future.set_result(value)
        future._outputs = [DataFuture(future, File(url), tid=recipe["id"]) for url in recipe["outputs"]]
        return future
    raise NotStorable(f"the task log has no result of {recipe['name']}: it failed or did not complete")


def data_version(data: Any) -> str | None:
    """A file counts by the task that writes it."""
    parent = data.parent
    text = future_version(parent) if isinstance(parent, AppFuture) else None
    return f"{text}:{data.file_obj.url}" if text is not None else None


def describe_data(data: Any) -> dict[str, Any] | None:
    """The future behind a file, and the file."""
    parent = describe_future(data.parent) if isinstance(data.parent, AppFuture) else None
    return None if parent is None else {"future": parent, "url": data.file_obj.url}


def rebuild_data(recipe: dict[str, Any]) -> Any:
    """The file again, there once its task is.

    Raises:
        NotStorable: the log has no result of that task.
    """
    future = rebuild_future(recipe["future"])
    return DataFuture(future, File(recipe["url"]), tid=recipe["future"]["id"])
