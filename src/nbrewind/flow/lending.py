"""Memory that one value lends to another without a trace that Python can follow (R14).

``pl.Series(array)`` and ``pa.Table.from_pandas(frame)`` keep the array's memory and no object that could be
asked for it.  Addresses tell: who borrows joins who lends, and cannot be stored apart.
"""

from __future__ import annotations

import ctypes
from bisect import bisect_left
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from nbrewind import rules

if TYPE_CHECKING:
    from nbrewind.flow.digest import Walk

REASON = "it shares memory with an array in a way that cannot be stored"


def join(walks: Collection[Walk]) -> None:
    """Give every walk that met borrowed memory the nodes that lend it."""
    if not any(walk.borrowed for walk in walks) or not rules.on("R14"):
        return
    met = {node: memory for walk in walks for memory, node in walk.lent}
    lent = sorted((*extent(memory), node) for node, memory in met.items())
    starts = [address for address, _, _ in lent]
    longest = max((size for _, size, _ in lent), default=0)
    for walk in walks:
        for address, size in walk.borrowed:
            first = bisect_left(starts, address - longest)
            last = bisect_left(starts, address + size)
            for start, length, node in lent[first:last]:
                if start + length > address:
                    walk.opaque.setdefault(REASON)
                    if node not in walk.memo:
                        walk.memo[node] = len(walk.nodes)
                        walk.nodes.append(node)


def extent(memory: Any) -> tuple[int, int]:
    """Address and size of the memory between the first and last byte of an array or bytearray."""
    if isinstance(memory, bytearray):
        return (ctypes.addressof(ctypes.c_char.from_buffer(memory)), len(memory)) if memory else (0, 0)
    low = high = int(memory.ctypes.data)
    if memory.size == 0:
        return low, 0
    for length, stride in zip(memory.shape, memory.strides, strict=True):
        if stride < 0:
            low += (length - 1) * stride
        else:
            high += (length - 1) * stride
    return low, high - low + int(memory.itemsize)
