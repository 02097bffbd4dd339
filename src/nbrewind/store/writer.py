"""The one background writer: an object is durable before any row queued after it is committed.

A first-in first-out queue, bounded in bytes.  What cannot be written is remembered and
told; rows that would name what is missing are dropped, so nothing half-written is ever a hit.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from nbrewind.errors import StoreError
from nbrewind.model import Digest
from nbrewind.store.catalog import open_for_writing
from nbrewind.store.objects import Objects

MOST_BYTES = 512 << 20
"""Bytes that may wait; whoever queues more waits."""


@dataclass(slots=True)
class Item:
    """One thing to write: an object, or a row of the catalog."""

    name: str
    """What it is called in ``failures``."""
    digest: Digest = ""
    data: bytes = b""
    sql: str = ""
    parameters: tuple[object, ...] = ()
    needs: frozenset[str] = field(default_factory=frozenset)
    """Digests and row names without which the row must not be committed."""
    closes: bool = False
    """Whether the row stands for all objects queued since the last such row."""


class Writer:
    """Owns the writing connection and its thread; started by the first item."""

    def __init__(self, folder: Path, objects: Objects, done: Callable[[Item], None]) -> None:
        self.folder = folder
        self.objects = objects
        self.failures: list[str] = []
        self._done = done
        self._queue: deque[Item] = deque()
        self._bytes = 0
        self._busy = False
        self._closed = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()
        self._broken: set[str] = set()
        self._torn = False
        """Whether an object failed since the last row that stands for a group."""

    def add(self, item: Item) -> None:
        """Queue an item; waits while too much is queued."""
        if os.getpid() != self._pid:
            return  # a forked child must not write behind its parent's back
        with self._changed:
            while self._bytes > MOST_BYTES and not self._closed:
                self._changed.wait()
            self._queue.append(item)
            self._bytes += len(item.data)
            self._changed.notify_all()
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._work, name="nbrewind-writer", daemon=True)
            self._thread.start()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything queued is written or has failed; False when time ran out."""
        if os.getpid() != self._pid:
            return True
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue and not self._busy, timeout)

    def close(self) -> None:
        """Write what is queued and end the thread."""
        self.flush()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None and os.getpid() == self._pid:
            self._thread.join(timeout=30)

    def _work(self) -> None:
        connection: sqlite3.Connection | None = None
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._queue or self._closed)
                if not self._queue:
                    break
                batch = self._take()
                self._busy = True
            try:
                connection = self._write(batch, connection)
            except Exception as error:  # noqa: BLE001 - the thread must live; the reason is told
                self._fail(batch, error)
            with self._changed:
                self._bytes -= sum(len(item.data) for item in batch)
                self._changed.notify_all()
        if connection is not None:
            connection.close()

    def _take(self) -> list[Item]:
        """Objects up to and including the next run of rows: one transaction's worth."""
        batch: list[Item] = []
        while self._queue:
            if batch and batch[-1].sql and not self._queue[0].sql:
                break
            batch.append(self._queue.popleft())
        return batch

    def _write(self, batch: list[Item], connection: sqlite3.Connection | None) -> sqlite3.Connection | None:
        rows: list[Item] = []
        for item in batch:
            if not item.sql:
                self._write_object(item)
            elif item.closes and self._torn:
                self._torn = False
                self._drop(item, "an object that it needs could not be written")
            elif item.needs & self._broken:
                self._drop(item, "something that it needs could not be written")
            else:
                rows.append(item)
        if rows:
            connection = self._commit(rows, connection)
        return connection

    def _write_object(self, item: Item) -> None:
        try:
            self.objects.write(item.digest, item.data)
            self._broken.discard(item.digest)
        except OSError as error:
            self._torn = True
            self._broken.add(item.digest)
            self.failures.append(f"{item.name} could not be written ({error.strerror or error})")
        self._done(item)

    def _commit(self, rows: list[Item], connection: sqlite3.Connection | None) -> sqlite3.Connection | None:
        try:
            if connection is None:
                connection = open_for_writing(self.folder)
            with connection:
                for item in rows:
                    connection.execute(item.sql, item.parameters)
        except (sqlite3.Error, StoreError) as error:
            for item in rows:
                self._drop(item, str(error))
            if connection is not None:
                connection.close()
            return None
        for item in rows:
            self._done(item)
        return connection

    def _drop(self, item: Item, reason: str) -> None:
        self._broken.add(item.name)
        self.failures.append(f"{item.name} is not recorded: {reason}")
        self._done(item)

    def _fail(self, batch: list[Item], error: Exception) -> None:
        for item in batch:
            self._drop(item, f"{type(error).__name__}: {error}")
