"""``concurrent.futures`` and what is like it, through the conformance class and on its own."""

from __future__ import annotations

from nbrewind.engines.futures import FuturesAdapter
from nbrewind.testing import EngineConformance

WAYS = """
from concurrent.futures import ThreadPoolExecutor, ProcessPoolExecutor, as_completed
def submit(func, *args, **kwargs):
    return pool.submit(func, *args, **kwargs)
def result(handle):
    return handle.result()
completed = as_completed
"""


class TestThreads(EngineConformance):
    adapter = FuturesAdapter
    start = WAYS + "pool = ThreadPoolExecutor(2)"
    stop = "pool.shutdown()"
    completed = True
    prints = True
    remote = False


class TestProcesses(EngineConformance):
    adapter = FuturesAdapter
    start = WAYS + "pool = ProcessPoolExecutor(2)"
    stop = "pool.shutdown()"
    by_value = False
    completed = True
    prints = True
