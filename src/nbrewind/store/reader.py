"""Reading the catalog, also where nothing can be written and without leaving a trace.

A plain read-only connection of SQLite makes ``-wal`` and ``-shm`` files, fails where it
cannot, and a connection to an "immutable" file misses what others write.  So a store that
is only read is opened in one of three ways (docs/format.md, "Reading"):

* *still*: nothing but the catalog itself holds rows.  It is read as immutable, and its
  signature is compared before and after each query; a change means opening it again.
* *shared*: a writer is at work, or was killed.  SQLite's own locks and log are used, with
  the shared memory opened for reading.
* *copied*: a writer was killed and its shared memory is gone, or an earlier format is brought
  to this one.  SQLite recovers a private copy.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nbrewind.errors import StoreError
from nbrewind.model import FORMAT_VERSION
from nbrewind.store import catalog
from nbrewind.store.folder import refuse_foreign

_TRIES = 20
"""Queries that may be torn by other processes one after the other before we give up."""

_LOGS = tuple(name for name in catalog.BESIDE if not name.endswith("-shm"))
"""Files that may hold rows which the catalog itself does not."""

Signature = tuple[tuple[int, ...], ...]


class Reader:
    """One reading connection.  Not thread-safe; its owner holds a lock."""

    def __init__(self, folder: Path, *, traceless: bool) -> None:
        """Open the catalog of ``folder``; ``traceless`` where nothing at all may be written.

        Raises:
            StoreError: there is no catalog, it is damaged, or a later version wrote it.
        """
        self.folder = folder
        self.traceless = traceless
        self._connection: sqlite3.Connection | None = None
        self._signature: Signature | None = None
        self._copy = ""
        self._opened = 0
        self._parents: sqlite3.Connection | None = None
        self.rows("select 1")

    def rows(self, sql: str, parameters: Iterable[object] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query.

        Raises:
            StoreError: the catalog is absent or damaged, or a later version wrote it.
        """
        given = tuple(parameters)
        for _ in range(_TRIES):
            try:
                connection = self._current()
                found = connection.execute(sql, given).fetchall()
            except sqlite3.OperationalError as error:
                if not self._moved():
                    raise StoreError(f"The store at {self.folder} cannot be read ({error}).") from error
            except OSError as error:
                raise StoreError(f"The store at {self.folder} cannot be read ({error}).") from error
            except sqlite3.DatabaseError as error:
                if not self._moved():
                    raise catalog.damaged(self.folder, error) from error
            else:
                if not self._moved():
                    return found
        raise StoreError(f"The store at {self.folder} cannot be read: it changes all the time.")

    def version(self) -> tuple[int, int]:
        """Changes whenever another query may find something else."""
        seen = int(self.rows("pragma data_version")[0][0])
        return self._opened, seen

    def close(self) -> None:
        """Let go of all files; the next query opens them again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._copy:
            shutil.rmtree(self._copy, ignore_errors=True)
            self._copy = ""

    def abandon(self) -> None:
        """In a forked child: forget the parent's connection without touching it.

        SQLite forbids even closing it, so the reference is kept.
        """
        self._parents, self._connection, self._copy = self._connection, None, ""

    def _moved(self) -> bool:
        return self._signature is not None and self._signature != _signature(self.folder)

    def _current(self) -> sqlite3.Connection:
        if self._connection is None or self._moved():
            self.close()
            self._connection = self._open()
            self._opened += 1
        return self._connection

    def _open(self) -> sqlite3.Connection:
        path = self.folder / catalog.NAME
        self._signature = None
        if not path.is_file():
            if self.folder.is_dir():
                refuse_foreign(self.folder)
            raise catalog.absent(self.folder)
        address = path.as_uri()
        if not self.traceless:
            # Not "ro": the last one to close takes SQLite's log into the catalog and deletes it.
            found = self._checked(f"{address}?mode=rw")
            found.execute("pragma query_only = on")
            return found
        self._signature = _signature(self.folder)
        if not any(_size(self.folder / name) for name in _LOGS):
            return self._checked(f"{address}?mode=ro&immutable=1")
        try:
            found = self._checked(f"{address}?mode=ro&readonly_shm=1")
        except sqlite3.OperationalError:
            return self._checked((self._copied() / catalog.NAME).as_uri())
        if not self._copy:
            self._signature = None  # SQLite sees for itself what others write
        return found

    def _copied(self) -> Path:
        self._copy = tempfile.mkdtemp(prefix="nbrewind-")
        target = Path(self._copy)
        for name in (catalog.NAME, *_LOGS):
            if (self.folder / name).is_file():
                shutil.copyfile(self.folder / name, target / name)
        return target

    def _migrated(self) -> sqlite3.Connection:
        """A private copy of an earlier format's catalog, brought to this one."""
        if not self._copy:
            self._copied()
        connection = sqlite3.connect(Path(self._copy) / catalog.NAME, check_same_thread=False)
        catalog.add_functions(connection)
        catalog.migrate(connection)
        connection.commit()
        return connection

    def _checked(self, address: str) -> sqlite3.Connection:
        connection = sqlite3.connect(address, uri=True, check_same_thread=False, timeout=catalog.WAIT)
        try:
            catalog.add_functions(connection)
            catalog.check_format(connection, self.folder)
            found = catalog.version(connection)
            if found == 0:  # a process was killed while it made the file
                raise catalog.absent(self.folder)
            if found < FORMAT_VERSION:
                connection.close()
                connection = self._migrated()
        except BaseException:  # an interrupt too: nobody else knows of the connection
            connection.close()
            raise
        return connection


def _signature(folder: Path) -> Signature:
    """Without the inode's change time: SQLite, run by root, sets owners again when it opens files."""
    found: list[tuple[int, ...]] = []
    for name in (catalog.NAME, *_LOGS):
        try:
            info = os.stat(folder / name)
        except OSError:
            found.append((0,))
        else:
            found.append((info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns))
    return tuple(found)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
