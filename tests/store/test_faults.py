"""Kills, full disks and failing writes: what the catalog names is there, and what is lost is told."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbrewind.store import Store
from nbrewind.store.pack import Appender, Location
from store.conftest import TESTS, commit, record
from support.disks import fill, small_disk

ENDLESS = """
import os, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from nbrewind.store import Store
from store.conftest import commit, record
store = Store.open(Path(sys.argv[1]))
n, parent = 0, ""
while True:
    images = [store.put(os.urandom(20_000)) for _ in range(3)]
    store.add_record(record(f"r{os.getpid()}-{n}", *images))
    store.add_commit(commit(f"c{os.getpid()}-{n}", f"r{os.getpid()}-{n}", parent))
    parent = f"c{os.getpid()}-{n}"
    if n % 5 == 0:
        store.flush()
        print(parent, flush=True)
    n += 1
"""


def test_a_killed_writer_leaves_only_what_is_whole(tmp_path: Path) -> None:
    dice = random.Random(7)
    promised: list[str] = []
    for _ in range(12):
        process = subprocess.Popen(
            [sys.executable, "-c", ENDLESS, str(tmp_path / "s"), TESTS], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        promised.append(process.stdout.readline().strip())
        time.sleep(dice.uniform(0.0, 0.3))
        os.kill(process.pid, signal.SIGKILL)
        promised += process.stdout.read().split()
        process.wait()
        store = Store.open(tmp_path / "s")
        for one in store.records("k"):
            assert all(store.get(version.image) for version in one.delta.names.values())
        for name in promised:
            path = store.path_to(name)
            assert path and path[-1].id == name and path[0].parent == ""
            assert all(store.complete(store.record(step.record)) for step in path)
        store.close()
    assert len(promised) >= 12


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "1m") as place:
        yield place


def test_a_full_disk_loses_what_it_names_and_nothing_else(disk: Path) -> None:
    store = Store.open(disk / "s")
    early = store.put(b"early")
    store.add_record(record("early", early))
    store.add_commit(commit("c-early", "early"))
    assert store.flush(60) and store.is_durable("c-early")
    filler = fill(disk)
    late = store.put(os.urandom(200_000))
    store.add_record(record("late", late))
    store.add_commit(commit("c-late", "late", "c-early"))
    assert store.flush(60)
    assert any("No space left" in one for one in store.failures), store.failures
    assert any(one.startswith("record late is not recorded") for one in store.failures), store.failures
    assert not store.is_durable("c-late")
    filler.unlink()
    again = store.put(b"again")
    store.add_record(record("again", again))
    store.add_commit(commit("c-again", "again", "c-early"))
    assert store.flush(60) and store.is_durable("c-again")
    store.close()
    opened = Store.open(disk / "s", readonly=True)
    assert [r.id for r in opened.records("k")] == ["again", "early"]
    assert all(opened.complete(r) for r in opened.records("k"))
    opened.close()


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_a_failed_object_takes_its_record_along(
    store: Store, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    original, wanted = Appender.append, b"object %d" % failing

    def append(pack: Appender, objects: list[tuple[str, bytes]]) -> list[Location]:
        if any(data == wanted for _, data in objects):
            raise OSError(5, "Input/output error")
        return original(pack, objects)

    monkeypatch.setattr(Appender, "append", append)
    for number in range(3):
        image = store.put(b"object %d" % number)
        store.add_record(record(f"r{number}", image))
        store.add_commit(commit(f"c{number}", f"r{number}", f"c{number - 1}" if number else ""))
    store.flush()
    kept = {r.id for r in store.records("k")}
    assert kept == {"r0", "r1", "r2"} - {f"r{failing}"}
    durable = [store.is_durable(f"c{number}") for number in range(3)]
    assert durable == [number < failing for number in range(3)], "what follows on a lost commit is lost too"
    assert any("Input/output error" in one for one in store.failures)


def test_a_store_that_vanishes_under_a_writer_is_told(store: Store) -> None:
    store.put(b"one")
    store.flush()
    shutil.rmtree(store.path)
    store.put(b"two")
    store.add_record(record("two"))
    assert store.flush(60)
    assert store.failures
