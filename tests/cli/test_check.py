"""``nbrewind check`` on stores that real runs wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.conftest import Command, save_book
from support.stores import places

pytestmark = pytest.mark.real_kernel


def test_a_lost_block_of_an_array_is_named_and_its_cell_runs_once(nbrewind: Command, folder: Path) -> None:
    sources = ("import numpy as np", "a = np.arange(100_000)", "a.sum()", "b = 'other'")
    book = save_book(folder / "x.ipynb", *sources)
    assert nbrewind("audit", book).code == 0
    sound = nbrewind("check", book, "--json")
    assert sound.code == 0 and not sound.json["problems"] and sound.json["objects"] > 3

    sizes = nbrewind("stats", "--json").json
    assert sizes["cells"][1]["logical"] >= sizes["cells"][1]["stored"] > 800_000
    assert sizes["names"]["a"] > 800_000 > sizes["names"]["b"]
    assert "cell 1: 78" in nbrewind("stats").out

    found = places(folder / ".nbrewind")
    largest = max(found, key=lambda digest: found[digest].length)
    data = found[largest].bytes()
    found[largest].spoil()
    told = nbrewind("check")
    assert told.code == 4 and f"object {largest}" in told.out and "'a = np.arange(100_000)'" in told.out
    assert nbrewind("check", folder / ".nbrewind", "--json").json["problems"]
    assert nbrewind("check", "--repair").code == 0
    assert nbrewind("check").code == 0

    again = nbrewind("repeat", book, "--json")
    assert again.code == 0
    assert [cell["action"] for cell in again.json["cells"]] == [
        "restored",
        "executed",
        "restored",
        "restored",
    ]
    assert places(folder / ".nbrewind")[largest].bytes() == data, "written again"
    assert nbrewind("check").code == 0


def test_places_that_hold_no_store(nbrewind: Command, folder: Path) -> None:
    assert nbrewind("check").code == 4
    assert nbrewind("check", folder, "--repair").code == 4
    assert nbrewind("check", folder, "--store", folder).code == 2
    assert list(folder.iterdir()) == []
