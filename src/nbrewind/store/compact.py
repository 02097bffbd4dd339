"""Writing packs anew without what is dead or broken in them."""

from __future__ import annotations

import contextlib
import sqlite3
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

from nbrewind.model import Digest
from nbrewind.store import pack
from nbrewind.store.loose import digest_of, sync_folder
from nbrewind.store.objects import PACK_FOLDER, Objects
from nbrewind.store.pack import Appender, Location

SEGMENT = 16 << 20
"""Bytes of a segment of a pack that is written anew."""

ROWS = "select digest, packs.name, offset, length from objects join packs on packs.id = objects.pack"


class BrokenObjectError(Exception):
    """An object of a pack is damaged: the pack stays as it is until a repair drops the object."""


def copied(
    folder: Path,
    objects: Objects,
    rows: Iterable[tuple[Digest, Location]],
    rely: Callable[[list[str]], object],
) -> tuple[Path | None, dict[Digest, Location]]:
    """A new durable pack with these objects, which no row names yet, and where they lie in it.

    Raises:
        OSError: it cannot be written; nothing is left behind.
        BrokenObjectError: an object is damaged.
    """
    wanted = sorted(dict(rows).items(), key=lambda row: (row[1].pack, row[1].offset))
    if not wanted:
        return None, {}
    name = uuid.uuid4().hex
    rely([name])
    new = Appender(folder / PACK_FOLDER, name)
    places: dict[Digest, Location] = {}
    batch: list[tuple[Digest, bytes]] = []
    try:
        for number, (digest, place) in enumerate(wanted, 1):
            data = b"".join(objects.chunks(place))
            if digest_of(data) != digest:
                raise BrokenObjectError(digest)
            batch.append((digest, data))
            if number == len(wanted) or sum(len(data) for _, data in batch) >= SEGMENT:
                found = new.append(batch)
                places.update(zip((digest for digest, _ in batch), found, strict=True))
                batch = []
        new.sync()
        sync_folder(folder / PACK_FOLDER)
    except BaseException:  # an interrupt too: half a pack is of no use
        new.abandon()
        raise
    new.seal()
    return new.path, places


def switch(connection: sqlite3.Connection, old: Iterable[str], places: dict[Digest, Location]) -> None:
    """Inside a transaction: the objects lie in a new pack, and the old ones are no more."""
    add(connection, places)
    for name in old:
        connection.execute("delete from objects where pack in (select id from packs where name = ?)", (name,))
        connection.execute("delete from packs where name = ?", (name,))


def add(connection: sqlite3.Connection, places: dict[Digest, Location]) -> None:
    """Inside a transaction: where objects lie that are durable."""
    names = sorted({place.pack for place in places.values()})
    connection.executemany("insert or ignore into packs (name) values (?)", [(name,) for name in names])
    connection.executemany(
        "insert or replace into objects (digest, pack, offset, length) "
        "select ?, id, ?, ? from packs where name = ?",
        [(digest, place.offset, place.length, place.pack) for digest, place in places.items()],
    )


def unlink(folder: Path, names: Iterable[str]) -> None:
    """Delete packs that no row names any more; what cannot be deleted is left to the next time."""
    for name in names:
        with contextlib.suppress(OSError):
            (folder / PACK_FOLDER / (name + pack.SUFFIX)).unlink()
