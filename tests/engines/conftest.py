from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nbrewind.engines.dask import DaskAdapter
from nbrewind.testing.notebook import Notebook
from nbrewind.testing.taskstore import MemoryTaskStore


def children() -> set[int]:
    """Process ids of workers: children of this process, but for Python's own resource tracker."""
    found = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                fields = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()
                command = Path("/proc", name, "cmdline").read_bytes()
            except OSError:
                continue
            mine = int(fields[1]) == os.getpid() and fields[0] != "Z"
            if mine and b"resource_tracker" not in command:
                found.add(int(name))
    return found


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """The address of a cluster shared by the tests that need no cluster of their own."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as running:
        yield running.scheduler_address


@pytest.fixture
def adapter() -> Iterator[DaskAdapter]:
    # The session installs adapters when the engine's import is done; here it is done first.
    importlib.import_module("distributed")
    made = DaskAdapter()
    yield made
    made.uninstall()


@pytest.fixture
def notebooks(tmp_path: Path, adapter: DaskAdapter) -> Iterator[Callable[[], Notebook]]:
    """Makes one notebook life after another on the same store and folder."""
    store = MemoryTaskStore()
    lives: list[Notebook] = []

    def make() -> Notebook:
        for life in lives:
            close(life)
        notebook = Notebook(tmp_path, store, adapter)
        notebook.forget_counts()
        lives.append(notebook)
        return notebook

    yield make
    for life in lives:
        close(life)


def close(notebook: Notebook) -> None:
    for value in list(notebook.space.values()):
        if type(value).__module__.startswith("distributed") and hasattr(value, "close"):
            value.close()
