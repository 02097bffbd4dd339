"""Collecting garbage: old runs as told, and then whatever no kept row leads to.

Keeping is by mark: any 32 hexadecimal digits in a kept row or image that are the name of a
record or an object keep it.  So a reference that this module knows nothing about is followed
too, and the worst that chance can do is to keep something.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from nbrewind.errors import StoreError
from nbrewind.model import Digest, Record, Run, TaskEntry
from nbrewind.store import catalog, lease
from nbrewind.store.folder import OBJECTS
from nbrewind.store.ledger import decode
from nbrewind.store.objects import Objects
from nbrewind.store.reader import Reader

_NAME = re.compile(rb"(?=([0-9a-f]{32}))")
"""A name at any place, also inside a longer run of digits."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What may go although it is history."""

    before: float = 0.0
    """Runs that ended before this time, and what only they name."""
    keep_bytes: int | None = None
    """Of the runs that are left, the newest whose objects fit."""


@dataclass(slots=True)
class Garbage:
    """What goes, and what stays."""

    runs: list[str] = field(default_factory=list)
    commits: list[str] = field(default_factory=list)
    records: list[str] = field(default_factory=list)
    tasks: list[int] = field(default_factory=list)
    objects: list[Digest] = field(default_factory=list)
    leftovers: list[Path] = field(default_factory=list)
    """Temporary files of killed writers."""
    bytes: int = 0
    kept_runs: int = 0
    kept_bytes: int = 0


def survey(folder: Path, limits: Limits, magic: bytes) -> Garbage:
    """What ``collect`` would delete now; ``magic`` begins an object that names others.

    Raises:
        StoreError: the store cannot be read.
    """
    reader = Reader(folder, traceless=True)
    try:
        return _Survey(reader, Objects(folder / OBJECTS), limits, magic).run()
    finally:
        reader.close()


def collect(
    folder: Path, limits: Limits, magic: bytes, tell: Callable[[int, int], None] = lambda done, total: None
) -> Garbage:
    """Delete; ``tell`` hears how many of how many objects are done.

    Rows go first, in one transaction: whatever interrupts the rest leaves objects that nobody
    names, for the next time.

    Raises:
        StoreError: somebody has the store open, or it cannot be read or written.
    """
    with lease.alone(folder):
        found = survey(folder, limits, magic)
        _delete_rows(folder, found)
        objects = Objects(folder / OBJECTS)
        doomed = [*(objects.path(digest) for digest in found.objects), *found.leftovers]
        for done, path in enumerate(doomed):
            tell(done, len(doomed))
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise catalog.unwritable(folder, error.strerror or str(error)) from error
        tell(len(doomed), len(doomed))
    return found


class _Survey:
    """One mark over a store."""

    def __init__(self, reader: Reader, objects: Objects, limits: Limits, magic: bytes) -> None:
        self.objects = objects
        self.limits = limits
        self.magic = magic
        self.sizes = {digest: _size(objects.path(digest)) for digest in objects.digests()}
        self.runs: dict[str, bytes] = dict(reader.rows("select id, body from runs order by seq desc"))
        self.commits: dict[str, bytes] = {}
        self.parents: dict[str, str] = {}
        self.of_run: dict[str, list[str]] = {}
        self.of_commit: dict[str, str] = {}
        for name, run, parent, record, body in reader.rows(
            "select id, run, parent, record, body from commits"
        ):
            self.commits[name], self.parents[name], self.of_commit[name] = body, parent, record
            self.of_run.setdefault(run, []).append(name)
        self.records: dict[str, bytes] = {}
        self.forgotten: set[str] = set()
        for name, forgotten, body in reader.rows("select id, forgotten, body from records"):
            self.records[name] = body
            if forgotten:
                self.forgotten.add(name)
        self.tasks: dict[int, tuple[str, bytes]] = {
            seq: (key, body) for seq, key, body in reader.rows("select seq, key, body from tasks")
        }
        self.marked: set[str] = set()

    def run(self) -> Garbage:
        kept = self._runs()
        # Records that no commit names: another process may have served them, so age alone decides.
        named = set(self.of_commit.values())
        for name, body in self.records.items():
            if name not in named and name not in self.forgotten and not self._old(decode(body, Record)):
                self._mark([name])
        dropped = {name for name in self.records if name not in self.marked}
        lost_keys = self._keys(dropped) - self._keys(set(self.records) - dropped)
        tasks = []
        for seq, (key, body) in self.tasks.items():
            if key in lost_keys or self._old(decode(body, TaskEntry)):
                tasks.append(seq)
            else:
                self._scan(body)
        objects = sorted(set(self.sizes) - self.marked)
        leftovers = list(self.objects.leftovers())
        total = sum(self.sizes.values())
        gone = sum(self.sizes[digest] for digest in objects)
        return Garbage(
            runs=[name for name in self.runs if name not in kept],
            commits=sorted(set(self.commits) - self.marked),
            records=sorted(dropped),
            tasks=tasks,
            objects=objects,
            leftovers=leftovers,
            bytes=gone + sum(_size(path) for path in leftovers),
            kept_runs=len(kept),
            kept_bytes=total - gone,
        )

    def _runs(self) -> set[str]:
        """Marks what the kept runs lead to: the newest of each notebook always, others as they fit."""
        notebooks: set[str] = set()
        newest, others = [], []
        for name, body in self.runs.items():
            run = decode(body, Run)
            if run is None or run.notebook not in notebooks:  # what cannot be read is `check`'s concern
                newest.append(name)
            elif max(run.started, run.ended) >= self.limits.before:
                others.append(name)
            if run is not None:
                notebooks.add(run.notebook)
        for name in newest:
            self._keep_run(name)
        kept = set(newest)
        for name in others:
            before = set(self.marked)
            self._keep_run(name)
            if self.limits.keep_bytes is not None and self._marked_bytes() > self.limits.keep_bytes:
                self.marked = before
                break
            kept.add(name)
        return kept

    def _keep_run(self, name: str) -> None:
        self._scan(self.runs[name])
        for commit in self.of_run.get(name, []):
            while commit and commit not in self.marked and commit in self.commits:
                self.marked.add(commit)
                self._mark([self.of_commit[commit]])
                self._scan(self.commits[commit])
                commit = self.parents[commit]

    def _mark(self, names: Iterable[str]) -> None:
        """Mark records and objects, and all that they name in turn."""
        waiting = [name for name in names if name not in self.marked]
        while waiting:
            name = waiting.pop()
            if name in self.marked:
                continue
            self.marked.add(name)
            for text in (self.records.get(name, b""), self._image(name)):
                waiting += [other for other in self._named(text) if other not in self.marked]

    def _scan(self, body: bytes) -> None:
        self._mark(self._named(body))

    def _named(self, text: bytes) -> set[str]:
        found = {match.decode("ascii") for match in _NAME.findall(text)}
        return {name for name in found if name in self.sizes or name in self.records}

    def _image(self, name: str) -> bytes:
        """The bytes of an image; nothing for other objects."""
        if name not in self.sizes:
            return b""
        try:
            with open(self.objects.path(name), "rb") as file:
                return file.read() if file.read(len(self.magic)) == self.magic else b""
        except FileNotFoundError:
            return b""
        except OSError as error:  # what it names must not go because of a disk that fails now and then
            raise StoreError(
                f"The object {name} cannot be read ({error.strerror}): nothing was deleted."
            ) from error

    def _old(self, row: Record | TaskEntry | None) -> bool:
        return row is not None and row.created < self.limits.before

    def _keys(self, records: set[str]) -> set[str]:
        decoded = (decode(self.records[name], Record) for name in records)
        return {key for record in decoded if record is not None for key in record.tasks}

    def _marked_bytes(self) -> int:
        return sum(self.sizes[name] for name in self.marked if name in self.sizes)


def _delete_rows(folder: Path, found: Garbage) -> None:
    connection = catalog.open_for_writing(folder)
    try:
        with connection:
            for table, column, names in (
                ("runs", "id", found.runs),
                ("commits", "id", found.commits),
                ("records", "id", found.records),
                ("tasks", "seq", found.tasks),
            ):
                connection.executemany(f"delete from {table} where {column} = ?", [(name,) for name in names])
    except sqlite3.Error as error:
        raise StoreError(
            f"The store at {folder} cannot be written ({error}): nothing was deleted."
        ) from error
    finally:
        connection.close()


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.lstat().st_size
    return 0
