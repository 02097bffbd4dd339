"""Checking a store: every object's digest, packs against the catalog, and rows against objects.

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
from nbrewind.store import catalog, compact, folder, lease, pack
from nbrewind.store.ledger import decode, delta_needs, needs, versions
from nbrewind.store.objects import PACK_FOLDER, Objects
from nbrewind.store.pack import Location
from nbrewind.store.reader import Reader

References = Callable[[bytes], list[Digest]]
"""Gives the objects that an image needs besides itself."""

_UNREADABLE = "its row was changed or cannot be read"
_BODY = f"case when {catalog.SEALED} then body else x'00' end"
_BODY_OF_RECORD = f"case when {catalog.SEALED_RECORD} then body else x'00' end"

REPAIRED = 2
"""``records.forgotten`` of a record that repair made no hit: its parts are known to be missing."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is broken."""

    kind: str
    """``catalog``, ``pack``, ``object``, ``record``, ``commit``, ``run`` or ``task``."""
    name: str
    reason: str


@dataclass(slots=True)
class Findings:
    """What a check found."""

    objects: int = 0
    bytes: int = 0
    rows: int = 0
    places: list[Location] = field(default_factory=list)
    """Where packs hold bytes with another digest than their row says."""
    loose: list[Path] = field(default_factory=list)
    """Files whose bytes have another digest than their name."""
    problems: list[Problem] = field(default_factory=list)

    def of(self, kind: str) -> list[str]:
        """Names of the broken things of a kind."""
        return [problem.name for problem in self.problems if problem.kind == kind]


def examine(
    place: Path, references: References, tell: Callable[[int, int], None] = lambda done, total: None
) -> Findings:
    """Check everything; ``tell`` hears how many of how many objects are done.

    Raises:
        StoreError: the catalog cannot be read at all.
    """
    reader = Reader(place, traceless=True)
    check = _Check(place, reader, references)
    try:
        return check.run(tell)
    finally:
        check.objects.close()
        reader.close()


def repair(place: Path, references: References, tell: Callable[[int, int], None]) -> Findings:
    """Drop what is broken: damaged objects and unreadable rows go, records without their parts hit no more.

    Raises:
        StoreError: somebody uses the store, it cannot be written, or SQLite finds its file torn.
    """
    folder.upgrade(place)
    with lease.alone(place):
        findings = examine(place, references, tell)
        if torn := findings.of("catalog"):
            raise catalog.damaged(place, torn[0])
        if findings.problems:
            # Rows first: interrupted after them, objects that nobody names are left to the next check.
            _drop_rows(place, findings)
            try:
                for path in findings.loose:
                    path.unlink(missing_ok=True)
                _write_anew(place, findings.of("pack"))
            except OSError as error:
                raise catalog.unwritable(place, error.strerror or str(error)) from error
    return findings


class _Check:
    """One pass over a store."""

    def __init__(self, place: Path, reader: Reader, references: References) -> None:
        self.place = place
        self.reader = reader
        self.places: dict[Digest, list[Location]] = {}
        self.objects = Objects(place, lambda digest: self.places.get(digest, []), lambda names: False)
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
                (
                    "record",
                    f"select id, {_BODY_OF_RECORD} from records where forgotten <> {REPAIRED} order by seq",
                ),
                ("dropped", f"select id, body from records where forgotten = {REPAIRED} order by seq"),
                ("commit", f"select id, {_BODY} from commits order by seq"),
                ("run", f"select id, {_BODY} from runs order by seq"),
                ("task", f"select seq, {_BODY} from tasks order by seq"),
            )
        }
        self.found.rows = sum(len(rows) for rows in tables.values())
        for digest, *where in self.reader.rows(f"{compact.ROWS} order by packs.id, offset"):
            self.places.setdefault(digest, []).append(Location(*where))
        self._packs()
        self._objects(tell)
        kept = self._records(tables["record"]) | {str(name) for name, _ in tables["dropped"]}
        self._commits(tables["commit"], kept)
        for name, body in tables["run"]:
            if decode(body, Run) is None:
                self._add("run", str(name), _UNREADABLE)
        self._tasks(tables["task"])
        return self.found

    def _packs(self) -> None:
        """Each pack's own index against the catalog's."""
        wanted: dict[str, set[tuple[Digest, Location]]] = {}
        for digest, places in self.places.items():
            for place in places:
                wanted.setdefault(place.pack, set()).add((digest, place))
        for name, rows in wanted.items():
            path = self.place / PACK_FOLDER / (name + pack.SUFFIX)
            reason = "its index does not have what the catalog says"
            try:
                for entry in pack.scan(path):
                    rows.discard(entry)
            except FileNotFoundError:
                reason = "its file is missing"
            except (OSError, pack.DamagedPackError) as error:
                reason = str(error)
            if rows:
                self._add("pack", name, reason)

    def _objects(self, tell: Callable[[int, int], None]) -> None:
        digests = sorted({*self.places, *self.objects.loose.digests()})
        for done, digest in enumerate(digests):
            tell(done, len(digests))
            self.found.objects += 1
            if self._sound(digest):
                self.sound.add(digest)
        tell(len(digests), len(digests))

    def _sound(self, digest: Digest) -> bool:
        """Whether an object is whole somewhere; every other place of it is a problem."""
        sound = 0
        for place in self.places.get(digest, []):
            self.found.bytes += place.length
            if self.objects.sound(digest, place):
                sound += 1
            else:
                self.found.places.append(place)
                self._add("object", digest, f"its bytes in the pack {place.pack} are missing or changed")
        path = self.objects.loose.path(digest)
        with contextlib.suppress(OSError):
            self.found.bytes += path.stat().st_size
            if self.objects.loose.verify(digest):
                sound += 1
            elif path.exists():
                self.found.loose.append(path)
                self._add("object", digest, "its bytes have another digest, or cannot be read")
        return sound > 0

    def _records(self, rows: Iterable[tuple[object, bytes]]) -> set[str]:
        """Checks records; the ids of those whose row can be read."""
        readable = set()
        for name, body in rows:
            record = decode(body, Record)
            if record is None or record.id != name:
                self._add("record", str(name), _UNREADABLE)
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
                self._add("commit", str(name), _UNREADABLE)
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
                self._add("task", str(name), _UNREADABLE)
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
        if digest not in self.sound and digest not in self.places:  # perhaps written since the listing
            self.places[digest] = [Location(*row) for row in self.reader.rows(_PLACES, (digest,))]
            if self.objects.verify(digest):
                self.sound.add(digest)
        return digest in self.sound

    def _add(self, kind: str, name: str, reason: str) -> None:
        self.found.problems.append(Problem(kind, name, reason))


_PLACES = (
    "select packs.name, offset, length from objects join packs on packs.id = objects.pack where digest = ?"
)


def _drop_rows(place: Path, findings: Findings) -> None:
    unreadable = {p.name for p in findings.problems if p.kind == "record" and p.reason == _UNREADABLE}
    statements = [
        ("delete from records where id = ?", sorted(unreadable)),
        (
            f"update records set forgotten = {REPAIRED}, seal = seal(body, {REPAIRED}) where id = ?",
            [name for name in findings.of("record") if name not in unreadable],
        ),
        ("delete from commits where id = ?", findings.of("commit")),
        ("delete from runs where id = ?", findings.of("run")),
        ("delete from tasks where seq = ?", findings.of("task")),
    ]
    connection = catalog.open_for_writing(place)
    try:
        with connection:
            for sql, names in statements:
                connection.executemany(sql, [(name,) for name in names])
            connection.executemany(
                "delete from objects where pack in (select id from packs where name = ?) and offset = ?",
                [(where.pack, where.offset) for where in findings.places],
            )
    except sqlite3.Error as error:
        raise StoreError(f"The store at {place} cannot be repaired ({error}); it is as it was.") from error
    finally:
        connection.close()


def _write_anew(place: Path, packs: list[str]) -> None:
    """Packs whose own index is damaged are replaced by whole ones with the same objects."""
    connection = catalog.open_for_writing(place)
    objects = Objects(place, lambda digest: [], lambda names: False)
    try:
        for name in packs:
            rows = connection.execute(f"{compact.ROWS} where packs.name = ?", (name,)).fetchall()
            wanted = [(digest, Location(*where)) for digest, *where in rows]
            _, places = compact.copied(place, objects, wanted, lambda names: None)
            with connection:
                compact.switch(connection, [name], places)
            compact.unlink(place, [name])
    finally:
        objects.close()
        connection.close()
