"""Iterators that pickle makes another thing: over dicts and sets, and groups of ``itertools.groupby``."""

from __future__ import annotations

import gc
import operator
from collections.abc import Callable, Iterator
from itertools import groupby, islice
from typing import Any

from nbrewind.flow.codecs import Codec

_OVER: dict[str, tuple[type, Callable[[Any], Iterator[Any]]]] = {
    "keys": (dict, iter),
    "values": (dict, lambda over: iter(over.values())),
    "items": (dict, lambda over: iter(over.items())),
    "reversed keys": (dict, reversed),
    "reversed values": (dict, lambda over: reversed(over.values())),
    "reversed items": (dict, lambda over: reversed(over.items())),
    "elements": (set, iter),
}
_FORMS = {type(make(kind())): form for form, (kind, make) in _OVER.items()}


class InProgress(Codec):
    """An iterator is what it runs over and how far it came; one at its end has let go of that."""

    name = "builtins.iterator"
    types = tuple(_FORMS)

    def cannot_store(self, value: Any) -> str:
        """What was changed under its iterator is in no order that a new one would have."""
        over = _what(value)
        if over is None:
            return ""
        try:
            left = list(value.__reduce__()[1][0])
        except RuntimeError:
            left = [self]  # its size is another: the next step raises, and a new iterator's would not
        again = list(islice(_begun(value, over), _taken(value, over), None))
        if len(left) == len(again) and all(map(_same, left, again)):
            return ""
        return f"the {type(over).__name__} changed while an iterator ran over it"

    def state(self, value: Any) -> Any:
        """What it runs over, and how many of its elements it gave."""
        over = _what(value)
        return None if over is None else (over, _taken(value, over))

    def rebuild(self, cls: type, state: Any) -> Any:
        """A new one, brought as far."""
        kind, make = _OVER[_FORMS[cls]]
        over, taken = (kind(), 1) if state is None else state
        made = make(over)
        for _ in range(taken):
            next(made, None)
        return made


class Group(Codec):
    """A group takes its elements from the ``groupby`` that gave it, which no reduction tells of."""

    name = "itertools.group"
    types = (type(next(groupby("a"))[1]),)

    def cannot_store(self, value: Any) -> str:
        """Always: pickle makes it an iterator of another type, or lets it go its own way."""
        return "a group of itertools.groupby belongs to its iterator"


codecs = (InProgress, Group)


def _what(value: Any) -> Any:
    return next((held for held in gc.get_referents(value) if isinstance(held, dict | set | frozenset)), None)


def _begun(value: Any, over: Any) -> Iterator[Any]:
    return _OVER[_FORMS[type(value)]][1](over)


def _taken(value: Any, over: Any) -> int:
    return len(over) - operator.length_hint(value)


def _same(one: Any, other: Any) -> bool:
    """The same element; items are made as they are asked for."""
    if type(one) is tuple is type(other) and len(one) == len(other) == 2:
        return all(map(operator.is_, one, other))
    return one is other
