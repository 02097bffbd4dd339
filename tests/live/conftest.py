"""One template process for all live tests; a pair of kernels per test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from live.pair import Pair
from support.kernels import House


@pytest.fixture(scope="session")
def house() -> Iterator[House]:
    with House() as house:
        yield house


@pytest.fixture
def pair(house: House) -> Iterator[Pair]:
    pair = Pair(house)
    try:
        yield pair
    finally:
        pair.close()
