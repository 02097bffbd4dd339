"""The store: objects, catalog and writer behind one door (docs/format.md).

Everything put or added is readable at once in this process and durable a little later;
``is_durable`` and ``flush`` tell when.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from nbrewind.errors import MissingObject, StoreError
from nbrewind.model import Commit, Digest, Record, Run, TaskEntry, Version
from nbrewind.store import catalog
from nbrewind.store.objects import Objects, digest_file, digest_of
from nbrewind.store.writer import Item, Writer

T = TypeVar("T", Record, Commit, Run, TaskEntry)

YOUNG = 2_000_000_000
"""Nanoseconds: the digest of a file changed more recently is not trusted later (R6)."""
OWN_ENTRIES = frozenset(
    {
        ".gitignore",
        "objects",
        catalog.NAME,
        f"{catalog.NAME}-wal",
        f"{catalog.NAME}-shm",
        f"{catalog.NAME}-journal",
    }
)


class Store:
    """One store folder.  Thread-safe; any number of processes may have it open."""

    def __init__(self, path: Path, *, readonly: bool) -> None:
        self.path = path
        self.readonly = readonly
        self.references: Callable[[bytes], list[Digest]] | None = None
        """Gives the objects that an image needs besides itself; set by the session."""
        self.objects = Objects(path / "objects")
        self._lock = threading.RLock()
        self._reader: sqlite3.Connection | None = catalog.open_for_reading(path)
        self._version = -1
        self._cache: dict[tuple[str, str], list[Any]] = {}
        self._waiting: dict[Digest, bytes] = {}
        self._queued: dict[str, dict[str, Any]] = {"records": {}, "commits": {}, "runs": {}, "tasks": {}}
        self._complete: set[str] = set()
        self._digests: dict[str, Digest] = {}
        self._writer = Writer(path, self.objects, self._written)
        self._tasks_added = 0
        atexit.register(self.close)

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, create: bool = True, readonly: bool = False) -> Store:
        """Open a store, making it if need be.

        Raises:
            StoreError: it cannot be read or written, is no store, or a later version wrote it.
        """
        folder = Path(path).absolute()
        if readonly or not create:
            if not folder.is_dir():
                raise StoreError(
                    f"There is no nbrewind store at {folder}. Run `nbrewind audit NOTEBOOK` first, or name "
                    "the store with NBREWIND_STORE."
                )
            return cls(folder, readonly=readonly)
        _prepare(folder)
        return cls(folder, readonly=False)

    # -- objects -----------------------------------------------------------------------------

    def put(self, data: bytes | bytearray | memoryview, digest: Digest = "") -> Digest:
        """Keep bytes; their digest at once.  They are copied: nothing live is read later (R11).

        Whoever knows the digest of ``data`` already passes it.
        """
        digest = digest or digest_of(data)
        with self._lock:
            if digest in self._waiting or (self.objects.has(digest) and not self.readonly):
                return digest
            raw = bytes(data)
            self._waiting[digest] = raw
        if not self.readonly:
            self._writer.add(Item(f"object {digest}", digest, raw))
        return digest

    def get(self, digest: Digest) -> bytes:
        """The bytes of an object.

        Raises:
            MissingObject: it is absent or damaged.
        """
        waiting = self._waiting.get(digest)
        return waiting if waiting is not None else self.objects.read(digest)

    def has(self, digest: Digest) -> bool:
        """Whether an object is there, or on its way."""
        return digest in self._waiting or self.objects.has(digest)

    def put_file(self, path: str) -> Digest:
        """Store a file's bytes; durable at once.

        Raises:
            OSError: it cannot be read, or the store cannot be written.
        """
        if self.readonly:
            return self.put(Path(path).read_bytes())
        return self.objects.copy_in(path)

    def copy_out(self, digest: Digest, path: str, mode: int) -> None:
        """Put an object's bytes at a path, atomically.

        Raises:
            MissingObject: the object is absent or damaged.
            OSError: the path cannot be written.
        """
        waiting = self._waiting.get(digest)
        if waiting is None:
            self.objects.copy_out(digest, path, mode)
            return
        temporary = f"{path}.nbrewind-{os.getpid()}"
        Path(temporary).write_bytes(waiting)
        os.chmod(temporary, mode)
        os.replace(temporary, path)

    def digest_file(self, path: str) -> Digest:
        """The digest of a file, from the cache where its signature says that it is the same."""
        try:
            info = os.stat(path)
        except OSError:
            return ""
        signature = f"{info.st_dev}:{info.st_ino}:{info.st_size}:{info.st_mtime_ns}:{info.st_ctime_ns}"
        known = self._digests.get(signature)
        if known is None:
            found = self._query("select digest from digests where signature = ?", signature)
            known = str(found[0]) if found else None
        if known is None:
            known = digest_file(path)
            if known and time.time_ns() - max(info.st_mtime_ns, info.st_ctime_ns) > YOUNG:
                self._digests[signature] = known
                self._row("digests", "insert or replace into digests values (?, ?)", (signature, known))
        return known

    # -- records -----------------------------------------------------------------------------

    def add_record(self, record: Record) -> None:
        """Append a record; durable once its objects are."""
        body = msgspec.json.encode(record)
        with self._lock:
            self._queued["records"][record.id] = record
        sql = "insert or replace into records (id, source_key, body) values (?, ?, ?)"
        self._row(
            f"record {record.id}", sql, (record.id, record.source_key, body), needs(record), closes=True
        )

    def records(self, source_key: Digest) -> list[Record]:
        """Records of a source, newest first."""
        sql = "select body from records where source_key = ? and forgotten = 0 order by seq"
        found: list[Record] = self._all("records", source_key, sql, Record)
        waiting = [r for r in list(self._queued["records"].values()) if r.source_key == source_key]
        return _newest_first(found, waiting)

    def record(self, record_id: str) -> Record:
        """One record.

        Raises:
            MissingObject: there is none of this id.
        """
        waiting = self._queued["records"].get(record_id)
        if waiting is not None:
            return waiting  # type: ignore[no-any-return]
        found = self._all("record", record_id, "select body from records where id = ?", Record)
        if not found:
            raise MissingObject(f"The store has no record {record_id}.")
        return found[0]

    def forget(self, record_id: str) -> None:
        """Make a record a hit no more; the history keeps it."""
        self.flush()
        self._row("forget", "update records set forgotten = 1 where id = ?", (record_id,))
        self.flush()

    def complete(self, record: Record) -> bool:
        """Whether every object that a record needs is there (R15)."""
        if record.id in self._complete:
            return True
        for digest in needs(record):
            if not self.has(digest):
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

    # -- history -----------------------------------------------------------------------------

    def start_run(self, run: Run) -> None:
        """Add a run."""
        self.update_run(run)

    def update_run(self, run: Run) -> None:
        """Replace a run's row."""
        with self._lock:
            self._queued["runs"][run.id] = run
        sql = (
            "insert into runs (id, notebook, body) values (?, ?, ?) "
            "on conflict (id) do update set notebook = excluded.notebook, body = excluded.body"
        )
        self._row(f"run {run.id}", sql, (run.id, run.notebook, msgspec.json.encode(run)))

    def run(self, run_id: str) -> Run:
        """One run.

        Raises:
            MissingObject: there is none of this id.
        """
        found = [run for run in self.runs() if run.id == run_id]
        if not found:
            raise MissingObject(f"The store has no run {run_id}.")
        return found[0]

    def runs(self, notebook: str | None = None) -> list[Run]:
        """Runs, newest first; of one notebook if named."""
        if notebook is None:
            found = self._all("runs", "", "select body from runs where ? = '' order by seq", Run)
        else:
            found = self._all("runs", notebook, "select body from runs where notebook = ? order by seq", Run)
        waiting = [r for r in list(self._queued["runs"].values()) if notebook in (None, r.notebook)]
        newer = {run.id: run for run in waiting}
        merged = [newer.pop(run.id, run) for run in found] + list(newer.values())
        return merged[::-1]

    def add_commit(self, commit: Commit) -> None:
        """Append a commit; durable once its record is."""
        with self._lock:
            self._queued["commits"][commit.id] = commit
        sql = "insert or replace into commits (id, run, parent, record, body) values (?, ?, ?, ?, ?)"
        values = (commit.id, commit.run, commit.parent, commit.record, msgspec.json.encode(commit))
        wanted = frozenset({f"record {commit.record}", f"commit {commit.parent}"})
        self._row(f"commit {commit.id}", sql, values, wanted)

    def commit(self, commit_id: str) -> Commit:
        """One commit.

        Raises:
            MissingObject: there is none of this id.
        """
        waiting = self._queued["commits"].get(commit_id)
        if waiting is not None:
            return waiting  # type: ignore[no-any-return]
        found = self._all("commit", commit_id, "select body from commits where id = ?", Commit)
        if not found:
            raise MissingObject(f"The store has no commit {commit_id}.")
        return found[0]

    def commits(self, run_id: str) -> list[Commit]:
        """Commits of a run, oldest first."""
        found = self._all("commits", run_id, "select body from commits where run = ? order by seq", Commit)
        waiting = [c for c in list(self._queued["commits"].values()) if c.run == run_id]
        return _newest_first(found, waiting)[::-1]

    def path_to(self, commit_id: str) -> list[Commit]:
        """Commits from the root to one, empty if it is unknown."""
        path: list[Commit] = []
        while commit_id:
            try:
                commit = self.commit(commit_id)
            except MissingObject:
                break
            path.append(commit)
            commit_id = commit.parent
        return path[::-1]

    def is_durable(self, commit_id: str) -> bool:
        """Whether a commit and all before it are on disk."""
        if commit_id in self._queued["commits"]:
            return False
        return bool(self._query("select id from commits where id = ?", commit_id))

    # -- tasks -------------------------------------------------------------------------------

    def add_task(self, entry: TaskEntry) -> None:
        """Append a task's entry; durable once its result is."""
        with self._lock:
            self._tasks_added += 1
            name = f"task {entry.key} {self._tasks_added}"
            self._queued["tasks"][name] = entry
        wanted = {entry.result, *(state.digest for state in entry.outputs.values())} - {""}
        sql = "insert into tasks (key, body) values (?, ?)"
        self._row(name, sql, (entry.key, msgspec.json.encode(entry)), frozenset(wanted))

    def tasks(self, key: Digest) -> list[TaskEntry]:
        """Entries of a task's key, oldest first."""
        with self._lock:
            waiting = [entry for entry in self._queued["tasks"].values() if entry.key == key]
            found = self._all("tasks", key, "select body from tasks where key = ? order by seq", TaskEntry)
        return [*found, *waiting]

    # -- the whole ---------------------------------------------------------------------------

    @property
    def failures(self) -> list[str]:
        """What could not be written, and why."""
        return self._writer.failures

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything is durable or has failed; False when time ran out."""
        return self._writer.flush(timeout)

    def close(self) -> None:
        """Write what is queued and let go of all files; reading opens the catalog again."""
        self._writer.close()
        with self._lock:
            if self._reader is not None:
                self._reader.close()
                self._reader = None
                self._cache.clear()

    def stats(self) -> dict[str, int]:
        """Counts of rows, and of objects with their bytes."""
        self.flush()
        counted = {}
        for table in ("records", "commits", "runs", "tasks"):
            counted[table] = int(self._query(f"select count(*) from {table} where ? = ''", "")[0])
        objects, size = self.objects.sizes()
        return {"objects": objects, "bytes": size, **counted}

    def clear(self) -> None:
        """Delete the history and all objects; files of other people in the folder stay.

        The catalog goes first: what is left of an interrupted deletion is an empty store.

        Raises:
            StoreError: something cannot be deleted.
        """
        self.close()
        try:
            for name in sorted(OWN_ENTRIES - {"objects"}, key=lambda name: name != catalog.NAME):
                (self.path / name).unlink(missing_ok=True)
            if self.objects.root.is_dir():
                shutil.rmtree(self.objects.root)
        except OSError as error:
            raise StoreError(
                f"The store {self.path} cannot be deleted ({error.strerror}): {error.filename}. "
                "Check who owns it and whether a kernel uses it."
            ) from error
        with contextlib.suppress(OSError):  # somebody else's files are in it
            self.path.rmdir()

    # -- inside ------------------------------------------------------------------------------

    def _row(
        self,
        name: str,
        sql: str,
        values: tuple[object, ...],
        wanted: frozenset[str] = frozenset(),
        *,
        closes: bool = False,
    ) -> None:
        if not self.readonly:
            self._writer.add(Item(name, sql=sql, parameters=values, needs=wanted, closes=closes))

    def _written(self, item: Item) -> None:
        """The writer is through with an item: reads come from disk from now on."""
        with self._lock:
            if item.digest:
                self._waiting.pop(item.digest, None)
                return
            kind, _, rest = item.name.partition(" ")
            table = self._queued.get(kind + "s")
            if table is None:
                return
            self._cache.clear()
            key = item.name if kind == "task" else rest
            queued = table.get(key)
            if queued is not None and (kind != "run" or msgspec.json.encode(queued) == item.parameters[-1]):
                del table[key]

    def _connection(self) -> sqlite3.Connection:
        if self._reader is None:
            self._reader, self._version = catalog.open_for_reading(self.path), -1
        return self._reader

    def _query(self, sql: str, parameter: str) -> list[Any]:
        with self._lock:
            return catalog.rows(self._connection(), sql, (parameter,))

    def _all(self, kind: str, key: str, sql: str, of: type[T]) -> list[T]:
        with self._lock:
            reader = self._connection()
            version = reader.execute("pragma data_version").fetchone()[0]
            if version != self._version:
                self._version = version
                self._cache.clear()
            known = self._cache.get((kind, key))
            if known is None:
                known = _decoded(catalog.rows(reader, sql, (key,)), of)
                self._cache[(kind, key)] = known
            return known


def _decoded(bodies: list[bytes], of: type[T]) -> list[T]:
    """Rows as values; one that cannot be read is a miss, and what it recorded runs again."""
    found = []
    for body in bodies:
        with contextlib.suppress(msgspec.DecodeError):
            found.append(msgspec.json.decode(body, type=of))
    return found


def versions(record: Record) -> list[Version]:
    """All versions that a record writes."""
    found = list(record.delta.names.values())
    return [*found, record.delta.result] if record.delta.result is not None else found


def needs(record: Record) -> frozenset[Digest]:
    """The objects that a record names."""
    found = {version.image for version in versions(record)}
    found |= {value.image for value in record.delta.ambient.values()}
    found |= {state.digest for state in record.delta.files.values() if state.kind == "file"}
    found.add(record.outputs)
    return frozenset(found - {""})


def _newest_first(found: list[Any], waiting: list[Any]) -> list[Any]:
    ids = {one.id for one in found}
    return [*found, *(one for one in waiting if one.id not in ids)][::-1]


def _prepare(folder: Path) -> None:
    """Make the folder and its tables, or say why that is impossible."""
    try:
        if folder.exists() and not folder.is_dir():
            raise StoreError(
                f"{folder} is a file, and the store should be a folder there. Move it away, or name "
                "another place with NBREWIND_STORE."
            )
        if folder.is_dir():
            others = sorted(set(os.listdir(folder)) - OWN_ENTRIES)
            if others and not (folder / catalog.NAME).exists():
                raise StoreError(
                    f"{folder} is no nbrewind store: it holds {others[0]!r}. Name another place "
                    "with NBREWIND_STORE."
                )
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "objects").mkdir(mode=0o700, exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
        if not os.access(folder, os.W_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise StoreError(
            f"The store at {folder} cannot be written ({error.strerror or error}). Name a place that can be "
            "written with NBREWIND_STORE."
        ) from error
    catalog.open_for_writing(folder).close()
