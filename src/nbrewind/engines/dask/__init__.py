"""Dask: ``distributed.Client`` and everything that computes through it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, ClassVar

from nbrewind.tasks.adapter import EngineAdapter

if TYPE_CHECKING:
    from nbrewind.tasks.context import TaskContext


class DaskAdapter(EngineAdapter):
    """Serves and records what a ``distributed.Client`` computes."""

    name: ClassVar[str] = "dask"
    modules: ClassVar[tuple[str, ...]] = ("distributed",)

    def install(self, context: TaskContext) -> None:
        """Hook ``distributed``, which is imported already."""
        from nbrewind.engines.dask import hooks

        hooks.install(context)

    def uninstall(self) -> None:
        """Take the hooks out."""
        if "nbrewind.engines.dask.hooks" in sys.modules:
            from nbrewind.engines.dask import hooks

            hooks.uninstall()

    def finish(self, timeout: float | None = None) -> None:
        """Wait until completed tasks of all clients have reached the log."""
        from distributed.client import Client

        from nbrewind.engines.dask import hooks

        for client in list(Client._instances):
            runtime = client.__dict__.get(hooks.ATTRIBUTE)
            if runtime is not None:
                runtime.finish(timeout)

    def handles(self) -> dict[type, Any]:
        """How live clients, clusters and futures are described and made again."""
        from nbrewind.engines.dask.handles import handles

        return handles()


adapter = DaskAdapter
