"""The store: objects, rows and their writer behind one door (docs/format.md).

Everything put or added is readable at once in this process and durable a little later;
``is_durable`` and ``flush`` tell when.  A store opened with ``readonly`` writes nothing into
its folder: what is put or added there ends with the process.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from nbrewind.errors import MissingObject, StoreError
from nbrewind.model import Digest, Record
from nbrewind.store import catalog, folder
from nbrewind.store.lease import Lease
from nbrewind.store.ledger import Ledger, needs, versions
from nbrewind.store.loose import Loose, digest_file, digest_of, put_bytes
from nbrewind.store.objects import Objects
from nbrewind.store.writer import UNASKED, Item, Writer

YOUNG = 2_000_000_000
"""Nanoseconds: the digest of a file changed more recently is not trusted later (R6)."""

_OPENED: weakref.WeakSet[Store] = weakref.WeakSet()


class Store(Ledger):
    """One store folder.  Thread-safe; any number of processes may have it open."""

    def __init__(self, path: Path, *, readonly: bool, traceless: bool = False) -> None:
        self._lease = Lease(path)
        self._lease.take()
        try:
            super().__init__(path, traceless=readonly or traceless)
        except BaseException:  # an interrupt too: a lease that nobody gives back keeps others from deleting
            self._lease.release()
            raise
        self.path = path
        self.readonly = readonly
        self.references: Callable[[bytes], list[Digest]] | None = None
        """Gives the objects that an image needs besides itself; set by the session."""
        self.objects = Objects(path, self.locations, self._lease.hold)
        self._waiting: dict[Digest, bytes] = {}
        self._complete: set[str] = set()
        self._digests: dict[str, Digest] = {}
        self._writer = Writer(path, self.objects, self._written, self._inner, self._lease.hold)
        self._pid = os.getpid()
        self._doomed: list[Path] = []
        """Folders that end with this store."""
        self._scratch: Loose | None = None
        self._aside: Path | None = None
        _OPENED.add(self)

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, create: bool = True, readonly: bool = False) -> Store:
        """Open a store, making it if need be.

        Raises:
            StoreError: it cannot be read or written, is no store, or a later version wrote it.
        """
        place = Path(path).absolute()
        if not (readonly or create):
            folder.upgrade(place)
        if readonly or not create:
            return cls(place, readonly=readonly, traceless=True)
        folder.prepare(place)
        return cls(place, readonly=False)

    @classmethod
    def temporary(cls) -> Store:
        """A store for a process that has no place for one; it is deleted when it is closed.

        Raises:
            StoreError: there is no temporary folder that can be written either.
        """
        try:
            place = Path(tempfile.mkdtemp(prefix="nbrewind-"))
        except OSError as error:
            raise catalog.unwritable(Path(tempfile.gettempdir()), error.strerror or str(error)) from error
        store = cls.open(place / "store")
        store._doomed.append(place)
        return store

    # -- objects -----------------------------------------------------------------------------

    def put(self, data: bytes | bytearray | memoryview, digest: Digest = "") -> Digest:
        """Keep bytes; their digest at once.  They are copied: nothing live is read later (R11).

        Whoever knows the digest of ``data`` already passes it.
        """
        digest = digest or digest_of(data)
        with self._lock:
            self._lease.take()  # a store that was closed is used again
            size = memoryview(data).nbytes
            asked = self.objects.knows if size <= UNASKED and not self.readonly else self.objects.holds
            if digest in self._waiting or asked(digest, size):
                return digest
            raw = bytes(data)
            if self.readonly:
                self._keep_here(digest, raw)
                return digest
            self._waiting[digest] = raw
        self._writer.add(Item(f"object {digest}", digest, raw))
        return digest

    def get(self, digest: Digest) -> bytes:
        """The bytes of an object.

        Raises:
            MissingObject: it is absent or damaged.
        """
        waiting = self._waiting.get(digest)
        if waiting is not None:
            return waiting
        if self._scratch is not None and self._scratch.has(digest):
            return self._scratch.read(digest)
        try:
            return self.objects.read(digest)
        except MissingObject:
            self._complete.clear()
            raise

    def join(self, digests: Sequence[Digest]) -> bytearray | memoryview:
        """Objects one after the other as one writable buffer, mapped where that is worth it.

        Raises:
            MissingObject: one is absent or damaged.
        """
        region = self.objects.region(digests)
        return region.buffer() if region else bytearray().join(self.get(digest) for digest in digests)

    def has(self, digest: Digest) -> bool:
        """Whether an object is there, or on its way."""
        return (
            digest in self._waiting
            or self.objects.has(digest)
            or (self._scratch is not None and self._scratch.has(digest))
        )

    def size(self, digest: Digest) -> int | None:
        """The bytes of an object; None where it is absent."""
        waiting = self._waiting.get(digest)
        if waiting is not None:
            return len(waiting)
        for place in (self._scratch, self.objects):
            if place is not None and (found := place.size(digest)) is not None:
                return found
        return None

    def verify(self, digest: Digest) -> bool:
        """Whether an object is there and whole.  Reads it; the first time costs its size."""
        if digest in self._waiting or (self._scratch is not None and self._scratch.has(digest)):
            return True
        sound = self.objects.verify(digest)
        if not sound:
            self._complete.clear()
        return sound

    def put_file(self, path: str) -> Digest:
        """Store a file's bytes; durable at once.

        Raises:
            OSError: it cannot be read, or the store cannot be written.
        """
        if not self.readonly:
            digest = self.objects.put_file(path)
            self._writer.lost.pop(digest, None)
            return digest
        known = digest_file(path)
        if known and self.has(known):
            return known
        return self._here().copy_in(path)

    def keep_file(self, path: str) -> Digest:
        """Store what a running cell is about to change; the cell must not feel a failure.

        If it cannot be stored, the record of that cell is given up: without what the file held,
        a later run could not be brought to the state before it (R6).
        """
        try:
            return self.put_file(path)
        except OSError as error:
            digest = digest_file(path)
            name = f"content of {path}"
            self._write(Item(name, digest or name, failed=error.strerror or str(error)))
            return digest

    def set_aside(self, path: str) -> str:
        """Copy a file that is about to be replaced to where a person finds it; that place.

        For a store that is only read: nothing else would keep the file's content (R6).

        Raises:
            OSError: it cannot be read, or there is no temporary folder.
        """
        if self._aside is None:
            self._aside = Path(tempfile.mkdtemp(prefix="nbrewind-kept-"))
        name = os.path.basename(path)
        target, number = self._aside / name, 1
        while target.exists():
            target, number = self._aside / f"{number}-{name}", number + 1
        shutil.copy2(path, target)
        return str(target)

    def copy_out(self, digest: Digest, path: str, mode: int) -> None:
        """Put an object's bytes at a path, atomically.

        Raises:
            MissingObject: the object is absent or damaged.
            OSError: the path cannot be written.
        """
        waiting = self._waiting.get(digest)
        if waiting is not None:
            put_bytes(waiting, path, mode)
            return
        if self._scratch is not None and self._scratch.has(digest):
            self._scratch.copy_out(digest, path, mode)
            return
        try:
            self.objects.copy_out(digest, path, mode)
        except MissingObject:
            self._complete.clear()
            raise

    def digest_file(self, path: str) -> Digest:
        """The digest of a file, from the cache where its signature says that it is the same."""
        try:
            info = os.stat(path)
        except OSError:
            return ""
        signature = f"{info.st_dev}:{info.st_ino}:{info.st_size}:{info.st_mtime_ns}:{info.st_ctime_ns}"
        known = self._digests.get(signature)
        if known is None:
            with self._lock:
                rows = self._rows("select digest from digests where signature = ?", signature)
            known = str(rows[0][0]) if rows else None
        if known is None:
            known = digest_file(path)
            if known and time.time_ns() - max(info.st_mtime_ns, info.st_ctime_ns) > YOUNG:
                self._digests[signature] = known
                sql = "insert or replace into digests values (?, ?)"
                self._write(Item("digest", sql=sql, parameters=(signature, known), optional=True))
        return known

    # -- records -----------------------------------------------------------------------------

    def complete(self, record: Record) -> bool:
        """Whether every object that a record needs is there (R15)."""
        if record.id in self._complete:
            return True
        if self._lease.hold([record.id]) and not self._still(record.id):
            return False
        if not all(self.has(digest) for digest in needs(record)):
            return False
        for version in versions(record):
            if version.image and self.references is not None:
                try:
                    inner = self.references(self.get(version.image))
                except MissingObject:
                    return False
                if not all(self.has(digest) for digest in inner):
                    return False
        self._complete.add(record.id)
        return True

    def forget(self, record_id: str) -> None:
        """Make a record a hit no more; the history keeps it.

        Raises:
            StoreError: that could not be written; the record is what it was.
        """
        if self.readonly:
            raise StoreError(f"The store at {self.path} is only read: no record of it can be forgotten.")
        self.flush()
        name = f"forgetting {record_id}"
        sql = "update records set forgotten = 1, seal = seal(body, 1) where id = ?"
        self._write(Item(name, sql=sql, parameters=(record_id,)))
        self.flush()
        reason = self._writer.lost.pop(name, "")
        if reason:
            raise StoreError(f"The store at {self.path} cannot be written ({reason}): nothing was forgotten.")

    # -- the whole ---------------------------------------------------------------------------

    @property
    def failures(self) -> list[str]:
        """What could not be written, and why, in the order in which it happened."""
        return list(self._writer.failures)

    @property
    def lost(self) -> dict[str, str]:
        """Why by name (``record ID``, ``commit ID``, ``task KEY N``), for what is not on disk."""
        return dict(self._writer.lost)

    @property
    def settled(self) -> bool:
        """Whether every object that this process has put is on disk: none is on its way or was lost."""
        return not self._waiting and not self._writer.lost

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything is durable or has failed; False when time ran out."""
        return self._writer.flush(timeout)

    def close(self) -> None:
        """Write what is queued and let go of all files; reading opens the catalog again."""
        self._writer.flush()
        with self._lock:
            self._reader.close()
        self._writer.close()  # the last to close cleans up behind SQLite, which a reader cannot
        with self._lock:
            self._cache.clear()
            self._complete.clear()
            self.objects.close()
            self._lease.release()
            if os.getpid() == self._pid:
                self._scratch = None
                while self._doomed:
                    shutil.rmtree(self._doomed.pop(), ignore_errors=True)

    def stats(self) -> dict[str, int]:
        """Counts of rows, and of objects with their bytes."""
        self.flush()
        counted = {}
        with self._lock:
            for table in ("records", "commits", "runs", "tasks"):
                counted[table] = int(self._reader.rows(f"select count(*) from {table}")[0][0])
            packed = self._reader.rows("select count(distinct digest), coalesce(sum(length), 0) from objects")
        loose, size = self.objects.loose.sizes()
        return {"objects": int(packed[0][0]) + loose, "bytes": int(packed[0][1]) + size, **counted}

    def clear(self) -> None:
        """Delete the history and all objects; files of other people in the folder stay.

        Raises:
            StoreError: something cannot be deleted.
        """
        self.close()
        folder.clear(self.path)

    # -- inside ------------------------------------------------------------------------------

    def _still(self, record_id: str) -> bool:
        """Whether a record was not collected as garbage before this process relied on it."""
        with self._lock:
            queued = record_id in self._queued["record"]
            return queued or bool(self._rows("select 1 from records where id = ?", record_id))

    def _write(self, item: Item) -> None:
        if not self.readonly:
            self._lease.take()
            self._writer.add(item)

    def _rely(self, names: Iterable[str]) -> bool:
        return self._lease.hold(names)

    def _written(self, item: Item) -> None:
        if item.digest:
            with self._lock:
                self._waiting.pop(item.digest, None)
        else:
            self._settled(item)

    def _inner(self, digests: Iterable[Digest]) -> set[Digest]:
        """The objects that those of ``digests`` that are images need besides themselves."""
        found: set[Digest] = set()
        if self.references is not None:
            for digest in digests:
                with contextlib.suppress(MissingObject):  # no image, or lost itself
                    found.update(self.references(self.get(digest)))
        return found

    def _here(self) -> Loose:
        """Where objects go that end with this process.

        Raises:
            OSError: no temporary folder can be made.
        """
        if self._scratch is None:
            place = Path(tempfile.mkdtemp(prefix="nbrewind-"))
            self._doomed.append(place)
            self._scratch = Loose(place, durable=False)
        return self._scratch

    def _keep_here(self, digest: Digest, data: bytes) -> None:
        try:
            self._here().write(digest, data)
        except OSError:
            self._waiting[digest] = data  # memory is the last place

    def _forked(self) -> None:
        """In a forked child: locks may be held by threads that do not exist here."""
        self._lock = threading.RLock()
        self._lease.forked()
        self.objects.forked()
        self._reader.abandon()


def _in_child() -> None:
    for store in list(_OPENED):
        store._forked()


def _at_exit() -> None:
    for store in list(_OPENED):
        store.close()


os.register_at_fork(after_in_child=_in_child)
atexit.register(_at_exit)
