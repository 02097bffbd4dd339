"""Long lists and dicts in parts: what did not change is neither pickled nor stored again.

The walk gives a digest to each run of elements whose objects nothing else refers to (``flow.columns``).
Such a run is a pickle of its own, out of band in the component's; a run with a digest that was stored before
is stored already.  Formats: docs/format.md, "Images".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from typing import Any

from nbrewind.errors import NotStorable
from nbrewind.flow import columns
from nbrewind.flow.digest import Walk
from nbrewind.model import Digest

LONG = 4 * columns.CHUNK
"""Elements from which a container is stored in parts."""

_MOST = 1 << 18
"""Parts whose place in the store is remembered."""


@dataclass(slots=True)
class Part:
    """Elements of a long container, in order; of a dict its keys and its values."""

    values: tuple[list[Any], ...]
    digest: Digest
    """Of their content, empty where they have to be pickled with the rest of the component."""


class Parts:
    """A long container that is stored in parts; stands in its place while the component is pickled."""

    def __init__(self, obj: Any, run: columns.Run) -> None:
        self.kind = type(obj)
        pieces = columns.cut(obj)
        if sum(len(piece[0]) for piece in pieces) != run.length:
            raise NotStorable("it changed while it was stored")
        self.parts = [Part(piece, chunk.digest) for piece, chunk in zip(pieces, run.chunks, strict=True)]


class Stored:
    """Where the store has parts, by the digest of their content."""

    def __init__(self, has: Callable[[Digest], bool]) -> None:
        self._has = has
        self._known: OrderedDict[tuple[type, Digest], list[Digest]] = OrderedDict()

    def find(self, kind: type, digest: Digest) -> list[Digest] | None:
        """The blocks of a part, None where it has to be stored."""
        blocks = self._known.get((kind, digest))
        return blocks if blocks is not None and all(map(self._has, blocks)) else None

    def add(self, kind: type, digest: Digest, blocks: list[Digest]) -> None:
        """A part was stored."""
        self._known[kind, digest] = blocks
        if len(self._known) > _MOST:
            self._known.popitem(last=False)


def divided(values: Mapping[str, Any], walks: Mapping[str, Walk]) -> dict[str, Any]:
    """The roots of a component with ``Parts`` in the place of long containers, where the store may do so.

    ``walks`` are by the same keys.  Each object has to come back once: a container is divided only if it is
    met nowhere but as the value of its names, and its parts only if nothing else leads to what they hold.
    """
    made: dict[int, Parts] = {}
    if any(walk.derived for walk in walks.values()):
        return dict(values)  # what those reach is not walked
    for key, value in values.items():
        run = walks[key].runs.get(id(value)) if type(value) in (list, dict) else None
        if run is None or len(value) < LONG or id(value) in made:
            continue
        others = zip(values.values(), walks.values(), strict=True)
        if all(_is_whole(value, other, walk) for other, walk in others):
            run.chunks = [
                chunk
                if not chunk.digest or _is_apart(value, chunk.first, chunk.end, walks[key], walks.values())
                else type(chunk)("", chunk.first, chunk.end)
                for chunk in run.chunks
            ]
            made[id(value)] = Parts(value, run)
    return {key: made.get(id(value), value) for key, value in values.items()}


def _is_whole(obj: Any, value: Any, walk: Walk) -> bool:
    """Whether a walk over ``value`` meets a container as ``value`` itself, or not at all."""
    number = walk.memo.get(id(obj))
    return number is None or (value is obj and number not in walk.shared)


def _is_apart(obj: Any, first: int, end: int, own: Walk, walks: Iterable[Walk]) -> bool:
    """Whether nodes of a part are met only through their container, in every walk."""
    inside = own.nodes[first:end]
    for walk in walks:
        if id(obj) in walk.runs:
            if any(first <= number < end for number in walk.shared):
                return False
        elif not walk.memo.keys().isdisjoint(inside):
            return False
    return True


class Columns:
    """Instances of one plain class with the same attributes, by attribute."""

    def __init__(self, cls: type, names: tuple[str, ...], columns: list[Any]) -> None:
        self.cls, self.names, self.columns = cls, names, columns


def by_column(values: list[Any], is_plain: Callable[[type], bool]) -> list[Any] | Columns:
    """A part's elements as columns, where they are instances that have nothing but equal attributes.

    Parts hold each object once, so what refers to them is at hand.
    """
    cls = type(values[0]) if values else object
    if not is_plain(cls) or any(type(value) is not cls for value in values):
        return values
    attributes = list(map(attrgetter("__dict__"), values))
    names = tuple(attributes[0])
    if not names or any(tuple(one) != names for one in attributes):
        return values
    return Columns(cls, names, [by_column(list(map(itemgetter(n), attributes)), is_plain) for n in names])
