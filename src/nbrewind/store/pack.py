"""Packs: files that hold many objects, only ever appended to, by the process that made them.

The bytes are specified in docs/format.md, "Packs".  A pack describes itself: it can be read
without the catalog, and the catalog's index can be made again from it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from blake3 import blake3

from nbrewind.model import Digest
from nbrewind.store.points import reach

SUFFIX = ".pack"
VERSION = 1
ALIGN = 64
"""Where segments and small objects begin."""

PAGE = 4096
LARGE = 64 << 10
"""Bytes of an object from which it begins on a page, so that it can be mapped."""

_PACK_MAGIC = b"NBPACK\r\n"
_SEGMENT = struct.Struct("<8sQQ16s")
_SEGMENT_MAGIC = b"NBSEGMNT"
_ENTRY = struct.Struct("<16sQQ")
_MOST_PIECES = 512
"""Buffers of one write; the system takes 1024."""


class DamagedPackError(Exception):
    """Bytes that should be a pack's header or a segment's index are not."""


@dataclass(frozen=True, slots=True)
class Location:
    """Where an object lies."""

    pack: str
    """The pack's name: 32 hexadecimal digits."""
    offset: int
    length: int


class Appender:
    """A new pack that grows by segments."""

    def __init__(self, folder: Path, name: str) -> None:
        """Make the file.

        Raises:
            OSError: it cannot be made.
        """
        self.name = name
        self.path = folder / (name + SUFFIX)
        self.size = 0
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            _write_all(self._descriptor, [_pack_header(name)])
        except BaseException:  # an interrupt too: nobody else will close or delete it
            self.abandon()
            raise
        self.size = ALIGN

    def append(self, objects: Sequence[tuple[Digest, bytes]]) -> list[Location]:
        """Write one segment; not durable before ``sync``.

        Raises:
            OSError: it could not be written; the pack is as it was.
        """
        places, pieces, end = _laid_out(self.size, objects)
        try:
            os.lseek(self._descriptor, self.size, os.SEEK_SET)
            _write_all(self._descriptor, pieces[:1])
            reach("segment begun")
            _write_all(self._descriptor, pieces[1:])
        except OSError:
            os.ftruncate(self._descriptor, self.size)
            raise
        self.size = end
        return [Location(self.name, offset, length) for offset, length in places]

    def sync(self) -> None:
        """Make what was appended durable.

        Raises:
            OSError: it is not, and what the file holds is unknown from now on.
        """
        os.fdatasync(self._descriptor)

    def seal(self) -> None:
        """Nothing will be appended any more: the file is made read-only."""
        os.fchmod(self._descriptor, 0o400)
        os.close(self._descriptor)

    def abandon(self) -> None:
        """Delete the file."""
        os.close(self._descriptor)
        self.path.unlink(missing_ok=True)


def scan(path: Path) -> Iterator[tuple[Digest, Location]]:
    """The objects of a pack by its own index, in order.  A torn end is passed over.

    Raises:
        DamagedPackError: the header or the index of a segment is damaged.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        name = path.name.removesuffix(SUFFIX)
        if file.read(ALIGN) != _pack_header(name):
            raise DamagedPackError("its header is damaged")
        start = ALIGN
        while start + ALIGN <= size:
            entries, length = _index(file, start)
            if start + length > size:
                return
            for digest, offset, extent in entries:
                yield digest.hex(), Location(name, offset, extent)
            start += length


def _laid_out(
    start: int, objects: Sequence[tuple[Digest, bytes]]
) -> tuple[list[tuple[int, int]], list[bytes], int]:
    """``(offset, length)`` of each object, the pieces to write one after the other, and their end.

    Large objects come after the small ones, in order: the blocks of a buffer lie side by side.
    """
    position = _up(start + ALIGN + len(objects) * _ENTRY.size, ALIGN)
    places = [(0, 0)] * len(objects)
    pieces: list[bytes] = [b"", b""]
    written = start + ALIGN + len(objects) * _ENTRY.size
    for large in (False, True):
        for number, (_, data) in enumerate(objects):
            if (len(data) >= LARGE) is large:
                position = _up(position, PAGE if large else ALIGN)
                pieces += [bytes(position - written), data]
                places[number] = (position, len(data))
                position += len(data)
                written = position
    end = _up(position, ALIGN)
    pieces.append(bytes(end - written))
    index = b"".join(
        _ENTRY.pack(bytes.fromhex(digest), *place) for (digest, _), place in zip(objects, places, strict=True)
    )
    pieces[:2] = [_segment_header(end - start, index), index]
    return places, pieces, end


def _index(file: BinaryIO, start: int) -> tuple[list[tuple[bytes, int, int]], int]:
    """The entries of the segment at ``start``, and its length."""
    file.seek(start)
    head = file.read(ALIGN)
    magic, length, count, _ = _SEGMENT.unpack_from(head)
    if magic != _SEGMENT_MAGIC or length < ALIGN + count * _ENTRY.size or length % ALIGN:
        raise DamagedPackError(f"the head of its segment at {start} is damaged")
    index = file.read(count * _ENTRY.size)
    if _segment_header(length, index)[: _SEGMENT.size] != head[: _SEGMENT.size]:
        raise DamagedPackError(f"the index of its segment at {start} is damaged")
    return list(_ENTRY.iter_unpack(index)), length


def _pack_header(name: str) -> bytes:
    known = struct.pack("<8sII16s", _PACK_MAGIC, VERSION, 0, bytes.fromhex(name))
    return (known + blake3(known).digest(16)).ljust(ALIGN, b"\0")


def _segment_header(length: int, index: bytes) -> bytes:
    known = struct.pack("<8sQQ", _SEGMENT_MAGIC, length, len(index) // _ENTRY.size)
    return (known + blake3(known + index).digest(16)).ljust(ALIGN, b"\0")


def _up(position: int, to: int) -> int:
    return -(-position // to) * to


def _write_all(descriptor: int, pieces: Iterable[bytes]) -> None:
    waiting = [memoryview(piece) for piece in pieces if piece]
    first = 0
    while first < len(waiting):
        written = os.writev(descriptor, waiting[first : first + _MOST_PIECES])
        while first < len(waiting) and written >= len(waiting[first]):
            written -= len(waiting[first])
            first += 1
        if written:
            waiting[first] = waiting[first][written:]
