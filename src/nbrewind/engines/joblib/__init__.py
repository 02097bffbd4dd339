"""joblib: ``Parallel`` item by item, whatever the backend, and scikit-learn's ``n_jobs`` through it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, ClassVar

from nbrewind.tasks.adapter import EngineAdapter

if TYPE_CHECKING:
    from nbrewind.tasks.context import TaskContext


class JoblibAdapter(EngineAdapter):
    """Serves and records the items of ``joblib.Parallel``."""

    name: ClassVar[str] = "joblib"
    modules: ClassVar[tuple[str, ...]] = ("joblib",)

    def install(self, context: TaskContext) -> None:
        """Hook ``Parallel``."""
        from nbrewind.engines.joblib import hooks

        hooks.install(context)

    def uninstall(self) -> None:
        """Take the hooks out."""
        module = sys.modules.get("nbrewind.engines.joblib.hooks")
        if module is not None:
            module.uninstall()


adapter = JoblibAdapter
