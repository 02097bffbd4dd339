"""The one background writer: an object is durable before any row queued after it is committed.

A first-in first-out queue, bounded in bytes.  What cannot be written is remembered with its
cause; rows that would name what is missing are dropped, so nothing half-written is ever a hit.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from nbrewind.errors import StoreError
from nbrewind.model import Digest
from nbrewind.store import catalog
from nbrewind.store.objects import Objects

MOST_BYTES = 512 << 20
"""Bytes that may wait; whoever queues more waits."""


@dataclass(slots=True)
class Item:
    """One thing to write: an object, or a row of the catalog."""

    name: str
    """What it is called in ``failures``; its kind, a space and its key."""
    digest: Digest = ""
    data: bytes = b""
    sql: str = ""
    parameters: tuple[object, ...] = ()
    needs: frozenset[str] = field(default_factory=frozenset)
    """Digests and row names without which the row must not be committed."""
    closes: bool = False
    """Whether the row stands for all objects queued since the last such row."""
    optional: bool = False
    """Whether nobody misses it: a row of a cache."""
    failed: str = ""
    """Why an object could not be had; those who need it are dropped in the queue's order."""


class Writer:
    """Owns the writing connection and its thread; started by the first item."""

    def __init__(
        self,
        folder: Path,
        objects: Objects,
        done: Callable[[Item], None],
        inner: Callable[[Iterable[Digest]], set[Digest]],
    ) -> None:
        self.folder = folder
        self.objects = objects
        self.failures: list[str] = []
        self.lost: dict[str, str] = {}
        """Why by name (``record ID``), for everything that was given up and not written since."""
        self._done = done
        self._inner = inner
        """Gives the objects that images need besides themselves."""
        self._queue: deque[Item] = deque()
        self._bytes = 0
        self._busy = False
        self._closed = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()
        self._identity = catalog.identity(folder)
        self._torn = ""
        """Why an object failed since the last row that stands for a group."""

    def add(self, item: Item) -> None:
        """Queue an item; waits while too much is queued."""
        if os.getpid() != self._pid:
            return  # a forked child must not write behind its parent's back
        with self._changed:
            while self._bytes > MOST_BYTES and self._thread is not None:
                self._changed.wait()
            self._queue.append(item)
            self._bytes += len(item.data)
            if self._thread is None:
                self._start()
            self._changed.notify_all()

    def drop(self, item: Item, reason: str) -> None:
        """Give an item up that cannot even be queued."""
        if os.getpid() == self._pid:
            self._drop(item, reason)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything queued is written or has failed; False when time ran out."""
        if os.getpid() != self._pid:
            return True
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue and not self._busy, timeout)

    def close(self) -> None:
        """Write what is queued and end the thread; what is added later starts another."""
        if os.getpid() != self._pid:
            return
        self.flush()
        with self._changed:
            self._closed = True
            thread = self._thread
            self._changed.notify_all()
        if thread is not None:
            thread.join(timeout=30)

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name="nbrewind-writer", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the interpreter is ending
            self._fail([self._queue.popleft() for _ in range(len(self._queue))], error)
            self._bytes = 0
        else:
            self._thread = thread

    def _work(self) -> None:
        connection: sqlite3.Connection | None = None
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._queue or self._closed)
                if not self._queue:
                    # Inside the lock: whoever adds from now on sees that a new thread is needed.
                    self._thread = None
                    self._changed.notify_all()
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
            elif reason := self._reason_against(item):
                self._drop(item, reason)
            else:
                rows.append(item)
        return self._commit(rows, connection) if rows else connection

    def _reason_against(self, item: Item) -> str:
        """Why a row must not be committed: the cause of the first loss that it would name."""
        torn = ""
        if item.closes:
            torn, self._torn = self._torn, ""
        if torn or not self.lost:
            return torn
        wanted = item.needs | self._inner(item.needs) if item.closes else item.needs
        return next((self.lost[name] for name in sorted(wanted) if name in self.lost), "")

    def _write_object(self, item: Item) -> None:
        try:
            if not item.failed:
                self.objects.write(item.digest, item.data)
        except OSError as error:
            item.failed = error.strerror or str(error)
        if item.failed:
            self._drop(item, item.failed)
        else:
            self.lost.pop(item.digest, None)
            self._done(item)

    def _commit(self, rows: list[Item], connection: sqlite3.Connection | None) -> sqlite3.Connection | None:
        try:
            if self._identity is None or self._identity != catalog.identity(self.folder):
                raise StoreError("the store was deleted or replaced while it was in use")
            if connection is None:
                connection = catalog.open_for_writing(self.folder)
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
            self.lost.pop(item.name, None)
            self._done(item)
        return connection

    def _drop(self, item: Item, reason: str) -> None:
        if not item.optional:
            self.lost[item.digest or item.name] = reason
            if item.digest:
                self._torn = reason
            what = "could not be written" if item.digest else "is not recorded"
            self.failures.append(f"{item.name} {what}: {reason}")
        self._done(item)

    def _fail(self, batch: list[Item], error: Exception) -> None:
        for item in batch:
            if item.digest and self.objects.has(item.digest):
                self._done(item)
            else:
                self._drop(item, f"{type(error).__name__}: {error}")
