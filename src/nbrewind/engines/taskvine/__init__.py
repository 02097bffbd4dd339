"""TaskVine: tasks that go through a ``Manager``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, ClassVar

from nbrewind.tasks.adapter import EngineAdapter

if TYPE_CHECKING:
    from nbrewind.tasks.context import TaskContext


class TaskVineAdapter(EngineAdapter):
    """Serves and records ``PythonTask`` and shell ``Task``; calls of library functions just run.

    A manager is a queue: what it holds is state.  So it is no handle; where a later cell
    needs one, the cells that made and filled it run again, with their tasks.
    """

    name: ClassVar[str] = "taskvine"
    modules: ClassVar[tuple[str, ...]] = ("ndcctools.taskvine",)

    def install(self, context: TaskContext) -> None:
        """Hook managers and tasks."""
        if "ndcctools.taskvine.manager" in sys.modules:
            from nbrewind.engines.taskvine import hooks

            hooks.install(context)

    def uninstall(self) -> None:
        """Take the hooks out."""
        hooks = sys.modules.get("nbrewind.engines.taskvine.hooks")
        if hooks is not None:
            hooks.uninstall()


adapter = TaskVineAdapter
