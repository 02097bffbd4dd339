"""The catalog: an SQLite file whose rows name objects that are already durable.

Tables and columns are specified in docs/format.md.  This module makes the file, opens it
for the writer's thread and tells which file is a catalog of ours; ``reader`` reads it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path

from blake3 import blake3

from nbrewind.errors import NoStore, StoreError
from nbrewind.model import FORMAT_VERSION
from nbrewind.store import filesystem

NAME = "catalog.sqlite"
BESIDE = tuple(f"{NAME}-{suffix}" for suffix in ("wal", "shm", "journal"))
"""What SQLite keeps next to the file while it is in use, or after a crash."""

WAIT = 60.0
"""Seconds that a writer waits for another process's transaction."""

SEALED = "seal = seal(body)"
"""Holds for a row whose body is as it was written."""

SEALED_RECORD = "seal = seal(body, forgotten)"

_SCHEMA = """
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
"""

_FROM_1_TO_2 = f"""
create table packs (id integer primary key autoincrement, name text unique not null);
create table objects (
    digest text not null, pack integer not null, offset integer not null, length integer not null,
    primary key (digest, pack)) without rowid;
create index objects_pack on objects (pack);
alter table records add column seal text not null default '';
alter table commits add column seal text not null default '';
alter table runs add column seal text not null default '';
alter table tasks add column seal text not null default '';
update records set seal = seal(body, forgotten);
update commits set seal = seal(body);
update runs set seal = seal(body);
update tasks set seal = seal(body);
update meta set value = '{FORMAT_VERSION}' where key = 'format';
pragma user_version = {FORMAT_VERSION};
"""


def open_for_writing(folder: Path, *, migrating: bool = False) -> sqlite3.Connection:
    """A connection of the writer's thread; makes the tables of a new store.

    ``migrating`` brings one of an earlier format to this one; the caller is alone.

    Raises:
        StoreError: it cannot be written, is damaged, or a later version wrote it.
    """
    path = folder / NAME
    connection: sqlite3.Connection | None = None
    try:
        with contextlib.suppress(FileExistsError):  # the files beside it get the same permissions
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        connection = sqlite3.connect(path, check_same_thread=False, timeout=WAIT)
        add_functions(connection)
        check_format(connection, folder)
        if version(connection) == 1 and not migrating:
            raise StoreError(f"The store at {folder} has format 1 and was not brought to format 2 yet.")
        _set_journal(connection, "delete" if filesystem.remote(folder) else "wal")
        connection.execute("pragma synchronous = full")
        connection.execute("begin immediate")
        migrate(connection)
        connection.execute("update meta set value = value where false")  # fails if it cannot be written
        connection.commit()
    except BaseException as error:  # an interrupt too: nobody else knows of the connection
        if connection is not None:
            connection.close()
        if isinstance(error, OSError):
            raise unwritable(folder, error.strerror or str(error)) from error
        if isinstance(error, sqlite3.OperationalError):
            raise unwritable(folder, str(error)) from error
        if isinstance(error, sqlite3.DatabaseError):
            raise damaged(folder, error) from error
        raise
    return connection


def migrate(connection: sqlite3.Connection) -> None:
    """Make the tables, or bring them to this format; inside a transaction or on a private copy."""
    for found, statements in ((0, _SCHEMA), (1, _FROM_1_TO_2)):
        if version(connection) <= found:
            for statement in statements.split(";"):
                connection.execute(statement)


def add_functions(connection: sqlite3.Connection) -> None:
    """``seal(body, ...)``: the digest of a row, by which a changed one is found."""
    connection.create_function("seal", -1, _seal, deterministic=True)


def _seal(*columns: object) -> str:
    hasher = blake3()
    for column in columns:
        hasher.update(column if isinstance(column, bytes) else str(column).encode())
    return str(hasher.hexdigest()[:32])


def _set_journal(connection: sqlite3.Connection, mode: str) -> None:
    """Switch to write-ahead logging or from it, as patiently as every other statement waits.

    SQLite does not call its busy handler where two connections change the mode of a new
    database at once: one of them is told at once that it is locked.
    """
    until = time.monotonic() + WAIT
    while True:
        try:
            connection.execute(f"pragma journal_mode = {mode}")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


def check_format(connection: sqlite3.Connection, folder: Path) -> None:
    """Refuse what a later version wrote, and databases of somebody else.

    Raises:
        StoreError: the reason, and the way out.
        sqlite3.Error: the file cannot be read.
    """
    found = version(connection)
    tables = {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}
    if "meta" in tables:
        named = connection.execute("select value from meta where key = 'format'").fetchone()
        if named is not None and str(named[0]).isdigit():
            found = max(found, int(named[0]))
    if found > FORMAT_VERSION:
        raise StoreError(
            f"The store at {folder} has format {found}; this nbrewind reads formats up to "
            f"{FORMAT_VERSION}. Install a newer nbrewind, or name another store with NBREWIND_STORE."
        )
    if tables and "meta" not in tables:
        raise damaged(folder, f"it holds a table {min(tables)!r} of somebody else")


def version(connection: sqlite3.Connection) -> int:
    """The format's version; 0 while the tables are not made."""
    return int(connection.execute("pragma user_version").fetchone()[0])


def format_of(folder: Path) -> int:
    """The version of the catalog in a folder; 0 where there is none, or none that can be read.

    Where SQLite left nothing beside the file, its header is read and no trace is left.
    """
    path = folder / NAME
    try:
        if not any((folder / name).exists() for name in BESIDE):
            with open(path, "rb") as file:
                header = file.read(64)
            return int.from_bytes(header[60:64], "big") if header.startswith(b"SQLite format 3\0") else 0
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as found:
            return version(found)
    except (OSError, sqlite3.Error):
        return 0


def identity(folder: Path) -> tuple[int, int] | None:
    """Which file the catalog is: device and inode, None where there is none."""
    try:
        info = os.stat(folder / NAME)
    except OSError:
        return None
    return info.st_dev, info.st_ino


def damaged(folder: Path, error: object) -> StoreError:
    """The error of a file that SQLite or we cannot make sense of."""
    return StoreError(
        f"{folder / NAME} is no nbrewind catalog, or it is damaged ({error}). Move the folder away to "
        "begin a new store, or name another one with NBREWIND_STORE."
    )


def absent(folder: Path) -> NoStore:
    """The error of a place without a store."""
    return NoStore(
        f"There is no nbrewind store at {folder}. Run `nbrewind audit NOTEBOOK` first, or name the "
        "store with NBREWIND_STORE."
    )


def unwritable(folder: Path, reason: str) -> StoreError:
    """The error of a place that cannot be written."""
    return StoreError(
        f"The store at {folder} cannot be written ({reason}). Name a place that can be "
        "written with NBREWIND_STORE."
    )
