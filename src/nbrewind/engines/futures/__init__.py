"""``concurrent.futures``: thread and process pools, loky, and every other ``Executor``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, ClassVar

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

    def handles(self) -> dict[type, Any]:
        """How pools and futures come back."""
        from nbrewind.engines.futures import handles, hooks

        return handles.handles(hooks.context_of_kernel())

    def rebuild(self, kind: str, recipe: Any) -> Any:
        """The pool or future of a recipe."""
        for handle in self.handles().values():
            if handle.kind == kind:
                return handle.rebuild(recipe)
        return super().rebuild(kind, recipe)

    def finish(self, timeout: float | None = None) -> None:
        """Nothing waits: a result is logged before its future is finished."""


adapter = FuturesAdapter
