"""Collecting garbage: old runs as told, and then whatever no kept row leads to.

Keeping is by mark: any 32 hexadecimal digits in a kept row or image that are the name of a
record or an object keep it.  So a reference that this module knows nothing about is followed
too, and the worst that chance can do is to keep something.

What processes rely on (``lease``) is kept as well, so that this works beside living kernels.
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
from nbrewind.store import budget, catalog, compact, folder, lease
from nbrewind.store.ledger import decode
from nbrewind.store.objects import Objects
from nbrewind.store.pack import Location
from nbrewind.store.points import reach
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
    """Objects of which some place goes."""
    places: list[tuple[Digest, Location]] = field(default_factory=list)
    """The places of these in packs that nobody relies on."""
    loose: list[Path] = field(default_factory=list)
    leftovers: list[Path] = field(default_factory=list)
    """Temporary files and packs of killed writers."""
    bytes: int = 0
    kept_runs: int = 0
    kept_bytes: int = 0


def survey(place: Path, limits: Limits, magic: bytes) -> Garbage:
    """What ``collect`` would delete now; ``magic`` begins an object that names others.

    Raises:
        StoreError: the store cannot be read.
    """
    try:
        with lease.beside(place) as others:
            return _surveyed(place, limits, magic, others)
    except lease.NoLocksError:
        return _surveyed(place, limits, magic, lease.Nobody())


def collect(
    place: Path, limits: Limits, magic: bytes, tell: Callable[[int, int], None] = lambda done, total: None
) -> Garbage:
    """Delete; ``tell`` hears how many of how many packs and files are done.

    Rows go first, in one transaction: whatever interrupts the rest leaves objects that nobody
    names, for the next time.

    Raises:
        StoreError: nobody can know who uses it, or it cannot be read or written.
    """
    folder.upgrade(place)
    with lease.deleting(place) as others:
        connection = catalog.open_for_writing(place)
        try:
            found = _deleted_rows(place, limits, magic, others, connection)
            _delete_files(place, found, others, connection, tell)
        finally:
            connection.close()
    return found


_TRIES = 3
"""Surveys that others' commits may make obsolete before one is made while they wait."""


def _surveyed(place: Path, limits: Limits, magic: bytes, others: lease.Others) -> Garbage:
    reader = Reader(place, traceless=True)
    survey = _Survey(place, reader, limits, magic, others)
    try:
        return survey.run()
    finally:
        survey.objects.close()
        reader.close()


def _deleted_rows(
    place: Path, limits: Limits, magic: bytes, others: lease.Others, connection: sqlite3.Connection
) -> Garbage:
    for turn in range(_TRIES):
        before = _changes(connection)
        found = _surveyed(place, limits, magic, others) if turn < _TRIES - 1 else None
        reach("garbage found")
        with others.kept_out():
            try:
                connection.execute("begin immediate")
                if found is None or _changes(connection) != before or _relied_on(found, others):
                    if found is not None:
                        connection.rollback()
                        continue
                    found = _surveyed(place, limits, magic, others)
                _delete_rows(connection, found)
                reach("garbage rows deleted")
                connection.commit()
                reach("garbage rows committed")
            except sqlite3.Error as error:
                raise StoreError(
                    f"The store at {place} cannot be written ({error}): nothing was deleted."
                ) from error
        return found
    raise AssertionError("the last turn returns")


def _changes(connection: sqlite3.Connection) -> int:
    return int(connection.execute("pragma data_version").fetchone()[0])


def _relied_on(found: Garbage, others: lease.Others) -> bool:
    """Whether somebody began to rely on something since the survey."""
    packs = {where.pack for _, where in found.places}
    loose = [lease.LOOSE] if found.loose else []
    return any(others.rely_on(name) for name in (*found.runs, *found.records, *packs, *loose))


def _delete_rows(connection: sqlite3.Connection, found: Garbage) -> None:
    for table, column, names in (
        ("runs", "id", found.runs),
        ("commits", "id", found.commits),
        ("records", "id", found.records),
        ("tasks", "seq", found.tasks),
    ):
        connection.executemany(f"delete from {table} where {column} = ?", [(name,) for name in names])
    connection.executemany(
        "delete from objects where digest = ? and pack = (select id from packs where name = ?)",
        [(digest, where.pack) for digest, where in found.places],
    )


def _delete_files(
    place: Path,
    found: Garbage,
    others: lease.Others,
    connection: sqlite3.Connection,
    tell: Callable[[int, int], None],
) -> None:
    """Loose objects, leftovers, and packs in which something died: their living objects move."""
    packs = sorted({where.pack for _, where in found.places})
    total = len(packs) + len(found.loose) + len(found.leftovers)
    for done, path in enumerate((*found.loose, *found.leftovers)):
        tell(done, total)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise catalog.unwritable(place, error.strerror or str(error)) from error
    objects = Objects(place, lambda digest: [], lambda names: False)
    mine = lease.Lease(place, store=False)
    try:
        for done, name in enumerate(packs):
            tell(total - len(packs) + done, total)
            _move_the_living(place, name, others, connection, objects, mine)
    finally:
        objects.close()
        mine.release()
    tell(total, total)


def _move_the_living(
    place: Path,
    name: str,
    others: lease.Others,
    connection: sqlite3.Connection,
    objects: Objects,
    mine: lease.Lease,
) -> None:
    """Write a pack anew without what is dead; it stays as it is where that is not possible."""
    rows = connection.execute(f"{compact.ROWS} where packs.name = ?", (name,)).fetchall()
    living = [(digest, Location(*where)) for digest, *where in rows]
    try:
        new, places = compact.copied(place, objects, living, mine.hold)
    except (OSError, compact.BrokenObjectError):
        return  # no room, or something for `check`: what lies there is served as before
    reach("living copied")
    with others.kept_out():
        if others.rely_on(name):
            if new is not None:
                new.unlink()
            return
        with connection:
            compact.switch(connection, [name], places)
    reach("living moved")
    compact.unlink(place, [name])
    reach("old pack deleted")


class _Survey:
    """One mark over a store."""

    def __init__(
        self, place: Path, reader: Reader, limits: Limits, magic: bytes, others: lease.Others
    ) -> None:
        self.limits = limits
        self.magic = magic
        self.others = others
        self.places: dict[Digest, list[Location]] = {}
        for digest, *where in reader.rows(compact.ROWS):
            self.places.setdefault(digest, []).append(Location(*where))
        self.objects = Objects(place, lambda digest: self.places.get(digest, []), lambda names: False)
        loose = self.objects.loose
        self.loose = {digest: _size(loose.path(digest)) for digest in loose.digests()}
        self.packs = {name for (name,) in reader.rows("select name from packs")}
        self.strays = [path for path in folder.packs(place) if path.stem not in self.packs]
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
        self.pinned = budget.pinned(place)
        self.marked: set[str] = set()

    def run(self) -> Garbage:
        kept = self._runs()
        self._mark(name for name in self.records if self.others.rely_on(name))
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
        return self._garbage(kept, dropped, tasks)

    def _garbage(self, kept: set[str], dropped: set[str], tasks: list[int]) -> Garbage:
        held = {name for name in self.packs if self.others.rely_on(name)}
        places = [
            (digest, where)
            for digest, found in sorted(self.places.items())
            for where in found
            if digest not in self.marked and where.pack not in held
        ]
        loose = sorted(set(self.loose) - self.marked) if not self.others.rely_on(lease.LOOSE) else []
        leftovers = list(self.objects.loose.leftovers()) if not self.others.rely_on(lease.LOOSE) else []
        leftovers += [path for path in self.strays if not self.others.rely_on(path.stem)]
        total = sum(self.loose.values()) + sum(w.length for found in self.places.values() for w in found)
        gone = sum(where.length for _, where in places) + sum(self.loose[digest] for digest in loose)
        return Garbage(
            runs=[name for name in self.runs if name not in kept],
            commits=sorted(set(self.commits) - self.marked),
            records=sorted(dropped),
            tasks=tasks,
            objects=sorted({*loose, *(digest for digest, _ in places)}),
            places=places,
            loose=[self.objects.loose.path(digest) for digest in loose],
            leftovers=leftovers,
            bytes=gone + sum(_size(path) for path in leftovers),
            kept_runs=len(kept),
            kept_bytes=total - gone,
        )

    def _runs(self) -> set[str]:
        """Marks what the kept runs lead to: the newest of each notebook, pinned ones, others as they fit."""
        notebooks: set[str] = set()
        newest, others = [], []
        for name, body in self.runs.items():
            run = decode(body, Run)
            needed = name in self.pinned or self.others.rely_on(name)
            if (
                run is None or run.notebook not in notebooks or needed
            ):  # what cannot be read is `check`'s concern
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
        return {name for name in found if name in self.places or name in self.loose or name in self.records}

    def _image(self, name: str) -> bytes:
        """The bytes of an image; nothing for other objects."""
        try:
            if (where := self.objects.find(name)) is not None:
                chunks = self.objects.chunks(where)
                first = next(chunks, b"")
                return b"".join((first, *chunks)) if first.startswith(self.magic) else b""
            if name in self.loose:
                with open(self.objects.loose.path(name), "rb") as file:
                    return self.magic + file.read() if file.read(len(self.magic)) == self.magic else b""
        except FileNotFoundError:
            return b""
        except OSError as error:  # what it names must not go because of a disk that fails now and then
            raise StoreError(
                f"The object {name} cannot be read ({error.strerror}): nothing was deleted."
            ) from error
        return b""

    def _old(self, row: Record | TaskEntry | None) -> bool:
        return row is not None and row.created < self.limits.before

    def _keys(self, records: set[str]) -> set[str]:
        decoded = (decode(self.records[name], Record) for name in records)
        return {key for record in decoded if record is not None for key in record.tasks}

    def _marked_bytes(self) -> int:
        return sum(
            self.loose.get(name, 0) + sum(where.length for where in self.places.get(name, ()))
            for name in self.marked
        )


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.lstat().st_size
    return 0
