"""One template process for all rule tests; a laboratory per test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.kernels import House
from support.notebooks import Lab


@pytest.fixture(scope="session")
def house() -> Iterator[House]:
    with House() as house:
        yield house


@pytest.fixture
def lab(house: House, tmp_path: Path) -> Lab:
    return Lab(house, tmp_path.resolve())
