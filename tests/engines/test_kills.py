"""Managers and workers killed at random moments: the result is a plain run's, and what was done stays done."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engines.kill_driver import STARTS

pytestmark = [pytest.mark.engines, pytest.mark.timeout(3600)]
KILLS = int(os.environ.get("NBREWIND_KILLS", "50"))
TASKS = 1000
FLIGHT = {"dask": 40, "processes": 40, "joblib": 400}
"""Tasks that may be lost by one kill: those that ran, and those whose results were on their way to the disk.

joblib makes batches that take 0.2 s or more, and gives their results when they are complete.
"""


def start(engine: str, folder: Path, pause: float = 0.002) -> subprocess.Popen[str]:
    here = Path(__file__).resolve()
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(here.parents[1]), *filter(None, sys.path)]),
    }
    return subprocess.Popen(
        [sys.executable, str(here.with_name("kill_driver.py")), engine, str(folder), str(TASKS), str(pause)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def done(folder: Path) -> int:
    marks = folder / "counts" / "slow"
    return marks.stat().st_size if marks.exists() else 0


def kill(driver: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(driver.pid, signal.SIGKILL)
    driver.communicate()


def finished(engine: str, folder: Path, pause: float = 0.002) -> tuple[int, int, int]:
    out, _ = start(engine, folder, pause).communicate(timeout=900)
    value, served, run = map(int, out.split())
    return value, served, run


@pytest.mark.parametrize("engine", STARTS)
def test_a_manager_killed_after_700_of_1000_tasks_costs_300(tmp_path: Path, engine: str) -> None:
    driver = start(engine, tmp_path)
    until = time.monotonic() + 600
    while done(tmp_path) < 700 and time.monotonic() < until and driver.poll() is None:
        time.sleep(0.002)
    kill(driver)
    before = done(tmp_path)
    value, served, run = finished(engine, tmp_path)
    assert value == sum(i * i for i in range(TASKS))
    assert served + run == TASKS
    assert before - FLIGHT[engine] <= served <= before
    assert done(tmp_path) <= TASKS + FLIGHT[engine]


@pytest.mark.parametrize("engine", STARTS)
def test_many_kills_of_the_manager(tmp_path: Path, engine: str) -> None:
    chance = random.Random(7)
    for number in range(1, KILLS + 1):
        driver = start(engine, tmp_path)
        before, until = done(tmp_path), time.monotonic() + 120
        wanted = before + chance.randrange(0, 2 * TASKS // KILLS)
        while done(tmp_path) < wanted and time.monotonic() < until and driver.poll() is None:
            time.sleep(0.002)
        time.sleep(chance.random() * 0.05)
        kill(driver)
        assert done(tmp_path) <= TASKS + FLIGHT[engine] * number
    before = done(tmp_path)
    value, served, run = finished(engine, tmp_path)
    assert value == sum(i * i for i in range(TASKS))
    assert served + run == TASKS
    lost = done(tmp_path) - TASKS
    assert lost <= FLIGHT[engine] * KILLS
    assert served >= min(before, TASKS) - FLIGHT[engine] * KILLS
    print(f"{engine}: {KILLS} managers killed, {lost} of {TASKS} tasks ran twice, {served} served at the end")


def test_workers_killed_at_random(tmp_path: Path) -> None:
    """Dask runs lost tasks again by itself; nothing wrong may enter the log meanwhile."""
    chance = random.Random(11)
    killed = rounds = twice = 0
    while killed < KILLS:
        rounds += 1
        folder = tmp_path / str(rounds)
        folder.mkdir()
        driver = start("dask", folder, 0.02)
        until = time.monotonic() + 120
        while not done(folder) and driver.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        while driver.poll() is None and killed < KILLS:
            time.sleep(0.3 + chance.random())
            workers = _workers(driver.pid)
            if workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(chance.choice(workers), signal.SIGKILL)
                    killed += 1
        out, _ = driver.communicate(timeout=900)
        if out:
            assert int(out.split()[0]) == sum(i * i for i in range(TASKS))
        # A task that three workers died under is an error to Dask (KilledWorker): a second run mends it.
        value, served, run = finished("dask", folder, 0.02)
        assert value == sum(i * i for i in range(TASKS))
        assert served + run == TASKS
        twice += done(folder) - TASKS
    print(f"{killed} workers killed in {rounds} runs, {twice} executions were repeated")


def _workers(manager: int) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                parent = int(Path("/proc", name, "stat").read_text().rpartition(")")[2].split()[1])
                command = Path("/proc", name, "cmdline").read_bytes()
            except OSError:
                continue
            # A worker of Dask that runs has another title than the process that it began as.
            if parent == manager and b"resource_tracker" not in command:
                found.append(int(name))
    return found
