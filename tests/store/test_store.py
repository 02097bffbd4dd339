"""The store as one process sees it: what is put comes back, in this process and in the next."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from nbrewind.errors import MissingObject, StoreError
from nbrewind.model import FORMAT_VERSION, Run, TaskEntry
from nbrewind.store import Store
from nbrewind.store import store as implementation
from store.conftest import commit, record
from support.stores import place


def test_everything_comes_back_at_once_and_after_closing(tmp_path: Path) -> None:
    def check(store: Store) -> None:
        assert store.get(image) == b"hello"
        assert [r.id for r in store.records("k")] == ["two", "one"]
        assert store.record("one").delta.names["x0"].image == image
        assert [c.id for c in store.path_to("c2")] == ["c1", "c2"]
        assert [c.id for c in store.commits("r")] == ["c1", "c2"]
        assert store.runs("nb")[0].head == "c2"
        assert store.run("r").notebook == "nb"
        assert [t.result for t in store.tasks("t")] == [image, ""]

    first = Store.open(tmp_path / "s")
    image = first.put(b"hello")
    first.start_run(Run(id="r", notebook="nb"))
    for number, name in enumerate(("one", "two"), 1):
        first.add_record(record(name, image))
        first.add_commit(commit(f"c{number}", name, f"c{number - 1}" if number > 1 else ""))
    first.update_run(Run(id="r", notebook="nb", head="c2"))
    first.add_task(TaskEntry(key="t", name="f", result=image))
    first.add_task(TaskEntry(key="t", name="f", result=""))
    check(first)
    assert first.flush(60)
    assert first.is_durable("c2")
    check(first)
    first.close()
    again = Store.open(tmp_path / "s", readonly=True)
    check(again)
    assert again.stats()["records"] == 2
    again.close()


def test_the_same_bytes_are_one_object(store: Store) -> None:
    assert store.put(b"x" * 100) == store.put(bytearray(b"x" * 100)) == store.put(memoryview(b"x" * 100))
    assert store.stats()["objects"] == 1


def test_what_is_put_may_change_afterwards(store: Store) -> None:
    data = bytearray(b"before")
    digest = store.put(data)
    data[:] = b"after!"
    store.flush()
    assert store.get(digest) == b"before"


def test_a_forgotten_record_is_no_hit_and_stays_in_the_history(store: Store) -> None:
    store.add_record(record("one"))
    store.forget("one")
    assert store.records("k") == []
    assert store.record("one").id == "one"


def test_what_is_absent_says_so(store: Store) -> None:
    with pytest.raises(MissingObject, match="no object"):
        store.get("0" * 32)
    with pytest.raises(MissingObject, match="no record"):
        store.record("nothing")
    with pytest.raises(MissingObject, match="no commit"):
        store.commit("nothing")
    assert store.path_to("nothing") == []


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "gone"])
@pytest.mark.parametrize("loose", [False, True])
def test_a_damaged_object_is_a_miss(store: Store, tmp_path: Path, damage: str, loose: bool) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"payload" * 100)
    digest = store.put_file(str(file)) if loose else store.put(b"payload" * 100)
    store.add_record(record("one", outputs=digest))
    store.flush()
    where = place(store.path, digest)
    if damage == "gone":
        where.file.unlink()
    elif damage == "flip":
        where.spoil()
    else:
        os.truncate(where.file, where.offset + where.length - 5 if damage == "cut" else 0)
    fresh = Store.open(store.path, readonly=True)
    with pytest.raises(MissingObject, match="runs again"):
        fresh.get(digest)
    assert not fresh.complete(fresh.record("one"))
    fresh.close()
    again = Store.open(store.path)
    with pytest.raises(MissingObject):
        again.get(digest)
    assert again.put(b"payload" * 100) == digest, "and the same bytes may be put again"
    again.close()
    assert again.get(digest) == b"payload" * 100
    again.close()


def test_a_row_that_cannot_be_read_is_a_miss(store: Store) -> None:
    store.add_record(record("one"))
    store.add_record(record("two"))
    store.close()
    with sqlite3.connect(store.path / "catalog.sqlite") as connection:
        connection.execute("update records set body = ? where id = 'two'", (b'{"id":',))
    again = Store.open(store.path)
    assert [r.id for r in again.records("k")] == ["one"]
    again.close()


def test_permissions_keep_values_from_others(store: Store) -> None:
    digest = store.put(b"secret")
    kept = store.put_file(str(store.path / ".gitignore"))
    store.flush()
    pack = place(store.path, digest).file
    for path, mode in (
        (store.path, 0o700),
        (store.path / "objects", 0o700),
        (store.path / "packs", 0o700),
        (store.path / "catalog.sqlite", 0o600),
        (store.path / "leases", 0o600),
        (pack, 0o600),
        (place(store.path, kept).file, 0o600),
        (place(store.path, kept).file.parent, 0o700),
    ):
        assert stat.S_IMODE(path.stat().st_mode) == mode, path
    assert (store.path / ".gitignore").read_text() == "*\n"
    store.close()
    assert stat.S_IMODE(pack.stat().st_mode) == 0o400, "nothing is written to a pack any more"


def test_a_newer_format_is_refused(store: Store) -> None:
    store.close()
    with sqlite3.connect(store.path / "catalog.sqlite") as connection:
        connection.execute(f"pragma user_version = {FORMAT_VERSION + 1}")
    for readonly in (False, True):
        with pytest.raises(StoreError, match=f"format {FORMAT_VERSION + 1}.*newer nbrewind"):
            Store.open(store.path, readonly=readonly)


def test_what_is_no_store_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.jpg").write_text("x")
    with pytest.raises(StoreError, match=r"holds 'photo\.jpg'"):
        Store.open(tmp_path / "mine")
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="is a file"):
        Store.open(tmp_path / "file")
    with pytest.raises(StoreError, match="no nbrewind store"):
        Store.open(tmp_path / "absent", readonly=True)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "catalog.sqlite").write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreError, match="damaged"):
        Store.open(tmp_path / "broken")
    assert sorted(os.listdir(tmp_path / "mine")) == ["photo.jpg"]
    assert not (tmp_path / "absent").exists()


def test_clearing_keeps_the_files_of_others(store: Store) -> None:
    store.put(b"x")
    store.add_record(record("one"))
    (store.path / "notes.txt").write_text("mine")
    store.clear()
    assert sorted(os.listdir(store.path)) == ["notes.txt"]
    (store.path / "notes.txt").unlink()
    Store.open(store.path).clear()
    assert not store.path.exists()


def test_the_digest_of_a_file_is_kept_once_it_is_old_enough(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    original = implementation.digest_file
    monkeypatch.setattr(implementation, "digest_file", lambda path: asked.append(path) or original(path))
    path = tmp_path / "f"
    path.write_text("one")
    first = store.digest_file(str(path))
    store.digest_file(str(path))
    assert len(asked) == 2, "a young file may change again under the same time stamp"
    now = implementation.time.time_ns
    monkeypatch.setattr(implementation.time, "time_ns", lambda: now() + implementation.YOUNG)
    assert store.digest_file(str(path)) == store.digest_file(str(path)) == first
    assert len(asked) == 3
    store.flush()
    again = Store.open(store.path)
    assert again.digest_file(str(path)) == first
    assert len(asked) == 3
    again.close()
    assert store.digest_file(str(tmp_path / "absent")) == ""


def test_a_forked_child_writes_nothing(store: Store) -> None:
    store.put(b"parent")
    child = os.fork()
    if child == 0:
        store.put(b"child")
        store.add_record(record("child"))
        store.flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    store.flush()
    assert store.stats() | {"bytes": 0} == {
        "objects": 1, "bytes": 0, "records": 0, "commits": 0, "runs": 0, "tasks": 0,
    }  # fmt: skip


def test_files_go_in_and_out_whole(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "big"
    source.write_bytes(os.urandom(9 << 20))
    digest = store.put_file(str(source))
    assert digest == store.digest_file(str(source))
    target = tmp_path / "copy"
    store.copy_out(digest, str(target), 0o640)
    assert target.read_bytes() == source.read_bytes()
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    store.objects.loose.path(digest).write_bytes(b"damaged")
    target.write_text("mine")
    with pytest.raises(MissingObject, match="is as it was"):
        store.copy_out(digest, str(target), 0o640)
    assert target.read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["big", "copy", "store"]


WRITER = """
import sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from nbrewind.store import Store
from store.conftest import record
store = Store.open(Path(sys.argv[1]))
for n in range(40):
    shared, own = store.put(b"shared %d" % n), store.put(sys.argv[2].encode() + b" %d" % n)
    store.add_record(record(f"{sys.argv[2]}{n}", shared, own))
store.close()
assert not store.failures, store.failures
"""


def test_two_processes_write_at_the_same_time(tmp_path: Path) -> None:
    tests = str(Path(__file__).resolve().parents[1])
    calls = [[sys.executable, "-c", WRITER, str(tmp_path / "s"), name, tests] for name in ("a", "b")]
    running = [subprocess.Popen(call, stderr=subprocess.PIPE, text=True) for call in calls]
    for process in running:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    store = Store.open(tmp_path / "s", readonly=True)
    assert store.stats()["records"] == 80
    assert store.stats()["objects"] == 120
    assert all(store.complete(one) for one in store.records("k"))
    store.close()


class Model(RuleBasedStateMachine):
    """A store against dictionaries, with closing and opening in between."""

    folder: Path

    def __init__(self) -> None:
        super().__init__()
        self.path = self.folder / os.urandom(6).hex()
        self.store = Store.open(self.path)
        self.objects: dict[str, bytes] = {}
        self.records: list[str] = []
        self.forgotten: set[str] = set()

    @rule(data=st.binary(max_size=20))
    def put(self, data: bytes) -> None:
        self.objects[self.store.put(data)] = data

    @rule(data=st.data())
    def add_record(self, data: st.DataObject) -> None:
        images = (
            data.draw(st.lists(st.sampled_from(sorted(self.objects)), max_size=2)) if self.objects else []
        )
        name = f"r{len(self.records)}"
        self.store.add_record(record(name, *images))
        self.records.append(name)

    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        if self.records:
            name = data.draw(st.sampled_from(self.records))
            self.store.forget(name)
            self.forgotten.add(name)

    @rule()
    def open_again(self) -> None:
        self.store.close()
        self.store = Store.open(self.path)

    @rule()
    def flush(self) -> None:
        assert self.store.flush(60)

    @invariant()
    def all_is_there(self) -> None:
        assert {digest: self.store.get(digest) for digest in self.objects} == self.objects
        wanted = [name for name in reversed(self.records) if name not in self.forgotten]
        assert [r.id for r in self.store.records("k")] == wanted

    def teardown(self) -> None:
        self.store.close()
        assert not self.store.failures


def test_a_store_is_a_dictionary(tmp_path: Path) -> None:
    Model.folder = tmp_path
    run_state_machine_as_test(
        Model,
        settings=settings(
            max_examples=25, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
