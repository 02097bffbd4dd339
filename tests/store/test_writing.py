"""The writer and what it is given: threads, forks, late failures, names that are no text."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from nbrewind.errors import MissingObject, StoreError
from nbrewind.model import FileState, Run, TaskEntry
from nbrewind.store import Store, catalog
from nbrewind.store.pack import Appender, Location
from store.conftest import commit, record
from support.stores import place


def names(store: Store) -> list[str]:
    return [one.id for one in store.records("k")]


def fail_once(monkeypatch: pytest.MonkeyPatch, wanted: bytes) -> None:
    """The first object that holds these bytes cannot be written, not even by itself."""
    original, failed = Appender.append, []

    def append(pack: Appender, objects: list[tuple[str, bytes]]) -> list[Location]:
        data = [one for _, one in objects]
        if wanted in data and not failed:
            if len(data) == 1:
                failed.append(data)
            raise OSError(28, "No space left on device")
        return original(pack, objects)

    monkeypatch.setattr(Appender, "append", append)


def test_threads_that_add_at_once_share_one_writer(store: Store) -> None:
    barrier = threading.Barrier(8)
    others = set(threading.enumerate())  # stores of other tests may still be open in this process

    def add(worker: int) -> None:
        for turn in range(8):
            barrier.wait()
            store.add_task(TaskEntry(key=f"t{worker}", name="f", result=store.put(b"%d %d" % (worker, turn))))
            if turn % 4 == 0:
                store.flush()

    threads = [threading.Thread(target=add, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert sum(thread.name == "nbrewind-writer" for thread in {*threading.enumerate()} - others) <= 1
    store.close()
    again = Store.open(store.path, readonly=True)
    assert [len(again.tasks(f"t{worker}")) for worker in range(8)] == [8] * 8
    assert not store.failures
    again.close()


def test_what_is_added_after_closing_is_written_too(store: Store) -> None:
    for number in range(20):
        store.close()
        store.add_record(record(f"r{number}"))
    assert store.flush(60)
    again = Store.open(store.path, readonly=True)
    assert len(names(again)) == 20
    again.close()


def test_a_task_that_is_being_committed_is_seen_once(store: Store) -> None:
    for number in range(50):
        store.add_task(TaskEntry(key="t", name=str(number), result=""))
        assert [entry.name for entry in store.tasks("t")] == [str(n) for n in range(number + 1)]


def test_a_lost_block_takes_every_image_along_that_holds_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.references = lambda image: [image.decode().partition(" ")[2]] if image.startswith(b"image") else []
    fail_once(monkeypatch, b"block")
    hold, original = threading.Event(), store._writer._work
    monkeypatch.setattr(store._writer, "_work", lambda: (hold.wait(), original()))
    block = store.put(b"block")
    store.add_record(record("first", store.put(b"image1 " + block.encode())))
    store.put(b"block")  # still on its way, so not queued again
    store.add_record(record("second", store.put(b"image2 " + block.encode())))
    hold.set()
    store.flush()
    assert names(store) == []
    assert store.lost["record second"] == "No space left on device"
    assert store.put(b"block") == block
    store.add_record(record("third", store.put(b"image3 " + block.encode())))
    store.flush()
    assert names(store) == ["third"] and store.complete(store.record("third"))


def test_a_catalog_that_cannot_be_written_for_a_while(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(folder: Path) -> None:
        raise catalog.unwritable(folder, "database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(catalog, "open_for_writing", full)
        store.update_run(Run(id="r", head="c1"))
        store.add_record(record("r1"))
        store.add_commit(commit("c1", "r1"))
        store.flush()
        assert sorted(store.lost) == ["commit c1", "record r1", "run r"]
        with pytest.raises(StoreError, match="nothing was forgotten"):
            store.forget("r0")
    store.update_run(Run(id="r", head="c2"))
    store.add_record(record("r2"))
    store.add_commit(commit("c2", "r2", "c1"))
    store.flush()
    assert names(store) == ["r2"]
    assert sorted(store.lost) == ["commit c1", "commit c2", "record r1"], "a run's newer row makes up for it"


def test_a_branch_ends_where_the_history_was_lost(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_once(monkeypatch, b"two")
    for number, data in enumerate((b"one", b"two", b"three"), 1):
        store.add_record(record(f"r{number}", store.put(data)))
        store.add_commit(commit(f"c{number}", f"r{number}", f"c{number - 1}" if number > 1 else ""))
        store.update_run(Run(id="r", head=f"c{number}"))
    store.flush()
    assert names(store) == ["r3", "r1"]
    assert store.path_to("c3") == []
    assert [one.id for one in store.branch(store.run("r"))] == ["c1"]


def test_a_file_that_cannot_be_kept_gives_up_the_record_and_not_the_cell(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"before")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space"):
            store.put_file(str(file))
        digest = store.keep_file(str(file))
    assert digest == store.digest_file(str(file)) and not store.has(digest)
    store.add_record(record("r1"))
    store.add_record(record("r2"))
    store.flush()
    assert names(store) == ["r2"]
    assert store.lost["record r1"] == "No space left on device"
    assert store.keep_file(str(tmp_path / "absent")) == ""
    assert store.keep_file(str(file)) == digest and store.has(digest)
    assert [p.name for p in (store.path / "objects").iterdir()] == [digest[:2]]


def test_the_cache_of_digests_is_missed_by_nobody(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"x")
    os.utime(file, (1, 1))
    monkeypatch.setattr("nbrewind.store.store.YOUNG", -(10**18))
    monkeypatch.setattr(
        catalog, "open_for_writing", lambda folder: (_ for _ in ()).throw(catalog.unwritable(folder, "full"))
    )
    assert store.digest_file(str(file))
    store.flush()
    assert not store.failures and not store.lost


def test_names_that_are_no_utf_8(store: Store) -> None:
    odd = os.fsdecode(b"caf\xe9.csv")
    plain = record("one")
    files = {odd: FileState("file", store.put(b"x"), 1)}
    store.add_record(replace(plain, delta=replace(plain.delta, files=files)))
    store.start_run(Run(id="r", notebook=odd, found=files))
    store.add_commit(replace(commit("c", "one"), cell_id=odd))
    store.close()
    assert not store.failures
    again = Store.open(store.path, readonly=True)
    assert again.record("one").delta.files == files
    assert again.runs(odd)[0].found == files
    assert again.commits("r")[0].cell_id == odd
    again.close()


def test_an_object_cut_short_is_written_again(store: Store) -> None:
    digest = store.put(b"whole")
    store.close()
    where = place(store.path, digest)
    os.truncate(where.file, where.offset)  # as a power cut leaves it on some file systems
    again = Store.open(store.path)
    assert again.put(b"whole") == digest
    assert again.flush() and again.get(digest) == b"whole"
    again.close()
    third = Store.open(store.path, readonly=True)
    assert third.get(digest) == b"whole", "the other place of it is passed over"
    third.close()


def test_a_record_is_complete_no_more_once_damage_was_seen(store: Store) -> None:
    digest = store.put(b"whole")
    store.add_record(record("one", digest))
    store.flush()
    assert store.complete(store.record("one"))
    place(store.path, digest).write(b"wh0le")
    with pytest.raises(MissingObject):
        store.get(digest)
    assert not store.complete(store.record("one"))


def test_a_store_that_is_cleared_while_it_is_used_is_not_made_again(store: Store) -> None:
    store.add_record(record("one", store.put(b"shared")))
    store.flush()
    Store.open(store.path, create=False).clear()
    store.add_record(record("two", store.put(b"shared")))
    store.flush()
    assert "deleted or replaced" in store.lost["record two"]
    assert not (store.path / catalog.NAME).exists()
    fresh = Store.open(store.path)
    store.add_record(record("three"))
    store.flush()
    assert "deleted or replaced" in store.lost["record three"]
    assert names(fresh) == []
    fresh.close()


def test_leftovers_of_killed_writers_are_no_objects(store: Store, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    digest = store.put_file(str(tmp_path / "f"))
    store.close()
    objects = store.path / "objects"
    (store.path / "packs" / ("0" * 32 + ".pack")).write_bytes(b"half")
    (store.path / "packs" / "mine.pack").write_bytes(b"mine")
    (objects / f"incoming.{'0' * 32}.tmp").write_bytes(b"half")
    (objects / digest[:2] / f"{digest[2:]}.{'0' * 32}.tmp").write_bytes(b"half")
    (objects / "mine").mkdir()
    (objects / "mine" / "x").write_bytes(b"mine")
    (objects / digest[:2] / "notes.txt").write_bytes(b"mine")
    assert store.stats()["objects"] == 1 and store.stats()["bytes"] == 1
    store.clear()
    left = sorted(str(p.relative_to(store.path)) for p in store.path.rglob("*") if p.is_file())
    assert left == sorted(["objects/mine/x", f"objects/{digest[:2]}/notes.txt", "packs/mine.pack"])


def test_objects_may_be_a_link_to_a_larger_disk(store: Store, tmp_path: Path) -> None:
    store.close()
    for name in ("objects", "packs"):
        (store.path / name).rename(tmp_path / name)
        (store.path / name).symlink_to(tmp_path / name)
    linked = Store.open(store.path)
    linked.put(b"x")
    linked.put_file(str(store.path / ".gitignore"))
    assert linked.flush() and not linked.failures
    assert list((tmp_path / "objects").iterdir()) and list((tmp_path / "packs").iterdir())
    linked.clear()
    assert list((tmp_path / "objects").iterdir()) == list((tmp_path / "packs").iterdir()) == []


def test_a_forked_child_reads_although_a_lock_was_held(store: Store) -> None:
    store.add_record(record("one", store.put(b"one")))
    store.flush()
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with store._lock:
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        fine = names(store) == ["one"] and store.get(store.put(b"child")) == b"child"
        store.close()
        os._exit(0 if fine else 1)
    done.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
    store.add_record(record("two"))
    store.flush()
    assert names(store) == ["two", "one"]


CREATE = """
import sys, itertools
from nbrewind.store import Store
for n in itertools.count() if sys.argv[2] == "on" else range(int(sys.argv[2])):
    Store.open(f"{sys.argv[1]}{n}").close()
    print(n, flush=True)
"""


def test_many_processes_make_the_same_store(tmp_path: Path) -> None:
    call = [sys.executable, "-c", CREATE, str(tmp_path / "s"), "20"]
    running = [subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(3)]
    for process in running:
        assert process.communicate(timeout=120)[1] == b""
        assert process.returncode == 0


def test_a_store_whose_maker_was_killed_opens(tmp_path: Path) -> None:
    for turn in range(6):
        call = [sys.executable, "-c", CREATE, str(tmp_path / f"s{turn}-"), "on"]
        process = subprocess.Popen(call, stdout=subprocess.PIPE)
        assert process.stdout is not None
        for _ in range(turn + 1):
            process.stdout.readline()
        process.kill()
        process.wait()
        process.stdout.close()
    made = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert len(made) >= 6
    for path in made:
        store = Store.open(path)
        store.add_record(record("one"))
        store.close()
        assert not store.failures
