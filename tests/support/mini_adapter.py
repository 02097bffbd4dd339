"""A test-only engine adapter for the ``mini_tasks`` module of the conformance cases.

Served results come back as finished ``Fut`` objects.  Calls that really reach ``mini_tasks.submit`` are
counted, one line each, in the file that ``MINI_TASKS_CALLS`` names.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from functools import wraps
from typing import Any, ClassVar

from nbrewind.errors import NotStorable
from nbrewind.model import FileState
from nbrewind.tasks.adapter import EngineAdapter
from nbrewind.tasks.context import TaskContext

_watch = threading.local()


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    paths = getattr(_watch, "paths", None)
    if event != "open" or paths is None:
        return
    path, mode = arguments[0], arguments[1]
    if isinstance(path, str) and (mode is None or "r" in mode):
        paths.append(os.path.abspath(path))


class MiniAdapter(EngineAdapter):
    """Serves ``mini_tasks.submit`` from the task log."""

    name: ClassVar[str] = "mini"
    modules: ClassVar[tuple[str, ...]] = ("mini_tasks",)
    engine_state: ClassVar[tuple[str, ...]] = ("mini_tasks:EXECUTED",)
    """Module attributes that belong to the engine: neither state of the notebook nor compared."""

    def __init__(self) -> None:
        self._original: Any = None
        self._hooked = False

    def install(self, context: TaskContext) -> None:
        """Replace ``submit``; a second call changes nothing."""
        module = sys.modules["mini_tasks"]
        if getattr(module.submit, "__wrapped__", None) is not None:
            return
        if not self._hooked:
            sys.addaudithook(_hook)
            self._hooked = True
        original = self._original = module.submit
        future = module.Fut

        def call(func: Any, arguments: list[Any]) -> Any:
            path = os.environ.get("MINI_TASKS_CALLS")
            if path:
                with open(path, "a", encoding="utf-8") as stream:
                    stream.write(func.__name__ + "\n")
            return original(func, *arguments)

        @wraps(original)
        def submit(func: Any, *given: Any) -> Any:
            arguments = [x.v if isinstance(x, future) else x for x in given]
            if not context.executing:
                return call(func, arguments)
            try:
                key = context.identify(func, arguments)
            except NotStorable:
                return call(func, arguments)
            entry = context.lookup(key)
            if entry is not None:
                return future(context.load(entry))
            began = time.perf_counter()
            _watch.paths = []
            try:
                done = call(func, arguments)
            except Exception as problem:
                context.record(key, name=func.__name__, error=repr(problem), engine=self.name)
                raise
            finally:
                paths, _watch.paths = _watch.paths, None
            files: dict[str, FileState] = {}
            for path in dict.fromkeys(paths):
                portable = context.files.portable(path)
                if not os.path.isabs(portable):
                    files[portable] = context.files.state(portable)
            context.record(
                key, done.v, name=func.__name__, seconds=time.perf_counter() - began, files=files, engine=self.name
            )
            return done

        module.submit = submit

    def uninstall(self) -> None:
        """Put the original back."""
        if self._original is not None and "mini_tasks" in sys.modules:
            sys.modules["mini_tasks"].submit = self._original
