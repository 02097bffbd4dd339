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

from nbrewind.errors import NoStore, StoreError
from nbrewind.model import FORMAT_VERSION

NAME = "catalog.sqlite"
BESIDE = tuple(f"{NAME}-{suffix}" for suffix in ("wal", "shm", "journal"))
"""What SQLite keeps next to the file while it is in use, or after a crash."""

WAIT = 60.0
"""Seconds that a writer waits for another process's transaction."""

_SCHEMA = f"""
create table meta (key text primary key, value text not null);
insert into meta values ('format', '{FORMAT_VERSION}');
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
pragma user_version = {FORMAT_VERSION};
"""


def open_for_writing(folder: Path) -> sqlite3.Connection:
    """A connection of the writer's thread; makes the tables of a new store.

    Raises:
        StoreError: it cannot be written, is damaged, or a later version wrote it.
    """
    path = folder / NAME
    connection: sqlite3.Connection | None = None
    try:
        with contextlib.suppress(FileExistsError):  # the files beside it get the same permissions
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        connection = sqlite3.connect(path, check_same_thread=False, timeout=WAIT)
        check_format(connection, folder)
        _write_ahead(connection)
        connection.execute("pragma synchronous = full")
        connection.execute("begin immediate")
        if version(connection) == 0:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
        connection.execute("update meta set value = value where false")  # fails if it cannot be written
        connection.commit()
    except BaseException as error:
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


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead logging, as patiently as every other statement waits.

    SQLite does not call its busy handler where two connections change the mode of a new
    database at once: one of them is told at once that it is locked.
    """
    until = time.monotonic() + WAIT
    while True:
        try:
            connection.execute("pragma journal_mode = wal")
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
