"""Where the objects of a store lie, and how to spoil them."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from nbrewind.store.loose import Loose
from nbrewind.store.pack import SUFFIX


@dataclass(frozen=True)
class Place:
    """The bytes of an object in a file."""

    file: Path
    offset: int
    length: int

    def bytes(self) -> bytes:
        with self.file.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.length)

    def write(self, data: bytes) -> None:
        """Overwrite the beginning."""
        mode = self.file.stat().st_mode
        self.file.chmod(0o600)
        with self.file.open("r+b") as file:
            file.seek(self.offset)
            file.write(data[: self.length])
        self.file.chmod(mode)

    def spoil(self) -> None:
        """Change the last byte."""
        data = self.bytes()
        self.write(data[:-1] + bytes([data[-1] ^ 4]))


def places(store: Path) -> dict[str, Place]:
    """All objects that the catalog and the folder of loose objects name."""
    found = {}
    loose = Loose(store / "objects")
    for digest in loose.digests():
        path = loose.path(digest)
        found[digest] = Place(path, 0, path.stat().st_size)
    connection = sqlite3.connect(store / "catalog.sqlite")
    sql = "select digest, name, offset, length from objects join packs on packs.id = objects.pack"
    for digest, name, offset, length in connection.execute(sql):
        found[digest] = Place(store / "packs" / (name + SUFFIX), offset, length)
    connection.close()
    return found


def place(store: Path, digest: str) -> Place:
    """Where one object lies."""
    return places(store)[digest]


def run_sql(store: Path, sql: str, *parameters: object) -> None:
    """Change the catalog behind everybody's back."""
    connection = sqlite3.connect(store / "catalog.sqlite")
    with connection:
        connection.execute(sql, parameters)
    connection.close()
