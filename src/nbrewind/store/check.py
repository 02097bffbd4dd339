"""Checking a store: every object's digest, and the catalog against the objects that it names.

``examine`` only reads.  ``repair`` drops what it found broken and nothing else, so that what
is left is whole; every loss is a ``Problem`` with a name.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from nbrewind.errors import MissingObject, StoreError
from nbrewind.model import Commit, Digest, Record, Run, TaskEntry
from nbrewind.store import catalog, lease
from nbrewind.store.folder import OBJECTS
from nbrewind.store.ledger import decode, delta_needs, needs, versions
from nbrewind.store.objects import Objects
from nbrewind.store.reader import Reader

References = Callable[[bytes], list[Digest]]
"""Gives the objects that an image needs besides itself."""

REPAIRED = 2
"""``records.forgotten`` of a record that repair made no hit: its parts are known to be missing."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is broken."""

    kind: str
    """``catalog``, ``object``, ``record``, ``commit``, ``run`` or ``task``."""
    name: str
    reason: str


@dataclass(slots=True)
class Findings:
    """What a check found."""

    objects: int = 0
    bytes: int = 0
    rows: int = 0
    problems: list[Problem] = field(default_factory=list)

    def of(self, kind: str) -> list[str]:
        """Names of the broken things of a kind."""
        return [problem.name for problem in self.problems if problem.kind == kind]


def examine(
    folder: Path, references: References, tell: Callable[[int, int], None] = lambda done, total: None
) -> Findings:
    """Check everything; ``tell`` hears how many of how many objects are done.

    Raises:
        StoreError: the catalog cannot be read at all.
    """
    reader = Reader(folder, traceless=True)
    try:
        return _Check(reader, Objects(folder / OBJECTS), references).run(tell)
    finally:
        reader.close()


def repair(folder: Path, references: References, tell: Callable[[int, int], None]) -> Findings:
    """Drop what is broken: damaged objects and unreadable rows go, records without their parts hit no more.

    Raises:
        StoreError: somebody uses the store, it cannot be written, or SQLite finds its file torn.
    """
    with lease.alone(folder):
        findings = examine(folder, references, tell)
        if torn := findings.of("catalog"):
            raise catalog.damaged(folder, torn[0])
        if findings.problems:
            # Rows first: interrupted after them, objects that nobody names are left to the next check.
            _drop_rows(folder, findings)
            objects = Objects(folder / OBJECTS)
            for digest in findings.of("object"):
                try:
                    objects.path(digest).unlink(missing_ok=True)
                except OSError as error:
                    raise catalog.unwritable(folder, error.strerror or str(error)) from error
    return findings


class _Check:
    """One pass over a store."""

    def __init__(self, reader: Reader, objects: Objects, references: References) -> None:
        self.reader = reader
        self.objects = objects
        self.references = references
        self.found = Findings()
        self.sound: set[Digest] = set()
        self.inner: dict[Digest, list[Digest] | None] = {}
        """The objects that an image needs; None for what is no image."""

    def run(self, tell: Callable[[int, int], None]) -> Findings:
        verdict = self.reader.rows("pragma integrity_check(1)")[0][0]
        if verdict != "ok":
            self._add("catalog", str(verdict), "SQLite finds its file torn")
            return self.found
        # Rows before objects: what another process commits meanwhile is not taken for missing.
        tables = {
            table: self.reader.rows(sql)
            for table, sql in (
                ("record", f"select id, body from records where forgotten <> {REPAIRED} order by seq"),
                ("dropped", f"select id, body from records where forgotten = {REPAIRED} order by seq"),
                ("commit", "select id, body from commits order by seq"),
                ("run", "select id, body from runs order by seq"),
                ("task", "select seq, body from tasks order by seq"),
            )
        }
        self.found.rows = sum(len(rows) for rows in tables.values())
        self._objects(tell)
        kept = self._records(tables["record"]) | {str(name) for name, _ in tables["dropped"]}
        self._commits(tables["commit"], kept)
        for name, body in tables["run"]:
            if decode(body, Run) is None:
                self._add("run", str(name), "its row cannot be read")
        self._tasks(tables["task"])
        return self.found

    def _objects(self, tell: Callable[[int, int], None]) -> None:
        digests = list(self.objects.digests())
        for done, digest in enumerate(digests):
            tell(done, len(digests))
            self.found.objects += 1
            with contextlib.suppress(OSError):
                self.found.bytes += self.objects.path(digest).stat().st_size
            if self.objects.verify(digest):
                self.sound.add(digest)
            elif self.objects.path(digest).exists():
                self._add("object", digest, "its bytes have another digest, or cannot be read")
        tell(len(digests), len(digests))

    def _records(self, rows: Iterable[tuple[object, bytes]]) -> set[str]:
        """Checks records; the ids of those whose row can be read."""
        readable = set()
        for name, body in rows:
            record = decode(body, Record)
            if record is None or record.id != name:
                self._add("record", str(name), "its row cannot be read")
                continue
            readable.add(record.id)
            images = [version.image for version in versions(record) if version.image]
            if reason := self._reason(needs(record), images):
                first = record.source.strip().partition("\n")[0]
                self._add("record", record.id, f"{reason}; the cell was {first!r}")
        return readable

    def _commits(self, rows: Iterable[tuple[object, bytes]], records: set[str]) -> None:
        """A commit needs its record's row and all commits before it: they are in order of writing."""
        whole = {""}
        for name, body in rows:
            commit = decode(body, Commit)
            if commit is None or commit.id != name:
                self._add("commit", str(name), "its row cannot be read")
            elif commit.record not in records:
                self._add("commit", commit.id, f"its record {commit.record} is not there")
            elif commit.parent not in whole:
                self._add("commit", commit.id, f"the commit {commit.parent} before it is not whole")
            elif reason := self._between(commit):
                self._add("commit", commit.id, reason)
            else:
                whole.add(commit.id)

    def _between(self, commit: Commit) -> str:
        for _, delta in commit.between:
            images = [version.image for version in delta.names.values() if version.image]
            if reason := self._reason(delta_needs(delta), images):
                return f"{reason}, made before its cell"
        return ""

    def _tasks(self, rows: Iterable[tuple[object, bytes]]) -> None:
        for name, body in rows:
            task = decode(body, TaskEntry)
            if task is None:
                self._add("task", str(name), "its row cannot be read")
                continue
            wanted = {task.result, *(state.digest for state in task.outputs.values())} - {""}
            if reason := self._reason(wanted, ()):
                self._add("task", str(name), f"{reason}; the task was {task.name!r}")

    def _reason(self, wanted: Iterable[Digest], images: Iterable[Digest]) -> str:
        """What is missing of some objects and of those that images among them need."""
        for digest in sorted(wanted):
            if not self._whole(digest):
                return f"the object {digest} is missing or damaged"
        for image in images:
            if image not in self.inner:
                try:
                    self.inner[image] = self.references(self.objects.read(image))
                except MissingObject:
                    self.inner[image] = None
            inner = self.inner[image]
            if inner is None:
                return f"the object {image} is no image"
            for digest in inner:
                if not self._whole(digest):
                    return f"the object {digest}, part of {image}, is missing or damaged"
        return ""

    def _whole(self, digest: Digest) -> bool:
        return digest in self.sound or self.objects.verify(digest)  # perhaps written since the listing

    def _add(self, kind: str, name: str, reason: str) -> None:
        self.found.problems.append(Problem(kind, name, reason))


def _drop_rows(folder: Path, findings: Findings) -> None:
    unreadable = {
        p.name for p in findings.problems if p.kind == "record" and p.reason == "its row cannot be read"
    }
    statements = [
        ("delete from records where id = ?", sorted(unreadable)),
        (
            f"update records set forgotten = {REPAIRED} where id = ?",
            [name for name in findings.of("record") if name not in unreadable],
        ),
        ("delete from commits where id = ?", findings.of("commit")),
        ("delete from runs where id = ?", findings.of("run")),
        ("delete from tasks where seq = ?", findings.of("task")),
    ]
    connection = catalog.open_for_writing(folder)
    try:
        with connection:
            for sql, names in statements:
                connection.executemany(sql, [(name,) for name in names])
    except sqlite3.Error as error:
        raise StoreError(f"The store at {folder} cannot be repaired ({error}); it is as it was.") from error
    finally:
        connection.close()
