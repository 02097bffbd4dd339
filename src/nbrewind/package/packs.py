"""Pack files: objects one after the other, compressed in pieces that unpack to a known size.

A pack is ``NBPACK1\\n`` and then, for each object, its digest (16 bytes), its length (8 bytes) and its
pieces of 4 MiB, the last one shorter.  A piece is a word of 4 bytes and its data; the word's highest bit
says whether they are a Zstandard frame, the others how many bytes there are.  Numbers are little-endian.
So a reader never unpacks more than a piece at a time, and never more than was announced.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Protocol

import zstandard
from blake3 import blake3

from nbrewind.errors import PackageError
from nbrewind.model import Digest

MAGIC = b"NBPACK1\n"
PIECE = 4 << 20
PACK_BYTES = 1 << 30
"""A pack is closed when it has grown to this: few files, none too large to copy again."""

_HEAD = struct.Struct("<16sQ")
_WORD = struct.Struct("<I")
_PACKED = 1 << 31
_WORTH = 0.95
"""What does not get smaller than this share is kept as it is."""


class Out(Protocol):
    """Where bytes go."""

    def write(self, data: bytes, /) -> object:
        """Take bytes."""


class Packer:
    """Writes objects to one pack."""

    def __init__(self, out: Out) -> None:
        self.written = len(MAGIC)
        self._out = out
        self._zstd = zstandard.ZstdCompressor(level=1)
        out.write(MAGIC)

    def add(self, digest: Digest, size: int, pieces: Iterable[bytes]) -> None:
        """Write one object; ``pieces`` are of ``PIECE`` bytes but for the last."""
        self._write(_HEAD.pack(bytes.fromhex(digest), size))
        for piece in pieces:
            packed = self._zstd.compress(piece)
            if len(packed) < len(piece) * _WORTH:
                self._write(_WORD.pack(len(packed) | _PACKED) + packed)
            else:
                self._write(_WORD.pack(len(piece)) + piece)

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self.written += len(data)


def pieces_of(data: bytes) -> Iterator[bytes]:
    """An object's bytes as a pack takes them."""
    for start in range(0, len(data), PIECE):
        yield data[start : start + PIECE]


def objects(file: BinaryIO, name: str) -> Iterator[tuple[Digest, int, Iterator[bytes]]]:
    """The objects of a pack: digest, length and pieces, which are checked against both when they end.

    Raises:
        PackageError: the pack is torn, or an object's bytes are not those of its name.
    """
    if file.read(len(MAGIC)) != MAGIC:
        raise PackageError(f"{name} of the package is no pack of objects.")
    zstd = zstandard.ZstdDecompressor(max_window_size=2 * PIECE)
    while head := file.read(_HEAD.size):
        if len(head) < _HEAD.size:
            raise PackageError(f"{name} of the package ends in the middle of an object.")
        raw, size = _HEAD.unpack(head)
        digest = raw.hex()
        pieces = _pieces(file, name, digest, size, zstd.decompress)
        yield digest, size, pieces
        for _ in pieces:  # whatever the caller did not want is checked all the same
            pass


def _pieces(
    file: BinaryIO, name: str, digest: Digest, size: int, unpack: Callable[..., bytes]
) -> Iterator[bytes]:
    hasher = blake3()
    left = size
    while left:
        wanted = min(PIECE, left)
        word = file.read(_WORD.size)
        if len(word) < _WORD.size:
            raise PackageError(f"{name} of the package ends in the middle of an object.")
        (length,) = _WORD.unpack(word)
        stored = length & ~_PACKED
        if stored > wanted:  # a packed piece is smaller than the plain one
            raise PackageError(f"{name} of the package has a piece that is longer than its object.")
        data = file.read(stored)
        if length & _PACKED:
            try:
                if zstandard.frame_content_size(data) != wanted:  # else it decides how much memory is taken
                    raise PackageError(f"{name} of the package has a piece of another length than announced.")
                data = unpack(data)
            except zstandard.ZstdError as error:
                raise PackageError(f"{name} of the package has a piece that cannot be unpacked.") from error
        if len(data) != wanted:
            raise PackageError(f"{name} of the package has a piece of another length than announced.")
        hasher.update(data)
        left -= wanted
        yield data
    if str(hasher.hexdigest()[:32]) != digest:
        raise PackageError(f"The object {digest} of the package is damaged or forged.")
