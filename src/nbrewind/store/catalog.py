"""The catalog: an SQLite file whose rows name objects that are already durable.

Tables and columns are specified in docs/format.md.  Connections are opened per use: one
for reading, one inside the writer's thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from nbrewind.errors import StoreError
from nbrewind.model import FORMAT_VERSION

NAME = "catalog.sqlite"

_SCHEMA = f"""
create table if not exists meta (key text primary key, value text not null);
insert or ignore into meta values ('format', '{FORMAT_VERSION}');
create table if not exists records (
    seq integer primary key autoincrement, id text unique not null, source_key text not null,
    forgotten integer not null default 0, body blob not null);
create index if not exists records_key on records (source_key);
create table if not exists commits (
    seq integer primary key autoincrement, id text unique not null, run text not null, parent text not null,
    record text not null, body blob not null);
create index if not exists commits_run on commits (run);
create table if not exists runs (
    seq integer primary key autoincrement, id text unique not null, notebook text not null,
    body blob not null);
create index if not exists runs_notebook on runs (notebook);
create table if not exists tasks (
    seq integer primary key autoincrement, key text not null, body blob not null);
create index if not exists tasks_key on tasks (key);
create table if not exists digests (signature text primary key, digest text not null);
pragma user_version = {FORMAT_VERSION};
"""


def open_for_reading(folder: Path) -> sqlite3.Connection:
    """A connection that only reads, also where nothing can be written.

    Raises:
        StoreError: there is no catalog, it is damaged, or a later version wrote it.
    """
    path = folder / NAME
    if not path.is_file():
        raise StoreError(
            f"There is no nbrewind store at {folder}. Run `nbrewind audit NOTEBOOK` first, or name the "
            "store with NBREWIND_STORE."
        )
    tries = (f"{path.as_uri()}?mode=ro", f"{path.as_uri()}?mode=ro&immutable=1")
    for position, address in enumerate(tries):
        connection = sqlite3.connect(address, uri=True, check_same_thread=False, timeout=30)
        try:
            _check_format(connection, folder)
            return connection
        except sqlite3.OperationalError as error:
            connection.close()
            if position + 1 == len(tries):
                raise StoreError(f"The store at {folder} cannot be read ({error}).") from error
        except sqlite3.DatabaseError as error:
            connection.close()
            raise _damaged(folder, error) from error
        except StoreError:
            connection.close()
            raise
    raise AssertionError("unreachable")


def open_for_writing(folder: Path) -> sqlite3.Connection:
    """A connection of the writer's thread; makes the tables of a new store.

    Raises:
        StoreError: it cannot be written, is damaged, or a later version wrote it.
    """
    try:
        connection = sqlite3.connect(folder / NAME, check_same_thread=False, timeout=60)
        (folder / NAME).chmod(0o600)
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = full")
        version = int(connection.execute("pragma user_version").fetchone()[0])
        if version == 0:
            connection.executescript(_SCHEMA)
            connection.commit()
        else:
            _check_format(connection, folder)
    except sqlite3.OperationalError as error:
        raise StoreError(f"The store at {folder} cannot be written ({error}).") from error
    except sqlite3.DatabaseError as error:
        raise _damaged(folder, error) from error
    return connection


def _check_format(connection: sqlite3.Connection, folder: Path) -> None:
    version = int(connection.execute("pragma user_version").fetchone()[0])
    named = connection.execute("select value from meta where key = 'format'").fetchone()
    found = max(version, int(named[0]) if named is not None and named[0].isdigit() else 0)
    if found > FORMAT_VERSION:
        raise StoreError(
            f"The store at {folder} has format {found}; this nbrewind reads formats up to "
            f"{FORMAT_VERSION}. Install a newer nbrewind, or name another store with NBREWIND_STORE."
        )


def _damaged(folder: Path, error: Exception) -> StoreError:
    return StoreError(
        f"{folder / NAME} is no nbrewind catalog, or it is damaged ({error}). Move the folder away to "
        "begin a new store, or name another one with NBREWIND_STORE."
    )


def rows(connection: sqlite3.Connection, sql: str, parameters: Iterable[object] = ()) -> list[bytes]:
    """The first column of a query's rows."""
    return [row[0] for row in connection.execute(sql, tuple(parameters)).fetchall()]
