"""Small everyday notebooks through the same life as the fuzzed ones, one for each thing that people do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fuzz.kernels import Cell, Nursery
from fuzz.notebooks import Fuzzed
from fuzz.run import tried
from fuzz.trial import Trial

pytestmark = [pytest.mark.real_kernel, pytest.mark.slow]

CASES: dict[str, dict[str, Any]] = yaml.safe_load(
    Path(__file__).with_name("everyday.yaml").read_text(encoding="utf-8")
)


@pytest.fixture(scope="module")
def trial() -> Iterator[Trial]:
    with Nursery() as nursery:
        yield Trial(nursery)


@pytest.mark.parametrize("name", CASES)
def test_an_everyday_notebook(trial: Trial, name: str) -> None:
    case = CASES[name]
    cells = [Cell(f"c{i}", source) for i, source in enumerate(case["cells"])]
    edited = [Cell(f"c{i}", source) for i, source in enumerate(case.get("edited", case["cells"]))]
    fuzzed = Fuzzed(cells, edited, probe=Cell("probe", case["probe"]), middle=len(cells))
    assert tried(trial, fuzzed).wrong == []
