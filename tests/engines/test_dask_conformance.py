"""Dask through the conformance class: the public one that every engine's adapter has to pass."""

from __future__ import annotations

import pytest

from nbrewind.engines.dask import DaskAdapter
from nbrewind.testing import EngineConformance

WAYS = """
from dask.distributed import Client, as_completed
client = Client({!r})
def submit(func, *args, **kwargs):
    return client.submit(func, *args, pure=False, **kwargs)
def result(handle):
    return handle.result()
completed = as_completed
"""


@pytest.mark.engines
class TestDask(EngineConformance):
    adapter = DaskAdapter
    stop = "client.close()"
    completed = True
    chains = True

    @pytest.fixture(autouse=True)
    def _cluster(self, cluster: str) -> None:
        self.start = WAYS.format(cluster)  # type: ignore[misc]
