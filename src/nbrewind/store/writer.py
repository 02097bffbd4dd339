"""The one background writer: an object is durable before any row queued after it is committed.

A first-in first-out queue, bounded in bytes.  What cannot be written is remembered with its
cause; rows that would name what is missing are dropped, so nothing half-written is ever a hit.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from nbrewind.errors import StoreError
from nbrewind.model import Digest
from nbrewind.store import catalog, compact
from nbrewind.store.loose import sync_folder
from nbrewind.store.objects import PACK_FOLDER, Objects
from nbrewind.store.pack import Appender, Location
from nbrewind.store.points import reach


def _memory() -> int:
    """Bytes that this process may use: those of the machine, or what its container or batch job was given."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    with contextlib.suppress(OSError, ValueError):  # no control groups, or "max"
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return min(limits)


MOST_BYTES = min(2 << 30, _memory() // 8)
"""Bytes that may wait, so that a cell need not wait for the disk; whoever queues more waits."""

BATCH = 64 << 20
"""Bytes of objects that make one segment and one transaction."""

LINGER = 0.05
"""Seconds that objects wait for the row that will name them, to share its syncs.

Rows do not wait: a cell that has run is to be durable before the next one fills the disk.
"""

UNASKED = 64 << 10
"""Bytes up to which whoever queues an object has not asked whether the store has it: the writer does."""

MOST_PACK = 1 << 30
"""Bytes from which a pack is sealed and another begun."""


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
    """Owns the writing connection, the pack that grows and their thread; started by the first item.

    What is queued together is written together: one segment of the pack and a sync, then one
    transaction and its sync.
    """

    def __init__(
        self,
        folder: Path,
        objects: Objects,
        done: Callable[[Item], None],
        inner: Callable[[Iterable[Digest]], set[Digest]],
        rely: Callable[[Iterable[str]], object],
    ) -> None:
        self.folder = folder
        self.objects = objects
        self.failures: list[str] = []
        self.lost: dict[str, str] = {}
        """Why by name (``record ID``), for everything that was given up and not written since."""
        self._done = done
        self._inner = inner
        """Gives the objects that images need besides themselves."""
        self._rely = rely
        """Takes leases of packs."""
        self._queue: deque[Item] = deque()
        self._bytes = 0
        self._busy = False
        self._closed = False
        self._urgent = 0
        """How many wait for everything to be durable."""
        self._pack: Appender | None = None
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
            if len(self._queue) == 1 or item.closes or self._bytes >= BATCH:
                self._changed.notify_all()  # else it is awake, or lingers: waking it up costs the cell time

    def drop(self, item: Item, reason: str) -> None:
        """Give an item up that cannot even be queued."""
        if os.getpid() == self._pid:
            self._drop(item, reason)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything queued is written or has failed; False when time ran out."""
        if os.getpid() != self._pid:
            return True
        with self._changed:
            self._urgent += 1
            self._changed.notify_all()
            try:
                return self._changed.wait_for(lambda: not self._queue and not self._busy, timeout)
            finally:
                self._urgent -= 1

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
                    ended, self._pack = self._pack, None
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
        if ended is not None:
            ended.seal()
            reach("pack sealed")

    def _take(self) -> list[Item]:
        """One segment's and transaction's worth: what is queued, and what comes within moments.

        The caller holds the lock.
        """
        until = time.monotonic() + LINGER
        while self._bytes < BATCH and not self._urgent and not self._closed:
            left = until - time.monotonic()
            if left <= 0 or any(item.sql for item in self._queue):
                break
            self._changed.wait(left)
        batch: list[Item] = []
        size = 0
        while self._queue and size < BATCH:
            batch.append(self._queue.popleft())
            size += len(batch[-1].data)
        return batch

    def _write(self, batch: list[Item], connection: sqlite3.Connection | None) -> sqlite3.Connection | None:
        """Objects first; then, in the order of the queue, the rows that name nothing lost."""
        places = self._store_objects([item for item in batch if not item.sql and not item.failed])
        kept: list[Item] = []
        for item in batch:
            if item.failed:
                self._drop(item, item.failed)
            elif not item.sql:
                self.lost.pop(item.digest, None)
                kept.append(item)
            elif reason := self._reason_against(item):
                self._drop(item, reason)
            else:
                kept.append(item)
        return self._commit(kept, places, connection) if kept else connection

    def _store_objects(self, items: list[Item]) -> dict[Digest, Location]:
        """Where those that the store lacked lie durably now; ``failed`` says why one does not."""
        items = [item for item in items if not self._there(item)]
        if not items:
            return {}
        try:
            return self._appended(items)
        except OSError:
            # One after the other: on a disk that is nearly full, small ones may still fit.
            places: dict[Digest, Location] = {}
            for item in items:
                try:
                    places |= self._appended([item])
                except OSError as error:
                    item.failed = error.strerror or str(error)
            return places

    def _there(self, item: Item) -> bool:
        """Whether the store has an object already, where nobody asked before it was queued."""
        try:
            return len(item.data) <= UNASKED and self.objects.holds(item.digest, len(item.data))
        except (StoreError, OSError):
            return False  # writing it tells what is wrong

    def _appended(self, items: list[Item]) -> dict[Digest, Location]:
        """Write a segment and sync it.

        Raises:
            OSError: nothing of it is durable.
        """
        self._check_identity()
        if self._pack is None:
            name = uuid.uuid4().hex
            self._rely([name])  # before the file is there: else it would be somebody's leftover
            reach("pack named")
            self._pack = Appender(self.folder / PACK_FOLDER, name)
            reach("pack made")
            sync_folder(self.folder / PACK_FOLDER)
        try:
            places = self._pack.append([(item.digest, item.data) for item in items])
            reach("segment written")
            self._pack.sync()
            reach("segment synced")
        except OSError:
            # After a failed sync nobody knows what the file holds; rows of earlier segments stand.
            self._seal()
            raise
        if self._pack.size >= MOST_PACK:
            self._seal()
        return {item.digest: place for item, place in zip(items, places, strict=True)}

    def _seal(self) -> None:
        if self._pack is not None:
            self._pack.seal()
            self._pack = None

    def _reason_against(self, item: Item) -> str:
        """Why a row must not be committed: the cause of the first loss that it would name."""
        torn = ""
        if item.closes:
            torn, self._torn = self._torn, ""
        if torn or not self.lost:
            return torn
        wanted = item.needs | self._inner(item.needs) if item.closes else item.needs
        return next((self.lost[name] for name in sorted(wanted) if name in self.lost), "")

    def _commit(
        self, items: list[Item], places: dict[Digest, Location], connection: sqlite3.Connection | None
    ) -> sqlite3.Connection | None:
        """One transaction: where the objects lie, and the rows."""
        try:
            self._check_identity()
            if connection is None:
                connection = catalog.open_for_writing(self.folder)
            with connection:
                connection.execute("begin immediate")
                reach("transaction begun")
                compact.add(connection, places)
                reach("objects added")
                for item in items:
                    if item.sql:
                        connection.execute(item.sql, item.parameters)
                reach("rows added")
            reach("committed")
        except (sqlite3.Error, StoreError, OSError) as error:
            for item in items:
                self._drop(item, str(error))
                if item.closes:
                    self._torn = ""  # nothing after it stands for what was lost before it
            if connection is not None:
                connection.close()
            return None
        for item in items:
            self.lost.pop(item.digest or item.name, None)
            if item.digest in places:
                self.objects.written(item.digest, places[item.digest])
            self._done(item)
        return connection

    def _check_identity(self) -> None:
        if self._identity is None or self._identity != catalog.identity(self.folder):
            raise OSError("the store was deleted or replaced while it was in use")

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
