"""Reading a store that may not, or cannot, be written; refusing what is no store of ours."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from nbrewind.errors import MissingObject, NoStore, StoreError
from nbrewind.model import Run, TaskEntry
from nbrewind.store import Store
from nbrewind.store.catalog import NAME
from store.conftest import TESTS, commit, record
from support.disks import photograph, read_only

KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from nbrewind.store import Store
from store.conftest import record
store = Store.open(Path(sys.argv[1]))
store.add_record(record("one", store.put(b"one")))
store.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files of this process go."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


def killed_store(path: Path) -> Path:
    """A store whose writer was killed: the last rows are in SQLite's log alone."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), TESTS])
    assert done.returncode == -signal.SIGKILL
    assert (path / f"{NAME}-wal").stat().st_size > 0
    return path


def test_a_store_that_is_only_read_is_left_as_it_is(store: Store, temporary: Path) -> None:
    digest = store.put(b"x")
    store.add_record(record("one", digest))
    store.close()
    before = photograph(store.path)
    assert f"{NAME}-wal" not in before and f"{NAME}-shm" not in before
    reader = Store.open(store.path, readonly=True)
    new = reader.put(b"new")
    file = temporary / "file"
    file.write_bytes(b"content")
    kept = reader.put_file(str(file))
    reader.add_record(record("two", new))
    reader.start_run(Run(id="r"))
    reader.add_commit(commit("c", "two"))
    reader.add_task(TaskEntry(key="t", name="f", result=new))
    reader.digest_file(str(file))
    assert (reader.get(new), reader.get(kept)) == (b"new", b"content")
    reader.copy_out(kept, str(file), 0o600)
    assert [r.id for r in reader.records("k")] == ["two", "one"]
    assert reader.complete(reader.record("two")) and not reader.is_durable("c")
    assert reader.flush() and not reader.failures
    with pytest.raises(StoreError, match="only read"):
        reader.forget("one")
    assert photograph(store.path) == before
    file.unlink()
    reader.close()
    assert photograph(store.path) == before
    assert list(temporary.iterdir()) == [], "what was put ends with the reader"
    assert not reader.has(new)


def test_a_reader_without_a_temporary_folder_keeps_things_in_memory(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Store.open(store.path, readonly=True)

    def fail(**_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "mkdtemp", fail)
    assert reader.get(reader.put(b"new")) == b"new"
    with pytest.raises(StoreError, match="No space left"):
        Store.temporary()
    reader.close()


def test_a_reader_sees_what_a_writer_adds_later(store: Store) -> None:
    store.close()
    reader = Store.open(store.path, readonly=True)
    assert reader.records("k") == []
    for number in range(3):
        store.add_record(record(f"r{number}"))
        store.flush()
        assert len(reader.records("k")) == number + 1
        store.close()  # takes SQLite's log into the catalog and deletes it
        assert len(reader.records("k")) == number + 1
    reader.close()


@pytest.mark.parametrize("shared_memory", [True, False])
@pytest.mark.parametrize("writable", [True, False])
def test_rows_of_a_killed_writer_are_read(
    tmp_path: Path, temporary: Path, shared_memory: bool, writable: bool
) -> None:
    path = killed_store(tmp_path / "s")
    if not shared_memory:
        (path / f"{NAME}-shm").unlink()

    def check() -> None:
        before = photograph(path)
        reader = Store.open(path, readonly=True)
        assert [r.id for r in reader.records("k")] == ["one"]
        assert reader.complete(reader.record("one"))
        reader.close()
        assert photograph(path) == before
        assert list(temporary.iterdir()) == []

    if writable:
        check()
    else:
        with read_only(path):
            check()
    writer = Store.open(path)
    assert [r.id for r in writer.records("k")] == ["one"]
    writer.close()


def test_a_read_only_disk_is_refused_for_writing_and_read(store: Store) -> None:
    store.add_record(record("one"))
    store.close()
    with read_only(store.path):
        with pytest.raises(StoreError, match=r"cannot be written .Read-only file system"):
            Store.open(store.path)
        reader = Store.open(store.path, readonly=True)
        assert reader.record("one").id == "one"
        reader.close()
        with pytest.raises(StoreError, match=r"cannot be deleted .Read-only file system"):
            Store.open(store.path, create=False).clear()


@pytest.mark.parametrize("part", [NAME, "objects"])
def test_a_store_of_which_a_part_cannot_be_written_is_refused(store: Store, part: str) -> None:
    store.close()
    with read_only(store.path / part), pytest.raises(StoreError, match="cannot be written"):
        Store.open(store.path)


def test_a_folder_without_write_permission_is_refused() -> None:
    with tempfile.TemporaryDirectory() as folder:
        locked = Path(folder) / "locked"
        locked.mkdir()
        Path(folder).chmod(0o755)
        locked.chmod(0o555)
        receiving, sending = os.pipe()
        child = os.fork()
        if child == 0:
            if os.geteuid() == 0:  # who may write anywhere
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            try:
                Store.open(locked / "store")
            except StoreError as error:
                os.write(sending, str(error).encode())
            os._exit(0)
        os.close(sending)
        with os.fdopen(receiving) as answer:
            said = answer.read()
        assert os.waitpid(child, 0)[1] == 0
        assert "cannot be written (Permission denied)" in said
        assert list(locked.iterdir()) == []


def test_a_catalog_that_was_never_finished_is_no_store_yet(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.mkdir()
    (path / NAME).touch()
    with pytest.raises(NoStore):
        Store.open(path, readonly=True)
    store = Store.open(path)
    assert store.records("k") == []
    store.close()


def test_a_newer_format_is_found_wherever_it_is_written(store: Store) -> None:
    store.close()
    with sqlite3.connect(store.path / NAME) as connection:
        connection.execute("update meta set value = '999' where key = 'format'")
        connection.execute("pragma user_version = 0")
    for readonly in (False, True):
        with pytest.raises(StoreError, match=r"format 999.*newer nbrewind"):
            Store.open(store.path, readonly=readonly)


def test_a_database_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.mkdir()
    with sqlite3.connect(path / NAME) as connection:
        connection.execute("create table songs (title text)")
    content = (path / NAME).read_bytes()
    for readonly in (False, True):
        with pytest.raises(StoreError, match="'songs' of somebody else"):
            Store.open(path, readonly=readonly)
    assert (path / NAME).read_bytes() == content


@pytest.mark.parametrize("readonly", [True, False])
def test_a_damaged_page_is_told_and_tolerated_where_a_notebook_runs(store: Store, readonly: bool) -> None:
    for number in range(200):
        store.add_record(record(f"r{number}", outputs="0" * 32))
    store.close()
    half = (store.path / NAME).stat().st_size // 2
    with (store.path / NAME).open("r+b") as file:
        file.seek(half)
        file.write(b"\xff" * half)
    damaged = Store.open(store.path, readonly=readonly)
    with pytest.raises(StoreError):
        damaged.records("k")
    damaged.tolerant = True
    assert damaged.records("k") == [] and not damaged.is_durable("c")
    assert damaged.troubles and "damaged" in damaged.troubles[0]
    damaged.close()


def test_a_reader_whose_store_is_gone_says_so(store: Store) -> None:
    store.add_record(record("one"))
    store.close()
    reader = Store.open(store.path, readonly=True)
    store.clear()
    with pytest.raises(NoStore):
        reader.records("k")
    with pytest.raises(MissingObject):
        reader.get("0" * 32)
    reader.close()


def test_a_temporary_store_leaves_nothing(temporary: Path) -> None:
    store = Store.temporary()
    store.add_record(record("one", store.put(b"one")))
    assert store.flush() and not store.failures
    assert list(temporary.iterdir())
    store.close()
    assert list(temporary.iterdir()) == []
