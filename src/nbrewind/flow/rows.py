"""Rows of structured arrays: NumPy's only scalars that can be written to, often into an array's memory."""

from __future__ import annotations

import sys
from typing import Any

from nbrewind.flow import digest as walks


def row(walk: walks.Walk, obj: Any) -> None:
    """A row by its array and its place there, or by its content where it has memory of its own."""
    if not walk.number(obj):
        return
    walk.text(b"I", f"{type(obj).__module__}.{type(obj).__qualname__}")
    place = index(obj)
    if place is not None:
        walk.visit(place)
        walk.visit(obj.base)
    elif obj.base is not None:
        walk.opaque.setdefault("a row of an array of several dimensions")
        walk.visit(obj.base)
    else:
        made = walks.reduction(obj)
        walk.keep.append(made)
        walk.visit(made[1])


def index(obj: Any) -> tuple[int, ...] | None:
    """Where a row is in the array whose memory it is; None where it has its own, or is not found."""
    numpy = sys.modules["numpy"]
    base = obj.base
    if not isinstance(base, numpy.ndarray) or base.dtype != obj.dtype or base.ndim > 1 or not obj.itemsize:
        return None
    if not base.ndim:
        return ()
    lies = numpy.frombuffer(obj, "u1").__array_interface__["data"][0]
    apart = lies - base.__array_interface__["data"][0]
    found = apart // base.strides[0] if base.strides[0] else 0
    inside = 0 <= found < len(base) and found * base.strides[0] == apart
    return (int(found),) if inside else None
