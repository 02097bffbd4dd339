"""Stores of format 1: read as they are, brought to format 2 by the first who writes, alone."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path

import pytest

from nbrewind.errors import StoreError
from nbrewind.model import Run, TaskEntry
from nbrewind.store import Store, catalog
from nbrewind.store.check import examine, repair
from nbrewind.store.gc import Limits, collect
from nbrewind.store.ledger import encode
from nbrewind.store.loose import Loose, digest_of
from store.conftest import commit, record
from support.disks import photograph

SCHEMA_1 = """
create table meta (key text primary key, value text not null);
insert into meta values ('format', '1');
create table records (
    seq integer primary key autoincrement, id text unique not null, source_key text not null,
    forgotten integer not null default 0, body blob not null);
create index records_key on records (source_key);
create table commits (
    seq integer primary key autoincrement, id text unique not null, run text not null, parent text not null,
    record text not null, body blob not null);
create index commits_run on commits (run);
create table runs (
    seq integer primary key autoincrement, id text unique not null, notebook text not null,
    body blob not null);
create index runs_notebook on runs (notebook);
create table tasks (
    seq integer primary key autoincrement, key text not null, body blob not null);
create index tasks_key on tasks (key);
create table digests (signature text primary key, digest text not null);
pragma user_version = 1;
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A store as format 1 had it: every object a file, rows without digests."""
    path = tmp_path / "old"
    (path / "objects").mkdir(parents=True)
    (path / ".gitignore").write_text("*\n")
    image = digest_of(b"image")
    Loose(path / "objects").write(image, b"image")
    rows = (record("one", image), commit("c", "one"), Run(id="r", notebook="nb", head="c"))
    task = TaskEntry(key="t", name="f", result=image)
    connection = sqlite3.connect(path / catalog.NAME)
    connection.executescript(SCHEMA_1)
    connection.execute("pragma journal_mode = wal")
    with connection:
        connection.execute(
            "insert into records (id, source_key, body) values ('one', 'k', ?)", (encode(rows[0]),)
        )
        connection.execute(
            "insert into commits (id, run, parent, record, body) values ('c', 'r', '', 'one', ?)",
            (encode(rows[1]),),
        )
        connection.execute("insert into runs (id, notebook, body) values ('r', 'nb', ?)", (encode(rows[2]),))
        connection.execute("insert into tasks (key, body) values ('t', ?)", (encode(task),))
    connection.close()
    return path


def read(store: Store) -> None:
    (one,) = store.records("k")
    assert store.complete(one) and store.get(one.delta.names["x0"].image) == b"image"
    assert [step.id for step in store.branch(store.run("r"))] == ["c"]
    assert len(store.tasks("t")) == 1


def test_it_is_read_without_a_trace(old: Path) -> None:
    before = photograph(old)
    store = Store.open(old, readonly=True)
    read(store)
    store.close()
    assert not examine(old, lambda image: []).problems
    assert photograph(old) == before


def test_who_writes_brings_it_to_the_new_format(old: Path) -> None:
    store = Store.open(old)
    read(store)
    store.add_record(record("two", store.put(b"new")))
    store.close()
    assert not store.failures and catalog.format_of(old) == 2
    again = Store.open(old, readonly=True)
    assert [one.id for one in again.records("k")] == ["two", "one"]
    again.close()
    assert not examine(old, lambda image: []).problems


def test_not_while_an_earlier_version_uses_it(old: Path) -> None:
    user = os.open(old, os.O_RDONLY)
    fcntl.flock(user, fcntl.LOCK_SH)
    before = photograph(old)
    with pytest.raises(StoreError, match=r"in use .*earlier format"):
        Store.open(old)
    assert photograph(old) == before
    os.close(user)
    Store.open(old).close()


def test_repair_and_collection_bring_it_too(old: Path, tmp_path: Path) -> None:
    loose = Loose(old / "objects")
    loose.write(digest_of(b"dead"), b"dead")
    assert collect(old, Limits(), b"image!").objects == [digest_of(b"dead")]
    loose.path(digest_of(b"image")).write_bytes(b"imagE")
    assert {problem.kind for problem in repair(old, lambda image: [], lambda *_: None).problems} == {
        "object", "record", "task",
    }  # fmt: skip
    assert not examine(old, lambda image: []).problems
