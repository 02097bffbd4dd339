"""Content digests of large buffers by block, at memory speed when a block was seen before.

xxh3 (17 GB/s) is only a filter inside the process; what is persisted is BLAKE3
(docs/architecture.md, "Choices").
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

import xxhash
from blake3 import blake3

from nbrewind.model import Digest

BLOCK = 1 << 20
"""Bytes of a block: what one changed element costs in the store."""

SMALL_BLOCK = 64 << 10
"""Bytes of a block of a small buffer, whose element should cost less than the whole."""

LARGE = 8 << 20
"""Bytes from which a buffer is cut into large blocks."""

_SMALL = 4096
_KNOWN: OrderedDict[tuple[int, bytes], Digest] = OrderedDict()
_MOST = 65536


def blocks(buffer: bytes | bytearray | memoryview) -> Iterator[tuple[memoryview, Digest]]:
    """The aligned blocks of a contiguous buffer with their BLAKE3 digests (32 hexadecimal digits)."""
    view = memoryview(buffer).cast("B")
    size = BLOCK if view.nbytes >= LARGE else SMALL_BLOCK
    for start in range(0, view.nbytes, size):
        block = view[start : start + size]
        yield block, _block_digest(block)


def buffer_digest(buffer: bytes | bytearray | memoryview) -> Digest:
    """One digest of a contiguous buffer; of one that has several blocks, over their digests."""
    digests = [digest for _, digest in blocks(buffer)]
    return digests[0] if len(digests) == 1 else _blake3("".join(digests).encode())


def _block_digest(block: memoryview) -> Digest:
    if block.nbytes < _SMALL:
        return _blake3(block)
    key = (block.nbytes, xxhash.xxh3_128_digest(block))
    known = _KNOWN.get(key)
    if known is None:
        known = _KNOWN[key] = _blake3(block)
        if len(_KNOWN) > _MOST:
            _KNOWN.popitem(last=False)
    return known


def _blake3(data: bytes | memoryview) -> Digest:
    return str(blake3(data).hexdigest()[:32])
