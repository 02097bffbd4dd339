"""Some fuzzed notebooks in every run of the tests; ``make fuzz`` runs as many as one likes."""

from __future__ import annotations

import pytest

from fuzz.kernels import Nursery
from fuzz.run import notebook, tried
from fuzz.trial import Trial

pytestmark = [pytest.mark.real_kernel, pytest.mark.slow]

SEED = 7
NOTEBOOKS = 40


@pytest.mark.parametrize(
    ("dense", "first"), [*((False, first) for first in range(0, NOTEBOOKS, 10)), (True, 0)]
)
def test_fuzzed_notebooks_are_as_in_a_plain_run(dense: bool, first: int) -> None:
    nursery = Nursery()
    try:
        trial = Trial(nursery)
        for number in range(first, first + 10):
            fuzzed = notebook(SEED, number, dense=dense)
            finding = tried(trial, fuzzed)
            assert finding.wrong == [], fuzzed.text()
    finally:
        nursery.close()
