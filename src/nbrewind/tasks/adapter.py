"""The contract between the task log and an engine: one small class per engine.

An adapter hooks its engine at the narrowest public point when the engine is imported,
asks the context for each task whether the log holds its result, and reports results as
tasks complete.  User code stays unchanged (docs/architecture.md, "The task log").
"""

from __future__ import annotations

import importlib
import os
from abc import ABC, abstractmethod
from functools import partial
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, ClassVar

from nbrewind.errors import NotStorable, UsageError

if TYPE_CHECKING:
    from nbrewind.tasks.context import TaskContext

GROUP = "nbrewind.engines"
VARIABLE = "NBREWIND_ENGINES"


class EngineAdapter(ABC):
    """One engine.  Instances are made once per kernel."""

    name: ClassVar[str]
    """Short name, stored with each entry (``dask``)."""
    modules: ClassVar[tuple[str, ...]]
    """Modules whose import makes the session call ``install``."""
    state_attributes: ClassVar[tuple[str, ...]] = ()
    """Where the engine keeps what cells use without naming it (``module:Class.attribute``): state (R8)."""

    @abstractmethod
    def install(self, context: TaskContext) -> None:
        """Hook the engine, which is imported already.  Calling it twice changes nothing."""

    @abstractmethod
    def uninstall(self) -> None:
        """Take all hooks out again."""

    def handles(self) -> dict[type, Any]:
        """Live objects that are rebuilt from a recipe instead of being stored (R4).

        Per type a callable that gives ``(kind, recipe)`` of an object, the recipe being JSON,
        or None where the object has none.
        """
        return {}

    def rebuild(self, kind: str, recipe: Any) -> Any:
        """The object of a recipe again, unconnected until it is needed.

        Raises:
            NotStorable: it cannot be made here.
        """
        raise NotStorable(f"the {self.name} adapter cannot rebuild a {kind}")

    def finish(self, timeout: float | None = None) -> None:  # noqa: B027 - most engines need nothing here
        """Wait until results of tasks that are already complete have reached the log."""


def load_adapters() -> list[EngineAdapter]:
    """All adapters that this environment offers, by entry point and by ``NBREWIND_ENGINES``.

    Raises:
        UsageError: an adapter is named that cannot be loaded.
    """
    found: dict[str, EngineAdapter] = {}
    for point in entry_points(group=GROUP):
        adapter = _made(point.value, point.load)
        found.setdefault(adapter.name, adapter)
    for reference in os.environ.get(VARIABLE, "").split(","):
        if reference.strip():
            adapter = _made(reference.strip(), partial(_resolve, reference.strip()))
            found[adapter.name] = adapter
    return list(found.values())


def _resolve(reference: str) -> Any:
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name or "adapter")


def _made(reference: str, load: Any) -> EngineAdapter:
    try:
        factory = load()
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"The engine adapter {reference!r} cannot be loaded ({error}). Install the package that "
            f"offers it, or take it out of {VARIABLE}."
        ) from error
    adapter = factory() if callable(factory) else factory
    if not isinstance(adapter, EngineAdapter):
        raise UsageError(f"{reference!r} is no engine adapter: it must give a nbrewind.tasks.EngineAdapter.")
    return adapter
