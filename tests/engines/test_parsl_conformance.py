"""Parsl through the conformance class: apps in threads of this process.

HTEX's workers take the same way; a kernel of them for each of the lives would take minutes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from nbrewind.engines.parsl import ParslAdapter
from nbrewind.testing import EngineConformance

pytest.importorskip("parsl")

WAYS = """
import parsl
from parsl import python_app
from parsl.config import Config
from parsl.executors import HighThroughputExecutor, ThreadPoolExecutor
from parsl.providers import LocalProvider
from parsl.dataflow.dependency_resolvers import DEEP_DEPENDENCY_RESOLVER
parsl.load(Config(executors=[{executor}], dependency_resolver=DEEP_DEPENDENCY_RESOLVER, initialize_logging=False))
def submit(func, *args, **kwargs):
    return python_app(func)(*args, **kwargs)
def result(handle):
    return handle.result()
"""


class Parsl(EngineConformance):
    """What both executors share."""

    adapter = ParslAdapter
    stop = "parsl.dfk().cleanup()\nparsl.clear()"
    chains = True

    @pytest.fixture(autouse=True)
    def _here(self, monkeypatch: pytest.MonkeyPatch, _desk: None) -> Iterator[None]:
        monkeypatch.setenv("PATH", os.path.dirname(sys.executable), prepend=os.pathsep)
        monkeypatch.chdir(self.folder)
        yield


class TestThreads(Parsl):
    start = WAYS.format(executor="ThreadPoolExecutor(max_threads=2)")
    prints = True
    remote = False


del Parsl
