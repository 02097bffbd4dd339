"""The quick part of every fault; ``make test-faults`` does the rest and counts."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from faults import company, damage, disks, kills
from nbrewind.store import points


def test_kills_at_every_point(tmp_path: Path) -> None:
    counts = kills.at_points(tmp_path, 1)
    assert sum(counts[f"killed at: {point}"] for point in points.POINTS) == len(points.POINTS)


def test_kills_at_any_time(tmp_path: Path) -> None:
    assert kills.at_any_time(tmp_path, 10)["records verified"]


def test_changed_bytes(tmp_path: Path) -> None:
    counts = damage.trials(tmp_path, 8)
    assert counts["loose object, flip: named"] and counts["pack, cut: named"]


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler for the layer of faults")
def test_writes_that_fail(tmp_path: Path) -> None:
    counts = disks.failing(tmp_path, 1)
    assert counts["EIO from writes"] == counts["EDQUOT from syncs"] == 3


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler for the layer of faults")
def test_a_clock_that_was_pulled_back(tmp_path: Path) -> None:
    assert disks.clocks(tmp_path)["records verified"] == 20


def test_full_disks(tmp_path: Path) -> None:
    try:
        counts = disks.full(tmp_path, range(16, 1400, 400))
    except subprocess.CalledProcessError:
        pytest.skip("mounting needs rights that this user has not")
    assert counts["records verified"]


def test_company(tmp_path: Path) -> None:
    assert company.together(tmp_path, 3.0)["collections while others wrote"]


def test_a_store_that_is_removed(tmp_path: Path) -> None:
    assert company.removed(tmp_path)
