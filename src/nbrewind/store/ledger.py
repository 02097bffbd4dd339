"""The rows: records, history and tasks, as their writer sees them and as they are on disk.

What was added is read back at once: it is looked up among the rows that wait for the writer
and in the catalog, and a row that could not be written disappears again.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from nbrewind.errors import MissingObject, StoreError
from nbrewind.model import Commit, Delta, Digest, Record, Run, TaskEntry, Version
from nbrewind.store.catalog import SEALED, SEALED_RECORD
from nbrewind.store.pack import Location
from nbrewind.store.reader import Reader
from nbrewind.store.writer import Item

_INSERT_RECORD = "insert or ignore into records (id, source_key, body, seal) values (?, ?, ?, seal(?, 0))"
_INSERT_COMMIT = (
    "insert or ignore into commits (id, run, parent, record, body, seal) values (?, ?, ?, ?, ?, seal(?))"
)
_REPLACE_RUN = (
    "insert into runs (id, notebook, body, seal) values (?, ?, ?, seal(?)) on conflict (id) do update "
    "set notebook = excluded.notebook, body = excluded.body, seal = excluded.seal"
)
_INSERT_TASK = "insert into tasks (key, body, seal) values (?, ?, seal(?))"

T = TypeVar("T", Record, Commit, Run, TaskEntry)


class Ledger:
    """Rows of one store; ``Store`` adds the objects that they name."""

    def __init__(self, folder: Path, *, traceless: bool) -> None:
        self._lock = threading.RLock()
        self._reader = Reader(folder, traceless=traceless)
        self._version: object = None
        self._cache: dict[tuple[str, str], list[Any]] = {}
        self._queued: dict[str, dict[str, Any]] = {"record": {}, "commit": {}, "run": {}}
        self._tasks_added = 0
        self._waiting_tasks: dict[Digest, dict[str, TaskEntry]] = {}
        """Queued entries by key: a look-up must not go through all that wait."""
        self.tolerant = False
        """Whether a catalog that cannot be read any more counts as empty; set by the session,
        since a notebook that runs must not fail because of its store."""
        self.troubles: list[str] = []
        """Why it could not be read, where that is tolerated."""

    def _write(self, item: Item) -> None:
        """Queue an item for the writer."""
        raise NotImplementedError

    def _rely(self, names: Iterable[str]) -> bool:
        """Keep records and runs from being collected; True if what was read of them may be old."""
        raise NotImplementedError

    # -- records -----------------------------------------------------------------------------

    def add_record(self, record: Record) -> None:
        """Append a record; durable once its objects are."""
        with self._lock:
            self._queued["record"][record.id] = record
        body = encode(record)
        self._write(
            Item(
                f"record {record.id}",
                sql=_INSERT_RECORD,
                parameters=(record.id, record.source_key, body, body),
                needs=needs(record),
                closes=True,
            )
        )

    def records(self, source_key: Digest) -> list[Record]:
        """Records of a source, newest first."""
        chosen = f"source_key = ? and forgotten = 0 and {SEALED_RECORD}"
        sql = f"select body from records where {chosen} order by seq"
        with self._lock:
            waiting = [r for r in self._queued["record"].values() if r.source_key == source_key]
            return _newest_first(self._all("records", source_key, sql, Record), waiting)

    def record(self, record_id: str) -> Record:
        """One record.

        Raises:
            MissingObject: there is none of this id.
        """
        with self._lock:
            waiting = self._queued["record"].get(record_id)
            if waiting is not None:
                return waiting  # type: ignore[no-any-return]
            sql = f"select body from records where id = ? and {SEALED_RECORD}"
            found = self._all("record", record_id, sql, Record)
        if not found:
            raise MissingObject(f"The store has no record {record_id}.")
        return found[0]

    # -- history -----------------------------------------------------------------------------

    def start_run(self, run: Run) -> None:
        """Add a run."""
        self.update_run(run)

    def update_run(self, run: Run) -> None:
        """Replace a run's row."""
        with self._lock:
            self._queued["run"][run.id] = run
        self._rely([run.id])
        body = encode(run)
        row = (run.id, _text(run.notebook), body, body)
        self._write(Item(f"run {run.id}", sql=_REPLACE_RUN, parameters=row))

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
        with self._lock:
            newer = {r.id: r for r in self._queued["run"].values() if notebook in (None, r.notebook)}
            if notebook is None:
                sql = f"select body from runs where ? = '' and {SEALED} order by seq"
                found = self._all("runs", "", sql, Run)
            else:
                sql = f"select body from runs where notebook = ? and {SEALED} order by seq"
                found = self._all("runs of", _text(notebook), sql, Run)
        merged = [newer.pop(run.id, run) for run in found] + list(newer.values())
        return merged[::-1]

    def add_commit(self, commit: Commit) -> None:
        """Append a commit; durable once its record and its parent are."""
        with self._lock:
            self._queued["commit"][commit.id] = commit
        body = encode(commit)
        wanted = {f"record {commit.record}"} | ({f"commit {commit.parent}"} if commit.parent else set())
        self._write(
            Item(
                f"commit {commit.id}",
                sql=_INSERT_COMMIT,
                parameters=(commit.id, commit.run, commit.parent, commit.record, body, body),
                needs=frozenset(wanted),
            )
        )

    def commit(self, commit_id: str) -> Commit:
        """One commit.

        Raises:
            MissingObject: there is none of this id.
        """
        with self._lock:
            waiting = self._queued["commit"].get(commit_id)
            if waiting is not None:
                return waiting  # type: ignore[no-any-return]
            sql = f"select body from commits where id = ? and {SEALED}"
            found = self._all("commit", commit_id, sql, Commit)
        if not found:
            raise MissingObject(f"The store has no commit {commit_id}.")
        return found[0]

    def commits(self, run_id: str) -> list[Commit]:
        """Commits of a run, oldest first."""
        sql = f"select body from commits where run = ? and {SEALED} order by seq"
        with self._lock:
            waiting = [c for c in self._queued["commit"].values() if c.run == run_id]
            return _newest_first(self._all("commits", run_id, sql, Commit), waiting)[::-1]

    def path_to(self, commit_id: str) -> list[Commit]:
        """Commits from the root to one, empty if any of them is unknown: half a path is another state."""
        path = self._ancestors(commit_id)
        return self._ancestors(commit_id) if self._rely({commit.run for commit in path}) else path

    def _ancestors(self, commit_id: str) -> list[Commit]:
        path: list[Commit] = []
        while commit_id:
            try:
                commit = self.commit(commit_id)
            except MissingObject:
                return []
            path.append(commit)
            commit_id = commit.parent
        return path[::-1]

    def branch(self, run: Run) -> list[Commit]:
        """The commits that lead to a run's head, or to the last one of it that is there.

        The head of a run on a disk that filled up may never have been written.
        """
        path = self.path_to(run.head)
        if not path and run.head and (kept := self.commits(run.id)):
            path = self.path_to(kept[-1].id)
        return path

    def is_durable(self, commit_id: str) -> bool:
        """Whether a commit and all before it are on disk."""
        with self._lock:
            if commit_id in self._queued["commit"]:
                return False
            return bool(self._rows("select 1 from commits where id = ?", commit_id))

    # -- tasks -------------------------------------------------------------------------------

    def add_task(self, entry: TaskEntry) -> None:
        """Append a task's entry; durable once its result is."""
        with self._lock:
            self._tasks_added += 1
            number = f"{entry.key} {self._tasks_added}"
            self._waiting_tasks.setdefault(entry.key, {})[number] = entry
        body = encode(entry)
        wanted = {entry.result, *(state.digest for state in entry.outputs.values())} - {""}
        self._write(
            Item(
                f"task {number}",
                sql=_INSERT_TASK,
                parameters=(entry.key, body, body),
                needs=frozenset(wanted),
            )
        )

    def tasks(self, key: Digest) -> list[TaskEntry]:
        """Entries of a task's key, oldest first."""
        with self._lock:
            waiting = list(self._waiting_tasks.get(key, {}).values())
            sql = f"select body from tasks where key = ? and {SEALED} order by seq"
            found = self._all("tasks", key, sql, TaskEntry)
        # A row may be committed and not yet be reported as written.
        return [*found, *(entry for entry in waiting if entry not in found)]

    def recent_tasks(self, limit: int) -> list[TaskEntry]:
        """The newest entries on disk, newest first; those that cannot be read are left out."""
        with self._lock:
            sql = f"select body from tasks where {SEALED} order by seq desc limit ?"
            found = self._reader.rows(sql, (limit,))
        return [entry for (body,) in found if (entry := decode(body, TaskEntry)) is not None]

    def task_keys(self, prefix: str) -> list[Digest]:
        """Keys that begin with a prefix, the first few."""
        with self._lock:
            found = self._reader.rows(
                "select distinct key from tasks where key >= ? and key < ? limit 10", (prefix, prefix + "~")
            )
        return [key for (key,) in found]

    def task_log(self) -> list[TaskEntry]:
        """All entries that are on disk, oldest first; those that cannot be read are left out."""
        with self._lock:
            found = self._rows(f"select body from tasks where ? = '' and {SEALED} order by seq", "")
        return [entry for (body,) in found if (entry := decode(body, TaskEntry)) is not None]

    # -- objects -----------------------------------------------------------------------------

    def locations(self, digest: Digest) -> list[Location]:
        """Where the catalog says that an object lies; nowhere if it cannot be read."""
        sql = (
            "select packs.name, offset, length from objects join packs on packs.id = objects.pack "
            "where digest = ? order by packs.id"
        )
        with self._lock:
            try:
                return [Location(*row) for row in self._reader.rows(sql, (digest,))]
            except StoreError as error:
                self._trouble(error)
                return []

    # -- inside ------------------------------------------------------------------------------

    def _settled(self, item: Item) -> None:
        """The writer is through with a row: reads come from disk from now on."""
        kind, _, key = item.name.partition(" ")
        with self._lock:
            self._version = None
            if kind == "task":
                task = key.partition(" ")[0]
                waiting = self._waiting_tasks.get(task, {})
                waiting.pop(key, None)
                if not waiting:
                    self._waiting_tasks.pop(task, None)
                return
            queued = self._queued.get(kind, {})
            # A run's row is replaced all the time; a newer one may wait behind this one.
            if key in queued and (kind != "run" or encode(queued[key]) == item.parameters[-1]):
                del queued[key]

    def _all(self, kind: str, key: str, sql: str, of: type[T]) -> list[T]:
        """Decoded rows, read again only when the catalog changed.  The caller holds the lock."""
        try:
            version = self._reader.version()
        except StoreError as error:
            self._tolerate(error)
            return []
        if version != self._version:
            self._version = version
            self._cache.clear()
        known = self._cache.get((kind, key))
        if known is None:
            bodies = [row[0] for row in self._rows(sql, key)]
            known = [found for found in (decode(body, of) for body in bodies) if found is not None]
            self._cache[(kind, key)] = known
        return known

    def _rows(self, sql: str, key: str) -> list[tuple[Any, ...]]:
        try:
            return self._reader.rows(sql, (key,))
        except StoreError as error:
            self._tolerate(error)
            return []

    def _tolerate(self, error: StoreError) -> None:
        """Take note of a failed query; raises it where nobody tolerates that."""
        if not self.tolerant:
            raise error
        self._trouble(error)

    def _trouble(self, error: StoreError) -> None:
        if str(error) not in self.troubles:
            self.troubles.append(str(error))


def versions(record: Record) -> list[Version]:
    """All versions that a record writes."""
    found = list(record.delta.names.values())
    return [*found, record.delta.result] if record.delta.result is not None else found


def needs(record: Record) -> frozenset[Digest]:
    """The objects that a record names."""
    found = set(delta_needs(record.delta))
    found.add(record.outputs)
    return frozenset(found - {""})


def delta_needs(delta: Delta) -> frozenset[Digest]:
    """The objects that a delta names."""
    found = {version.image for version in delta.names.values()}
    if delta.result is not None:
        found.add(delta.result.image)
    found |= {value.image for value in delta.ambient.values()}
    found |= {state.digest for state in delta.files.values() if state.kind == "file"}
    found.update(delta.sources.values())
    return frozenset(found - {""})


def encode(value: Record | Commit | Run | TaskEntry) -> bytes:
    """A row's body.  Names of files that are not UTF-8 hold lone surrogates, which are escaped."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value)).encode("ascii")


_DECODERS: dict[Any, Any] = {kind: msgspec.json.Decoder(kind) for kind in (Record, Commit, Run, TaskEntry)}


def decode(body: bytes, of: type[T]) -> T | None:
    """A row's value; None if it cannot be read, and what it recorded runs again."""
    try:
        found: T = _DECODERS[of].decode(body)
        return found
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass  # perhaps escaped surrogates, which only the standard library reads
    try:
        return msgspec.convert(json.loads(body), of)
    except (ValueError, msgspec.ValidationError):
        return None


def _text(label: str) -> str:
    """A label that SQLite takes, whatever bytes the path of a notebook has."""
    return label.encode("utf-8", "backslashreplace").decode()


def _newest_first(found: Iterable[Any], waiting: list[Any]) -> list[Any]:
    known = list(found)
    ids = {one.id for one in known}
    return [*known, *(one for one in waiting if one.id not in ids)][::-1]
