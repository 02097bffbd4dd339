"""``nbrewind gc`` on stores that real runs wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.conftest import Command, save_book
from support.stores import places

pytestmark = pytest.mark.real_kernel

SOURCES = ("import numpy as np", "a = np.arange(100_000) * {value}", "g = (n for n in a)", "print(a.sum())")


def test_an_older_run_goes_and_the_newest_is_restored(nbrewind: Command, folder: Path) -> None:
    book = folder / "x.ipynb"
    for value in (1.5, 2.5):
        save_book(book, *(source.format(value=value) for source in SOURCES))
        assert nbrewind("audit", book).code == 0
    before = places(folder / ".nbrewind").keys()

    nothing = nbrewind("gc", book)
    assert nothing.code == 0 and "would delete: nothing" in nothing.out, "all of it is history"
    told = nbrewind("gc", book, "--keep-bytes", "0", "--dry-run", "--json").json
    assert not told["deleted"] and told["over"] and told["kept"]["runs"] == 1
    assert told["garbage"]["runs"] == 1 and told["garbage"]["bytes"] > 800_000
    assert places(folder / ".nbrewind").keys() == before

    done = nbrewind("gc", book, "--keep-bytes", "0", "--yes", "--json").json
    assert done == {**told, "deleted": True}
    assert len(places(folder / ".nbrewind")) == len(before) - told["garbage"]["objects"]
    assert nbrewind("check", book).code == 0

    again = nbrewind("repeat", book, "--json")
    assert again.code == 0
    assert [cell["action"] for cell in again.json["cells"]] == ["restored"] * 4
    save_book(book, *(source.format(value=1.5) for source in SOURCES))
    back = nbrewind("repeat", book, "--json").json["cells"]
    assert [cell["action"] for cell in back] == ["restored", "executed", "executed", "executed"]


def test_amounts_that_are_none_are_refused(nbrewind: Command, folder: Path) -> None:
    for args in (("--older-than", "soon"), ("--keep-bytes", "20X"), ("--yes", "--dry-run")):
        refused = nbrewind("gc", folder / ".nbrewind", *args)
        assert refused.code == 2 and args[0] in refused.err
    assert nbrewind("gc").code == 4 and list(folder.iterdir()) == [], "a place without a store"
