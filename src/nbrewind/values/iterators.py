"""Iterators over sequences, which pickle would bring back at another place or as another type.

How pickles of these are made is in CPython's ``Objects/iterobject.c`` and ``listobject.c``: a position is set
by ``__setstate__``, which moves one beyond the end to the end.  A list that was cut short under its iterator
has such a position, and so has, while it is loaded, a list that holds its own iterator.
"""

from __future__ import annotations

import array
import itertools
from collections import OrderedDict, deque
from typing import Any

from nbrewind.errors import NotStorable
from nbrewind.values import builders
from nbrewind.values.worlds import DumpWorld

_BACKWARDS: type = type(reversed([]))
_SILENT: dict[type, str] = {
    type(iter(OrderedDict())): "an iterator over an OrderedDict forgets what it runs over",
    type(iter(deque())): "an iterator over a deque does not tell whether the deque has changed since",
    type(reversed(deque())): "an iterator over a deque does not tell whether the deque has changed since",
}
_FIXED = (tuple, str, bytes, range)
KINDS = frozenset(type(iter(kind())) for kind in (list, tuple, str, bytes, bytearray)) | {
    _BACKWARDS,
    reversed,
    type(iter(int, 0)),
    type(iter(array.array("b"))),
    *_SILENT,
}
"""Types that ``iterator`` is for."""


def iterator(world: DumpWorld, obj: Any) -> Any:
    """The reduction of an iterator of one of ``KINDS``.

    An exhausted iterator has forgotten what it ran over; an iterator over nothing has not.

    Raises:
        NotStorable: it does not tell all that its next step depends on.
    """
    if type(obj) in _SILENT:
        raise NotStorable(_SILENT[type(obj)])
    reduced = obj.__reduce__()
    if len(reduced) == 3 and isinstance(reduced[1][0], list | bytearray | array.array):
        return make_positioned, (reduced[1][0], reduced[2], type(obj) in (_BACKWARDS, reversed))
    if type(obj) is reversed and len(reduced) == 2:
        return builders.make_ended, ("reversed",)
    if type(obj) is reversed and type(reduced[1][0]) not in _FIXED:
        raise NotStorable(f"reversed() of a {type(reduced[1][0]).__name__} cannot be set to where it is")
    over = reduced[1][0] if len(reduced) == 2 and reduced[0] is iter and len(reduced[1]) == 1 else None
    if over is None or len(over) > 0:
        return reduced
    if type(obj) in (type(iter(over)), type(iter(type(over)()))):
        return builders.make_exhausted, (over,)
    return builders.make_ended, (type(obj).__name__,)


def chain(world: DumpWorld, obj: Any) -> Any:
    """As ``iterator``; later Pythons have no pickles of chains at all."""
    if "__reduce__" not in itertools.chain.__dict__:
        return NotImplemented
    reduced = obj.__reduce__()
    return (builders.make_spent_chain, ()) if reduced[1:] == ((),) else reduced


def make_positioned(over: Any, position: int, backwards: bool) -> Any:
    """An iterator over a list, bytearray or array at a position that may lie beyond its end.

    The position can be set only while there is something at it.
    """
    kind = next(one for one in (list, bytearray, array.array) if isinstance(over, one))
    made: Any = kind.__iter__(over)
    if backwards:
        made = list.__reversed__(over) if kind is list else reversed(over)
    length = kind.__len__(over)
    lacking = position + 1 - length
    if lacking > 0:
        kind.extend(over, _filling(over, lacking))
    try:
        made.__setstate__(position)
    finally:
        if lacking > 0:
            kind.__delitem__(over, slice(length, None))
    return made


def _filling(over: Any, count: int) -> Any:
    if not isinstance(over, array.array):
        return bytes(count)
    filling = array.array.__getitem__(over, slice(0))  # a new one of type "u" would warn
    filling.frombytes(bytes(over.itemsize * count))
    return filling
