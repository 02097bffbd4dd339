"""Codecs: how values of a library's types are compared and stored where the general rules do not fit.

A codec is found by entry point (group ``nbrewind.codecs``) when the first value of its package is met; the
package is imported by then, so nothing is imported for the notebook's sake.  docs/codecs.md has an example.
"""

from __future__ import annotations

import sys
from abc import ABC
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

from nbrewind.flow.code import hash_bytes

if TYPE_CHECKING:
    from nbrewind.flow.digest import Handler, Walk

GROUP = "nbrewind.codecs"
_OWN = tuple(
    EntryPoint(module, f"nbrewind.values.codecs.{value}", GROUP)
    for module, value in {
        "PIL": "pil:Image",
        "builtins": "iterators:codecs",
        "dataclasses": "dataclasses:Mark",
        "joblib": "joblib:Settings",
        "matplotlib.cbook": "matplotlib:Callbacks",
        "networkx": "networkx:Graph",
        "numpy.ma": "masked:Masked",
        "pandas.core": "pandas:codecs",
        "polars": "polars:codecs",
        "pyarrow": "arrow:Buffer",
        "sklearn.metrics": "sklearn_metrics:Distance",
        "sklearn.neighbors": "sklearn_neighbors:NeighbourTree",
        "sklearn.tree": "sklearn_tree:DecisionTree",
        "sympy": "sympy:codecs",
        "torch": "torch:codecs",
        "typing": "typing:codecs",
        "xarray": "xarray:codecs",
    }.items()
)
"""The codecs that come with this package."""


class Codec(ABC):
    """The treatment of some types: each method has a default, and a codec says only what is special.

    What a method returns is treated like any other value: it may hold arrays, functions, values of other
    codecs, objects shared with the rest of the notebook.  A value whose method raises cannot be stored.
    Instances are made once per process.
    """

    name: ClassVar[str]
    """Names the codec in images and digests, such as ``mypackage.Grid``.  Never change it."""
    version: ClassVar[int] = 1
    """To be raised when ``content`` or ``state`` changes: what was recorded before is no hit then."""
    types: ClassVar[tuple[type, ...]]
    """The types treated."""
    subclasses: ClassVar[bool] = False
    """Whether classes that extend them are treated too, also those of the notebook."""
    immutable: ClassVar[bool] = False
    """Whether no cell can change a value: names that share one do not belong together then."""
    derived: ClassVar[bool] = False
    """Whether values can be stored but not compared: the version of one is where it comes from."""

    def cannot_store(self, value: Any) -> str:
        """Why this value cannot be stored, as a phrase; empty if it can."""
        return ""

    def content(self, value: Any) -> Any:
        """All that a cell could see of the value.  Mutable parts must be the parts themselves, no copies.

        ``NotImplemented`` stands for the general rule.
        """
        return self.state(value)

    def state(self, value: Any) -> Any:
        """What ``rebuild`` or ``fill`` needs.  It must not lead back to the value if ``rebuild`` is there.

        ``NotImplemented`` stands for the general rule: as pickle would store it.
        """
        return NotImplemented

    def rebuild(self, cls: type, state: Any) -> Any:
        """The value again, in another process."""
        raise NotImplementedError(f"{self.name} gives a state and cannot rebuild from it")

    def fill(self, value: Any, state: Any) -> None:
        """Instead of ``rebuild``, where a state may lead back to a value: ``cls.__new__`` made it."""
        raise NotImplementedError(f"{self.name} gives a state and cannot fill a value with it")

    def memory(self, value: Any) -> Iterable[tuple[int, int]]:
        """Address and size of memory that may belong to an array, where pickling would copy it."""
        return ()

    def untold(self, value: Any) -> Iterable[Any]:
        """Objects that a value shares with others, and does not tell Python's collector: asked of what is
        held by something that cannot be stored.
        """
        return ()


class _Refusal(Codec):
    """Stands for a codec that cannot be loaded: the general rules may be wrong for its package."""

    types = ()

    def __init__(self, package: str, reason: str) -> None:
        self.name = package  # type: ignore[misc]
        self.reason = reason

    def cannot_store(self, value: Any) -> str:
        return self.reason


_REGISTERED: list[Codec] = []
_REFUSED: dict[str, _Refusal] = {}
_POINTS: dict[str, list[EntryPoint]] = {}
"""What is still to be loaded, by package."""
_FOUND: WeakKeyDictionary[type, Codec | None] = WeakKeyDictionary()
when_changed: list[Callable[[], None]] = []
"""Called when a codec is registered: what others remember of types may be wrong then."""


def register(codec: Codec) -> None:
    """Use a codec from now on, before those registered earlier; for codecs without an entry point."""
    _REGISTERED[:] = [codec, *(one for one in _REGISTERED if one.name != codec.name)]
    _FOUND.clear()
    for forget in when_changed:
        forget()


def fills(codec: Codec) -> bool:
    """Whether values are made first and filled then."""
    return type(codec).fill is not Codec.fill


def find(cls: type) -> Codec | None:
    """The codec of a type, None if the general rules hold."""
    try:
        return _FOUND[cls]
    except KeyError:
        found = _FOUND[cls] = _search(cls)
        return found


def _search(cls: type) -> Codec | None:
    for parent in cls.__mro__:
        refusal = _load(str(getattr(parent, "__module__", "")))
        if refusal is not None:
            return refusal
    for parent in cls.__mro__:
        for codec in _REGISTERED:
            if parent in codec.types and (parent is cls or codec.subclasses):
                return codec
    return None


@lru_cache(maxsize=4096)
def _load(module: str) -> _Refusal | None:
    """Load the codecs whose entry points are named after a module or one of its packages."""
    package = module.partition(".")[0]
    standard = package in sys.stdlib_module_names and package not in ("builtins", "dataclasses", "typing")
    if standard or package in ("__main__", "nbrewind"):
        return None
    if not _POINTS:
        _POINTS[""] = []
        for point in (*_OWN, *entry_points(group=GROUP)):
            # The own ones come first, so that a third party's stands before them.
            _POINTS.setdefault(point.name, []).append(point)
    parts = module.split(".")
    for name in [".".join(parts[:length]) for length in range(1, len(parts) + 1)]:
        try:
            for point in _POINTS.pop(name, ()):
                for codec in _made(point):
                    register(codec)
        except Exception as error:  # noqa: BLE001 - a third party's import may raise anything; it is told
            _REFUSED[name] = _Refusal(name, f"the codec for {name} cannot be loaded ({error})")
        if name in _REFUSED:
            return _REFUSED[name]
    return None


def _made(point: EntryPoint) -> list[Codec]:
    """The codecs of an entry point, which is a class, an instance, or a tuple of them.

    Raises:
        TypeError: it is something else.
    """
    given = point.load()
    several = given if isinstance(given, tuple | list) else (given,)
    made = [one() if isinstance(one, type) else one for one in several]
    if not all(isinstance(one, Codec) for one in made):
        raise TypeError(f"{point.value} gives no nbrewind.values.Codec")
    return made


def handler(cls: type) -> Handler | None:
    """How a walk meets values of a type that has a codec, else None."""
    codec = find(cls)
    return None if codec is None else partial(_visit, codec)


def untold(walk: Walk, obj: Any) -> list[Any]:
    """What a value's codec knows to be behind it; found by its type, so that no code of the user runs."""
    codec = find(type(obj))
    if codec is None or type(codec).untold is Codec.untold:
        return []
    try:
        return list(codec.untold(obj))
    except Exception as error:  # noqa: BLE001 - a third party's code may raise anything; the reason is reported
        walk.opaque.setdefault(f"what a {type(obj).__name__} shares is unknown ({type(error).__name__})")
        return []


def _visit(codec: Codec, walk: Walk, obj: Any) -> None:
    from nbrewind.flow import digest

    identity = walk.world.handle(obj) if walk.world is not None else None
    if identity is not None:
        walk.handle(obj, identity)
        return
    parts: Any = None
    try:
        reason = codec.cannot_store(obj)
        if not reason and not codec.derived:
            parts = codec.content(obj)
        if type(codec).memory is not Codec.memory:
            for address, size in codec.memory(obj):
                walk.borrow(address, size)
    except Exception as error:  # noqa: BLE001 - a third party's code may raise anything; the reason is reported
        reason = f"a {type(obj).__name__} cannot be stored ({digest.short(error)})"
    if reason:
        walk.stop(obj, reason)
    elif codec.derived:
        if walk.number(obj):
            walk.text(b"~", f"{codec.name} {codec.version}")
            walk.derived = True
            walk.visit(type(obj))
            walk.reach(obj)
    elif parts is NotImplemented:
        digest.by_general_rule(walk, obj)
    elif codec.immutable:
        _by_value(codec, walk, obj, parts)
    elif walk.number(obj):
        _add(codec, walk, obj, parts)


def _add(codec: Codec, walk: Walk, obj: Any, parts: Any) -> None:
    walk.keep.append(parts)
    walk.text(b"c", f"{codec.name} {codec.version}")
    walk.visit(type(obj))
    walk.visit(parts)


def _by_value(codec: Codec, walk: Walk, obj: Any, parts: Any) -> None:
    """A value without identity: met again it is its hash, since what it shares with others can be deep."""
    known = walk.known.get(id(obj))
    if known is None:
        start = len(walk.buf)
        _add(codec, walk, obj, parts)
        walk.keep.append(obj)
        known = walk.known[id(obj)] = hash_bytes(bytes(walk.buf[start:]))
        del walk.buf[start:]
    walk.text(b"h", known)
