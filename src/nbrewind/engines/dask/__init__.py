"""Dask: ``distributed.Client`` and everything that computes through it."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any, ClassVar

from nbrewind.tasks.adapter import EngineAdapter

if TYPE_CHECKING:
    from nbrewind.tasks.context import TaskContext


class DaskAdapter(EngineAdapter):
    """Serves and records what a ``distributed.Client`` computes."""

    name: ClassVar[str] = "dask"
    modules: ClassVar[tuple[str, ...]] = ("dask", "distributed")

    def install(self, context: TaskContext) -> None:
        """Hook what is imported: Dask's local schedulers, and ``distributed``."""
        if "dask.base" in sys.modules:
            from nbrewind.engines.dask import local

            local.install(context)
        if "distributed.client" in sys.modules:
            from nbrewind.engines.dask import hooks

            hooks.install(context)

    def uninstall(self) -> None:
        """Take the hooks out."""
        for name in ("hooks", "local"):
            module = sys.modules.get(f"nbrewind.engines.dask.{name}")
            if module is not None:
                module.uninstall()

    def finish(self, timeout: float | None = None) -> None:
        """Wait until completed tasks of all clients have reached the log."""
        hooks = sys.modules.get("nbrewind.engines.dask.hooks")
        if hooks is not None:
            hooks.finish(timeout)

    def handles(self) -> dict[type, Any]:
        """How live clients, clusters and futures are described and made again."""
        if "distributed.client" not in sys.modules:
            return {}
        from nbrewind.engines.dask.handles import handles

        return handles()

    def rebuild(self, kind: str, recipe: Any) -> Any:
        """The client, cluster or future of a recipe, unconnected."""
        # First the engine by itself: its import is what makes the session call install.
        importlib.import_module("distributed")
        from nbrewind.engines.dask.handles import handles

        for handle in handles().values():
            if handle.kind == kind:
                return handle.rebuild(recipe)
        return super().rebuild(kind, recipe)


adapter = DaskAdapter
