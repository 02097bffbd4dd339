"""Parsl: what apps compute through a ``DataFlowKernel``."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any, ClassVar

from nbrewind.tasks.adapter import EngineAdapter

if TYPE_CHECKING:
    from nbrewind.tasks.context import TaskContext


class ParslAdapter(EngineAdapter):
    """Serves and records apps: ``python_app``, ``bash_app``, and what ``join_app`` submits."""

    name: ClassVar[str] = "parsl"
    modules: ClassVar[tuple[str, ...]] = ("parsl",)
    state_attributes: ClassVar[tuple[str, ...]] = ("parsl.dataflow.dflow:DataFlowKernelLoader._dfk",)

    def install(self, context: TaskContext) -> None:
        """Hook kernels that are made from now on."""
        if "parsl.dataflow.dflow" in sys.modules:
            from nbrewind.engines.parsl import hooks

            hooks.install(context)

    def uninstall(self) -> None:
        """Take the hooks out."""
        hooks = sys.modules.get("nbrewind.engines.parsl.hooks")
        if hooks is not None:
            hooks.uninstall()

    def handles(self) -> dict[type, Any]:
        """How kernels and futures are described and made again."""
        if "parsl.dataflow.dflow" not in sys.modules:
            return {}
        from nbrewind.engines.parsl.handles import handles

        return handles()

    def rebuild(self, kind: str, recipe: Any) -> Any:
        """The kernel or future of a recipe; nothing is started."""
        # First the engine by itself: its import is what makes the session call install.
        importlib.import_module("parsl")
        from nbrewind.engines.parsl.handles import handles

        for handle in handles().values():
            if handle.kind == kind:
                return handle.rebuild(recipe)
        return super().rebuild(kind, recipe)


adapter = ParslAdapter
