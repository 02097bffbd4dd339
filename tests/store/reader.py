"""A reader of stores that was written from docs/format.md alone and imports nothing of nbrewind.

python tests/store/reader.py STORE NAME     shows the newest array that is called NAME
"""

from __future__ import annotations

import json
import pickle
import sqlite3
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy
from blake3 import blake3


def digest(data: bytes) -> str:
    return blake3(data).hexdigest()[:32]


class Store:
    """A store that nobody writes to meanwhile."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.catalog = sqlite3.connect(f"{(folder / 'catalog.sqlite').as_uri()}?mode=ro", uri=True)
        (version,) = self.catalog.execute("pragma user_version").fetchone()
        if version != 2:
            raise ValueError(f"format {version}, not 2")

    def object(self, name: str) -> bytes:
        """An object's bytes, from any place where they are whole."""
        for data in self._copies(name):
            if digest(data) == name:
                return data
        raise ValueError(f"the object {name} is missing or damaged")

    def _copies(self, name: str) -> Iterator[bytes]:
        sql = "select name, offset, length from objects join packs on packs.id = pack where digest = ?"
        for pack, offset, length in self.catalog.execute(sql, (name,)):
            with open(self.folder / "packs" / f"{pack}.pack", "rb") as file:
                file.seek(offset)
                yield file.read(length)
        loose = self.folder / "objects" / name[:2] / name[2:]
        if loose.exists():
            yield loose.read_bytes()

    def records(self) -> Iterator[dict]:
        """Records, the newest first."""
        for body, forgotten, seal in self.catalog.execute(
            "select body, forgotten, seal from records order by seq desc"
        ):
            if digest(body + str(forgotten).encode()) == seal and not forgotten:
                yield json.loads(body)

    def image_of(self, name: str) -> dict:
        """The values of the newest image that holds a name."""
        for record in self.records():
            version = record["delta"]["names"].get(name)
            if version and version.get("image"):
                return self.image(version["image"])
        raise KeyError(name)

    def image(self, name: str) -> dict:
        data = self.object(name)
        if not data.startswith(b"NBIMAGE1"):
            raise ValueError("no image")
        parts = msgspec.msgpack.decode(data[8:])
        buffers = [bytearray().join(map(self.object, blocks)) for blocks in parts["buffers"]]
        return Unpickler(parts["stream"], buffers).load()


class Unpickler(pickle._Unpickler):
    """Knows the two builders that arrays need; every other name of the format is refused."""

    def __init__(self, stream: bytes, buffers: list[bytearray]) -> None:
        import io

        super().__init__(io.BytesIO(stream), buffers=buffers)

    def find_class(self, module: str, name: str) -> object:
        known = {
            ("nbrewind.values.builders", "make_array"): make_array,
            ("nbrewind.values.builders", "load_reference"): load_reference,
        }
        return known[module, name]


def make_array(
    data: bytearray, dtype: numpy.dtype, shape: tuple, order: str, writeable: bool
) -> numpy.ndarray:
    array = numpy.frombuffer(data, dtype).reshape(shape, order=order)
    array.flags.writeable = writeable
    return array


def load_reference(module: str, name: str) -> object:
    if (module, name) != ("numpy", "dtype"):
        raise ValueError(f"{module}.{name} is none of ours")
    return numpy.dtype


def entries(pack: Path) -> Iterator[tuple[str, int, int]]:
    """The objects of a pack by its own index: what the catalog should say."""
    data = pack.read_bytes()
    assert (
        data[:8] == b"NBPACK\r\n"
        and data[16:32].hex() == pack.stem
        and digest(data[:32]) == data[32:48].hex()
    )
    start = 64
    while start < len(data):
        magic, length, count = struct.unpack_from("<8sQQ", data, start)
        index = data[start + 64 : start + 64 + 32 * count]
        assert (
            magic == b"NBSEGMNT"
            and digest(data[start : start + 24] + index) == data[start + 24 : start + 40].hex()
        )
        for name, offset, extent in struct.iter_unpack("<16sQQ", index):
            yield name.hex(), offset, extent
        start += length


if __name__ == "__main__":
    print(Store(Path(sys.argv[1]).absolute()).image_of(sys.argv[2])[sys.argv[2]])
