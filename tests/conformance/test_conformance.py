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
    """One house of kernels for all cases of this process; some cases run ahead of who asks for them."""

    def __init__(self, work: Path, names: list[str], jobs: int) -> None:
        self.work = work
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="conformance", daemon=True)
        self.thread.start()
        self.house = House()
        self.machine = runner.CaseRunner(self.house, work)
        self.gate = asyncio.Semaphore(jobs)
        self.outcomes = {name: self.start(name) for name in names}

    def start(self, name: str) -> Future[runner.Outcome]:
        """Have a case run."""
        return asyncio.run_coroutine_threadsafe(self._run(CASES[name]), self.loop)

    async def _run(self, case: Case) -> runner.Outcome:
        async with self.gate:
            return await self.machine.run(case)

    def close(self) -> None:
        """End the kernels and the loop."""
        for outcome in self.outcomes.values():
            outcome.cancel()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(60)
        self.house.close()


@pytest.fixture(scope="module")
def farm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    """The selected cases, already running."""
    names = [
        item.callspec.params["name"]
        for item in request.session.items
        if item.nodeid.rpartition("::")[0].endswith("test_conformance.py") and hasattr(item, "callspec")
    ]
    if "PYTEST_XDIST_WORKER" in os.environ:
        names = []  # each worker sees all items but runs some: it runs them when they are asked for
    farm = Farm(tmp_path_factory.mktemp("conformance").resolve(), names, jobs=2)
    yield farm
    farm.close()


def outcome_of(farm: Farm, name: str) -> runner.Outcome:
    """The outcome of one case, run now if the farm does not run it."""
    running = farm.outcomes.get(name) or farm.start(name)
    return running.result(550)


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
