"""Many values at once: the canonical walk over a long sequence, column by column (R2).

A node costs microseconds when Python visits it alone.  Here the values of one kind go through
functions written in C together, and what they hold makes the next column, level by level.  How a value is
encoded depends on content only: on lengths, kinds and on which nodes are shared.  So equal values
have equal digests wherever they are made, and a change is seen as it is by visiting one by one.
"""

from __future__ import annotations

import marshal
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter, itemgetter
from types import GetSetDescriptorType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from nbrewind.flow import codecs, nans
from nbrewind.flow.dicts import any_held_elsewhere
from nbrewind.model import Digest

if TYPE_CHECKING:
    from nbrewind.flow.digest import Walk, World

LONG = 64
"""Elements from which a sequence is walked by column."""

CHUNK = 4096
"""Elements that have one digest, and are stored together: what one changed element costs."""

_SHAPES = 16
"""Sets of attribute names from which instances are no longer grouped by them."""

_KINDS = 200
"""Types in one chunk from which its values are visited one by one."""

_ATOMS = frozenset({int, float, bool, complex, bytes, type(None)})
"""Types whose values ``marshal`` writes in one way only."""


@dataclass(slots=True)
class Chunk:
    """Some elements of a long container: what they are, and which nodes belong to them."""

    digest: Digest
    """Of their content; empty where something in it has to be visited alone or is met again."""
    first: int
    """Numbers of their nodes in the walk: from this one..."""
    end: int
    """... to the one before this."""


@dataclass(slots=True)
class Run:
    """A long list or dict, as it was walked."""

    length: int
    chunks: list[Chunk] = field(default_factory=list)


def elements(walk: Walk, values: list[Any]) -> None:
    """Add the elements of a long sequence to the digest."""
    walk.buf += b"#"
    for start in range(0, len(values), CHUNK):
        _chunk(walk, (values[start : start + CHUNK],))


def container(walk: Walk, obj: list[Any] | dict[Any, Any]) -> None:
    """Add the elements of a long list or dict, and remember its chunks: they may be stored apart."""
    pieces = cut(obj)
    run = walk.runs[id(obj)] = Run(sum(len(piece[0]) for piece in pieces))
    walk.buf += b"#"
    run.chunks += [_chunk(walk, piece) for piece in pieces]


def cut(obj: list[Any] | dict[Any, Any]) -> list[tuple[list[Any], ...]]:
    """The elements of a long container, chunk by chunk; of a dict the keys and the values."""
    items = list(obj.items() if isinstance(obj, dict) else obj)  # at once: a thread may be at work on it
    whole = (list(map(itemgetter(n), items)) for n in (0, 1)) if isinstance(obj, dict) else (items,)
    columns = list(whole)
    return [tuple(one[start : start + CHUNK] for one in columns) for start in range(0, len(items), CHUNK)]


def digest_again(world: World | None, columns: tuple[list[Any], ...]) -> Digest:
    """The digest of a chunk as it is now; empty if it would not have one."""
    from nbrewind.flow.digest import Walk

    return _chunk(Walk(world), columns).digest


def _chunk(walk: Walk, columns: tuple[list[Any], ...]) -> Chunk:
    outer, walk.buf = walk.buf, bytearray()
    first, apart = len(walk.nodes), True
    try:
        for values in columns:
            apart &= _column(walk, values)
        digest = walk.digest()
    finally:
        walk.buf = outer
    walk.buf += digest.encode()
    return Chunk(digest if apart else "", first, len(walk.nodes))


def _column(walk: Walk, values: list[Any]) -> bool:
    """Add values to the digest, kind by kind; whether none of them had to be visited alone."""
    types = list(map(type, values))
    kinds = list(dict.fromkeys(types))
    if _ATOMS.issuperset(kinds):
        return _atoms(walk, values, kinds)
    if len(kinds) == 1:
        return _of_kind(walk, kinds[0], values)
    if len(kinds) > _KINDS:
        return _one_by_one(walk, values)
    groups: dict[Any, int] = {}
    number = {kind: groups.setdefault(_atoms if kind in _ATOMS else kind, len(groups)) for kind in kinds}
    codes = bytes(map(number.__getitem__, types))
    walk.buf += b"k%d:" % len(codes)
    walk.buf += codes
    apart = True
    for kind, code in groups.items():
        members = [value for value, own in zip(values, codes, strict=True) if own == code]
        apart &= _atoms(walk, members, kinds) if kind is _atoms else _of_kind(walk, kind, members)
    return apart


def _of_kind(walk: Walk, kind: type, values: list[Any]) -> bool:
    handler = _BY_KIND.get(kind)
    if handler is not None:
        return handler(walk, values)
    if _is_plain(kind):
        return _instances(walk, kind, values)
    return _one_by_one(walk, values)


def _one_by_one(walk: Walk, values: list[Any]) -> bool:
    walk.buf += b"v%d:" % len(values)
    for value in values:
        walk.visit(value)
    return False


def _numbered(walk: Walk, values: list[Any]) -> bool:
    """Number nodes that are met for the first time; False, and nothing done, if any was met before."""
    addresses = list(map(id, values))
    memo, first = walk.memo, len(walk.nodes)
    if len(set(addresses)) != len(addresses) or not memo.keys().isdisjoint(addresses):
        return False
    memo.update(zip(addresses, range(first, first + len(addresses)), strict=True))
    walk.nodes += addresses
    return True


def _atoms(walk: Walk, values: list[Any], kinds: list[type]) -> bool:
    if nans.any_nan(values, kinds):
        walk.marked = True
        walk.buf += b"n"
        for value in values:
            if type(value) is float and value != value:
                walk.buf += nans.name(value)[:1].encode() or b"-"
    walk.buf += b"m"
    walk.buf += marshal.dumps(values, 2)
    return True


def _lengths(walk: Walk, values: list[Any]) -> None:
    walk.buf += marshal.dumps(list(map(len, values)), 2)


def _strings(walk: Walk, values: list[Any]) -> bool:
    text = "".join(values).encode("utf-8", "surrogatepass")
    walk.buf += b"s"
    _lengths(walk, values)
    walk.buf += b"%d:" % len(text)
    walk.buf += text
    return True


def _tuples(walk: Walk, values: list[Any]) -> bool:
    walk.buf += b"("
    _lengths(walk, values)
    return _column(walk, list(chain.from_iterable(values)))


def _lists(walk: Walk, values: list[Any]) -> bool:
    if not _numbered(walk, values):
        return _one_by_one(walk, values)
    walk.buf += b"["
    _lengths(walk, values)
    return _column(walk, list(chain.from_iterable(values)))


def _dicts(walk: Walk, values: list[Any]) -> bool:
    namespace = walk.world is not None and any(map(walk.world.is_namespace, values))
    if namespace or not _numbered(walk, values):
        return _one_by_one(walk, values)
    walk.buf += b"{"
    return _keys_and_values(walk, values)


def _keys_and_values(walk: Walk, mappings: list[dict[Any, Any]]) -> bool:
    _lengths(walk, mappings)
    apart = _column(walk, list(chain.from_iterable(mappings)))
    return _column(walk, list(chain.from_iterable(map(dict.values, mappings)))) and apart


def _instances(walk: Walk, cls: type, values: list[Any]) -> bool:
    """Instances of one class of the notebook, attribute by attribute: as ``kinds.instance`` adds one."""
    from nbrewind.flow import kinds

    if walk.world is not None and walk.world.has_handles(cls):
        return _one_by_one(walk, values)
    attributes: list[dict[str, Any]] = list(map(attrgetter("__dict__"), values))
    if (
        not {str}.issuperset(map(type, chain.from_iterable(attributes)))
        or any_held_elsewhere(attributes)
        or not _numbered(walk, values)
    ):
        return _one_by_one(walk, values)
    walk.buf += b"o"
    walk.visit(cls)
    if hasattr(cls, "__del__"):
        walk.finaliser = True
    if any(map(weakref.getweakrefcount, values)):
        for value in values:
            kinds.look_for_watchers(walk, value)
    shapes = list(map(tuple, attributes))
    known = list(dict.fromkeys(shapes))
    if len(known) > _SHAPES:
        walk.buf += b"~"
        return _keys_and_values(walk, attributes)
    walk.buf += b"%d:" % len(known)
    if len(known) > 1:
        walk.buf += bytes(map({shape: n for n, shape in enumerate(known)}.__getitem__, shapes))
    apart = True
    for shape in known:
        same = attributes
        if len(known) > 1:
            same = [one for one, own in zip(attributes, shapes, strict=True) if own == shape]
        _strings(walk, list(shape))
        for name in shape:
            apart &= _column(walk, list(map(itemgetter(name), same)))
    return apart


_PLAIN: WeakKeyDictionary[type, bool] = WeakKeyDictionary()


def _is_plain(cls: type) -> bool:
    """Whether instances of a class are their attributes and nothing else."""
    from nbrewind.flow import kinds

    known = _PLAIN.get(cls)
    if known is None:
        known = _PLAIN[cls] = (
            kinds.is_instance_kind(cls)
            and bool(cls.__dictoffset__)
            and kinds.payload_base(cls) is None
            and not kinds.foreign_base(cls)
            and not any("__slots__" in vars(parent) or _hides_attributes(parent) for parent in cls.__mro__)
            and kinds.special(cls) is None
            and codecs.handler(cls) is None
        )
    return known


def _forget() -> None:
    _PLAIN.clear()


codecs.when_changed.append(_forget)


def _hides_attributes(cls: type) -> bool:
    """Whether the author of a class put something of his own in the place of its instances' dict."""
    own = vars(cls).get("__dict__")
    return own is not None and not isinstance(own, GetSetDescriptorType)


_BY_KIND: dict[type, Callable[[Walk, list[Any]], bool]] = {
    str: _strings,
    tuple: _tuples,
    list: _lists,
    dict: _dicts,
}
