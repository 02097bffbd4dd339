"""A small driver for tests of engines: runs cells as a kernel would, in the test's own process.

Each life is a fresh namespace under ``__main__``'s name on a shared task store.
Tasks count their executions by appending to files in a folder, so the log under test
takes no part in the counting.
"""

from __future__ import annotations

import linecache
import os
import sys
import types
from collections import Counter
from pathlib import Path
from typing import Any

from nbrewind.model import TaskCounts
from nbrewind.tasks import TaskContext

PRELUDE = """
import os, time, uuid
def mark(name):
    open(os.path.join(COUNTS, name), "a").write("x")
"""


class Notebook:
    """One life of a kernel: cells run in one namespace, tasks go through the adapter."""

    serial = 0

    def __init__(self, folder: Path, store: Any, adapter: Any) -> None:
        self.folder = folder
        self.counts = folder / "counts"
        self.counts.mkdir(exist_ok=True)
        self.adapter = adapter
        self.module = types.ModuleType("__main__")
        self.space = self.module.__dict__
        self.space["COUNTS"] = str(self.counts)
        self.context = TaskContext(store, folder, namespace=lambda: self.space)
        self.last = TaskCounts()
        self.keys: tuple[str, ...] = ()
        self.run(PRELUDE)

    def run(self, source: str, *, serve: bool = True, finish: bool = True) -> TaskCounts:
        """Run one cell and wait until its completed tasks are logged."""
        Notebook.serial += 1
        name = f"<cell {Notebook.serial}>"
        linecache.cache[name] = (len(source), None, source.splitlines(True), name)
        self.adapter.install(self.context)
        self.context.begin_cell(serve=serve)
        before = sys.modules["__main__"]
        sys.modules["__main__"] = self.module
        try:
            exec(compile(source, name, "exec"), self.space)
            if finish:
                self.adapter.finish()
        finally:
            sys.modules["__main__"] = before
            self.last, self.keys = self.context.end_cell()
        return self.last

    def executed(self) -> Counter[str]:
        """How often each function really ran since the folder was last emptied."""
        return Counter({name: (self.counts / name).stat().st_size for name in os.listdir(self.counts)})

    def forget_counts(self) -> None:
        """Begin to count anew."""
        for path in self.counts.iterdir():
            path.unlink()
