"""Every conformance case on real kernels: a case passes whole or stands in ``expected_failures.yaml``."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from conformance import runner
from conformance.cases import Case, load, load_expected
from support.kernels import House

pytestmark = [pytest.mark.slow, pytest.mark.real_kernel, pytest.mark.timeout(600)]

CASES = {case.name: case for case in load()}
EXPECTED = load_expected("expected_failures.yaml")


class Farm:
    """Runs cases in the background, a few at a time, in the order in which they are asked for."""

    def __init__(self, work: Path, names: list[str], jobs: int) -> None:
        self.outcomes: dict[str, Future[runner.Outcome]] = {name: Future() for name in names}
        self.work = work
        self.jobs = jobs
        self.thread = threading.Thread(target=self._run, name="conformance", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        cases = [CASES[name] for name in self.outcomes]
        with House() as house:
            machine = runner.CaseRunner(house, self.work)
            try:
                asyncio.run(runner.run_all(cases, machine, self.jobs, self._done))
            except BaseException as problem:
                for outcome in self.outcomes.values():
                    if not outcome.done():
                        outcome.set_exception(problem)

    def _done(self, outcome: runner.Outcome) -> None:
        self.outcomes[outcome.name].set_result(outcome)


@pytest.fixture(scope="module")
def farm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    """The selected cases, already running."""
    names = [
        item.callspec.params["name"]
        for item in request.session.items
        if item.nodeid.rpartition("::")[0].endswith("test_conformance.py") and hasattr(item, "callspec")
    ]
    if "PYTEST_XDIST_WORKER" in os.environ:
        names = []  # each worker sees all items but runs some: it runs them one by one instead
    farm = Farm(tmp_path_factory.mktemp("conformance").resolve(), names, jobs=2)
    yield farm
    farm.thread.join(300)


def outcome_of(farm: Farm, name: str) -> runner.Outcome:
    """The outcome of one case, run now if the farm does not run it."""
    if name in farm.outcomes:
        return farm.outcomes[name].result(550)
    single = Farm(farm.work, [name], jobs=1)
    return single.outcomes[name].result(550)


@pytest.mark.parametrize("name", CASES)
def test_case(farm: Farm, name: str) -> None:
    outcome = outcome_of(farm, name)
    text = runner.as_text(outcome)
    assert outcome.verdict != "wrong", text
    if name in EXPECTED:
        assert outcome.verdict != "pass", f"{name} passes: take it out of expected_failures.yaml"
        pytest.xfail(f"{EXPECTED[name]}\n{text}")
    assert acceptable(CASES[name], outcome), text


def acceptable(case: Case, outcome: runner.Outcome) -> bool:
    """Core cases pass whole; others may be reported as unsupported."""
    return outcome.verdict == "pass" or (case.level != "core" and outcome.verdict == "unsupported")


def test_expected_failures_name_cases() -> None:
    assert set(EXPECTED) <= set(CASES)
    assert all(reason.strip() for reason in EXPECTED.values())
