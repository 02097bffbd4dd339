"""Content digests of large buffers, at memory speed when the content was seen before.

xxh3 (17 GB/s) is only a filter inside the process; what is persisted is BLAKE3
(docs/architecture.md, "Choices").
"""

from __future__ import annotations

from collections import OrderedDict

import xxhash
from blake3 import blake3

_SMALL = 4096
_KNOWN: OrderedDict[tuple[int, bytes], str] = OrderedDict()
_MOST = 65536


def buffer_digest(buffer: bytes | bytearray | memoryview) -> str:
    """BLAKE3 digest (32 hexadecimal digits) of a contiguous buffer."""
    view = memoryview(buffer).cast("B")
    if view.nbytes < _SMALL:
        return str(blake3(view).hexdigest()[:32])
    key = (view.nbytes, xxhash.xxh3_128_digest(view))
    known = _KNOWN.get(key)
    if known is None:
        known = str(blake3(view).hexdigest()[:32])
        _KNOWN[key] = known
        if len(_KNOWN) > _MOST:
            _KNOWN.popitem(last=False)
    return known
