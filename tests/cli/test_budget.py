"""Runs that stay, and what a store may grow to."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.conftest import Command, save_book
from nbrewind.store import budget

pytestmark = pytest.mark.real_kernel


def _audited(nbrewind: Command, book: Path, *values: float) -> list[str]:
    """Audits a book whose array of 800 kB differs each time; the runs, oldest first."""
    for value in values:
        save_book(book, "import numpy as np", f"a = np.arange(100_000) * {value}")
        assert nbrewind("audit", book).code == 0
    runs = nbrewind("log", book, "--json").json["runs"]
    return [run["id"] for run in reversed(runs)]


def test_a_pinned_run_stays(nbrewind: Command, folder: Path) -> None:
    book = folder / "x.ipynb"
    first, second, third = _audited(nbrewind, book, 1.5, 2.5, 3.5)
    assert nbrewind("pin", first[:8]).out == f"run {first[:12]} stays: {book}\n"
    assert "pinned" in nbrewind("log", book).out
    assert nbrewind("gc", "--keep-bytes", "0", "--yes").code == 0
    left = {run["id"]: run["pinned"] for run in nbrewind("log", book, "--json").json["runs"]}
    assert left == {third: False, first: True}
    save_book(book, "import numpy as np", "a = np.arange(100_000) * 1.5", "print(a[2])")
    again = nbrewind("repeat", book, "--json").json["cells"]
    assert [cell["action"] for cell in again] == ["restored", "restored", "executed"]

    assert nbrewind("pin", first, "--remove", "--json").json["pinned"] is False
    assert nbrewind("gc", "--keep-bytes", "0", "--yes").code == 0
    assert first not in {run["id"] for run in nbrewind("log", book, "--json").json["runs"]}
    for wrong in (first, second):
        assert nbrewind("pin", wrong).code == 2


def test_after_a_run_the_oldest_go_that_are_beyond_the_budget(
    nbrewind: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = folder / "x.ipynb"
    first, second = _audited(nbrewind, book, 1.5, 2.5)
    held = budget.held(folder / ".nbrewind")
    assert 1_600_000 < held == sum(p.stat().st_size for p in (folder / ".nbrewind").rglob("*") if p.is_file())
    told = nbrewind("gc", "--budget", f"{held // 1000 + 500}k", "--json").json
    assert told["budget"] == (held // 1000 + 500) * 1000 and told["bytes"] == held
    assert nbrewind("log", book, "--json").json["runs"][1]["id"] == first, "nothing is deleted by that"

    save_book(book, "import numpy as np", "a = np.arange(100_000) * 3.5")
    ran = nbrewind("audit", book)
    assert ran.code == 0 and "more than its budget" in ran.err and "old runs were deleted" in ran.err
    left = [run["id"] for run in nbrewind("log", book, "--json").json["runs"]]
    assert second in left and first not in left
    assert nbrewind("check", book).code == 0
    assert [cell["action"] for cell in nbrewind("repeat", book, "--json").json["cells"]] == ["restored"] * 2

    assert nbrewind("gc", "--budget", "10k").code == 0
    tight = nbrewind("repeat", book)
    assert tight.code == 0 and "more than its budget of 9.8 KiB" in tight.err
    assert nbrewind("gc", "--budget", "none").out.startswith("budget: none; the store holds ")
    assert nbrewind("repeat", book).err.count("budget") == 0

    assert nbrewind("gc", "--budget", "default").code == 0
    monkeypatch.setenv("NBREWIND_BUDGET", "10k")
    assert "more than its budget of 9.8 KiB" in nbrewind("repeat", book).err
    monkeypatch.setenv("NBREWIND_BUDGET", "plenty")
    refused = nbrewind("repeat", book)
    assert refused.code == 2 and "NBREWIND_BUDGET is a size" in refused.err
    assert nbrewind("gc", "--budget", "plenty").code == 2
