"""Stores that can only be read, and disks that are full: through the real command line and kernels."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.conftest import Command, save_book

pytestmark = pytest.mark.real_kernel


def mount(*arguments: str) -> None:
    """Mount something, or skip where the user has no right to."""
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mounting needs rights that this user has not: {done.stderr.strip()}")


def actions(cells: list[dict[str, object]]) -> list[object]:
    return [cell["action"] for cell in cells]


@pytest.fixture
def read_only(folder: Path) -> Iterator[Path]:
    store = folder / "store"
    store.mkdir()
    mount("--bind", str(store), str(store))
    yield store
    subprocess.run(["umount", "--lazy", str(store)], check=True)


def test_a_store_that_can_only_be_read_restores(nbrewind: Command, folder: Path, read_only: Path) -> None:
    book = save_book(folder / "x.ipynb", "x = [1, 2]", "x.append(3)\nx", "y = len(x)\ny")
    assert nbrewind("audit", book, "--store", read_only).code == 0
    before = sorted((str(p), p.stat().st_mtime_ns) for p in read_only.rglob("*"))
    mount("-o", "remount,ro,bind", str(read_only))
    same = nbrewind("repeat", book, "--store", read_only, "--json")
    assert same.code == 0, same.err
    assert actions(same.json["cells"]) == ["restored"] * 3
    assert "records nothing" in same.err
    edited = save_book(folder / "y.ipynb", "x = [1, 2]", "x.append(3)\nx", "y = len(x) + 1\ny")
    planned = nbrewind("plan", edited, "--store", read_only, "--json")
    assert planned.code == 0, planned.err
    other = nbrewind("repeat", edited, "--store", read_only, "--json")
    assert actions(other.json["cells"]) == ["restored", "restored", "executed"], other.json
    assert "'4'" in edited.read_text() or '"4"' in edited.read_text()
    assert sorted((str(p), p.stat().st_mtime_ns) for p in read_only.rglob("*")) == before


@pytest.fixture
def small_disk(folder: Path) -> Iterator[Path]:
    place = folder / "disk"
    place.mkdir()
    mount("-t", "tmpfs", "-o", "size=2m", "none", str(place))
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk_stops_the_recording_and_not_the_notebook(
    nbrewind: Command, folder: Path, small_disk: Path
) -> None:
    cells = ["a = 1", "big = bytes(range(256)) * 20_000", "c = a + len(big)\nprint(c)"]
    book = save_book(folder / "x.ipynb", *cells)
    ran = nbrewind("audit", book, "--store", small_disk / "s", "--json")
    assert ran.code == 4
    assert actions(ran.json["cells"]) == ["executed"] * 3
    assert "No space left" in ran.err and "execute again next time" in ran.err
    assert "5120001" in book.read_text(), "the notebook itself ran to its end"
    again = nbrewind("repeat", book, "--store", small_disk / "s", "--json")
    assert actions(again.json["cells"])[:2] == ["restored", "executed"], again.json
    assert "5120001" in book.read_text()
