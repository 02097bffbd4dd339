"""``concurrent.futures``: thread and process pools, loky, and every other ``Executor``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, ClassVar

from nbrewind.tasks.adapter import EngineAdapter

if TYPE_CHECKING:
    from nbrewind.tasks.context import TaskContext


class FuturesAdapter(EngineAdapter):
    """Serves and records what cells submit to an ``Executor``."""

    name: ClassVar[str] = "futures"
    modules: ClassVar[tuple[str, ...]] = ("concurrent.futures",)

    def install(self, context: TaskContext) -> None:
        """Hook the executors that exist, and those that will be defined."""
        from nbrewind.engines.futures import hooks

        hooks.install(context)

    def uninstall(self) -> None:
        """Take the hooks out."""
        module = sys.modules.get("nbrewind.engines.futures.hooks")
        if module is not None:
            module.uninstall()

    def finish(self, timeout: float | None = None) -> None:
        """Nothing waits: a result is logged before its future is finished."""


adapter = FuturesAdapter
