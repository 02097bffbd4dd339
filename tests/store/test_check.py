"""``check`` names what is broken and nothing else; ``repair`` leaves a store that is whole."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from nbrewind.errors import StoreError
from nbrewind.model import TaskEntry
from nbrewind.store import Store, catalog
from nbrewind.store.check import Findings, examine, repair
from store.conftest import commit, record
from support.disks import photograph
from support.stores import place, places, run_sql


def inner(image: bytes) -> list[str]:
    """The objects of a test's image: ``image DIGEST``."""
    return [part.decode() for part in image.split()[1:]]


def quiet(done: int, total: int) -> None:
    assert done <= total


def problems(found: Findings) -> set[tuple[str, str]]:
    return {(problem.kind, problem.name) for problem in found.problems}


@pytest.fixture
def names(store: Store) -> dict[str, str]:
    """Digests by role in a closed store of three cells and one task."""
    block = store.put(b"block" * 1000)
    found = {
        "block": block,
        "image": store.put(b"image " + block.encode()),
        "other": store.put(b"other"),
        "outputs": store.put(b"[]"),
        "result": store.put(b"result"),
    }
    store.add_record(record("r0", found["other"]))
    store.add_record(record("r1", found["image"], outputs=found["outputs"]))
    store.add_record(record("r2", found["other"]))
    for number in range(3):
        store.add_commit(commit(f"c{number}", f"r{number}", f"c{number - 1}" if number else ""))
    store.add_task(TaskEntry(key="t", name="work", result=found["result"]))
    store.close()
    return found


def test_a_sound_store_is_sound(store: Store, names: dict[str, str]) -> None:
    found = examine(store.path, inner)
    assert not found.problems and found.objects == len(names) and found.rows == 7


@pytest.mark.parametrize("how", ["flip", "row"])
@pytest.mark.parametrize(
    ("role", "lost"),
    [
        ("block", {("record", "r1")}),
        ("image", {("record", "r1")}),
        ("outputs", {("record", "r1")}),
        ("other", {("record", "r0"), ("record", "r2")}),
        ("result", {("task", "1")}),
    ],
)
def test_what_is_broken_is_named_and_repaired(
    store: Store, names: dict[str, str], role: str, lost: set[tuple[str, str]], how: str
) -> None:
    where = place(store.path, names[role])
    if how == "row":
        run_sql(store.path, "delete from objects where digest = ?", names[role])
    else:
        where.spoil()
    expected = lost | ({("object", names[role])} if how != "row" else set())
    assert problems(examine(store.path, inner)) == expected
    assert problems(examine(store.path, inner)) == expected, "looking changes nothing"
    assert problems(repair(store.path, inner, quiet)) == expected
    assert not examine(store.path, inner).problems
    assert names[role] not in places(store.path)
    opened = Store.open(store.path, readonly=True)
    hits = {one.id for one in opened.records("k")}
    assert hits == {"r0", "r1", "r2"} - {name for kind, name in lost if kind == "record"}
    assert [step.id for step in opened.path_to("c2")] == ["c0", "c1", "c2"], "the history stays"
    assert len(opened.tasks("t")) == (0 if role == "result" else 1)
    opened.close()


@pytest.mark.parametrize(
    ("sql", "lost"),
    [
        ("update records set body = x'00' where id = 'r1'", {"record r1", "commit c1", "commit c2"}),
        ("delete from records where id = 'r2'", {"commit c2"}),
        ("update commits set body = x'7b' where id = 'c0'", {"commit c0", "commit c1", "commit c2"}),
        ("delete from commits where id = 'c1'", {"commit c2"}),
        ("update tasks set body = x'ff'", {"task 1"}),
        ("insert into runs (id, notebook, body) values ('x', '', x'00')", {"run x"}),
    ],
)
def test_rows_that_cannot_be_read(store: Store, names: dict[str, str], sql: str, lost: set[str]) -> None:
    run_sql(store.path, sql)
    assert {" ".join(one) for one in problems(examine(store.path, inner))} == lost
    repair(store.path, inner, quiet)
    assert not examine(store.path, inner).problems
    assert places(store.path).keys() >= set(names.values()), "no object went"


def test_a_catalog_that_sqlite_finds_torn_is_not_repaired(store: Store, names: dict[str, str]) -> None:
    path = store.path / catalog.NAME
    path.write_bytes(path.read_bytes()[:4096] + os.urandom(4096) + path.read_bytes()[8192:])
    before = photograph(store.path)
    with pytest.raises(StoreError, match="damaged"):
        repair(store.path, inner, quiet)
    assert photograph(store.path) == before


def test_nothing_is_dropped_under_somebody_who_uses_the_store(store: Store, names: dict[str, str]) -> None:
    where = place(store.path, names["other"])
    where.write(b"wrong")
    for readonly in (False, True):
        user = Store.open(store.path, readonly=readonly)
        with pytest.raises(StoreError, match="in use"):
            repair(store.path, inner, quiet)
        assert where.bytes() == b"wrong"
        user.close()
    user = Store.open(store.path)
    user.close()
    user.put(b"used again after closing")
    with pytest.raises(StoreError, match="in use"):
        repair(store.path, inner, quiet)
    user.close()
    assert repair(store.path, inner, quiet).problems


def pack_of(store: Store) -> Path:
    (found,) = (store.path / "packs").iterdir()
    found.chmod(0o600)
    return found


@pytest.mark.parametrize("how", ["cut", "gone"])
def test_a_pack_that_lost_its_end_or_itself(store: Store, names: dict[str, str], how: str) -> None:
    pack = pack_of(store)
    if how == "gone":
        pack.unlink()
    else:
        os.truncate(pack, place(store.path, names["block"]).offset)
    found = problems(examine(store.path, inner))
    assert ("pack", pack.stem) in found and ("record", "r1") in found
    assert ("object", names["block"]) in found
    assert problems(repair(store.path, inner, quiet)) == found
    assert not examine(store.path, inner).problems


def test_a_pack_with_a_damaged_index_is_served_and_written_anew(store: Store, names: dict[str, str]) -> None:
    pack = pack_of(store)
    with pack.open("r+b") as file:
        file.seek(70)
        file.write(b"\xff")
    opened = Store.open(store.path, readonly=True)
    assert opened.get(names["block"]) == b"block" * 1000
    opened.close()
    assert problems(examine(store.path, inner)) == {("pack", pack.stem)}
    repair(store.path, inner, quiet)
    assert not examine(store.path, inner).problems and not pack.exists()
    assert places(store.path).keys() == set(names.values())


@pytest.mark.parametrize(
    ("table", "key", "kind"),
    [("records", "r2", "record"), ("commits", "c2", "commit"), ("tasks", "t", "task")],
)
def test_a_changed_byte_in_a_row_is_found(
    store: Store, names: dict[str, str], table: str, key: str, kind: str
) -> None:
    connection = sqlite3.connect(store.path / catalog.NAME)
    column = "key" if table == "tasks" else "id"
    (body,) = connection.execute(f"select body from {table} where {column} = ?", (key,)).fetchone()
    changed = body.replace(b'"seconds":0.0', b'"seconds":9.0').replace(b'"index":0', b'"index":7')
    assert changed != body
    with connection:
        connection.execute(f"update {table} set body = ? where {column} = ?", (changed, key))
    connection.close()
    found = {kind for kind, _ in problems(examine(store.path, inner))}
    assert kind in found
    opened = Store.open(store.path, readonly=True)
    assert "r2" not in [one.id for one in opened.records("k")] or table != "records"
    assert opened.path_to("c2") == [] or table != "commits"
    assert opened.tasks("t") == [] or table != "tasks"
    opened.close()
    repair(store.path, inner, quiet)
    assert not examine(store.path, inner).problems
