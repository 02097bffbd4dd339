"""Pickling that loses what a cell can see: found by making an object again beside the original (A4).

Instances of the notebook's and of local classes are stored attribute by attribute and cannot lose any.  Those
of packages go the way that the package gives them.  Where that way is Python code, its result is looked at:
each attribute of the original must be there again, with the same content.
"""

from __future__ import annotations

import contextlib
import copy
import io
import random
import sys
import warnings
from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType, ModuleType, NoneType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from nbrewind.flow.names import package_of
from nbrewind.flow.still import own_dict

if TYPE_CHECKING:
    from nbrewind.flow.digest import Walk

_KNOWN_WELL = frozenset(
    {"dask", "distributed", "matplotlib", "networkx", "numpy", "pandas", "PIL", "polars", "pyarrow", "scipy"}
) | {"sklearn", "sympy", "torch", "traitlets", "xarray", "IPython", "ipykernel", "mpl_toolkits", "nbrewind"}
"""Packages whose values are tested, or have codecs."""

PICKLING = (
    "__reduce__",
    "__reduce_ex__",
    "__getstate__",
    "__setstate__",
    "__getnewargs__",
    "__getnewargs_ex__",
)
"""Methods by which a class takes part in its pickling."""
_SUSPECT: WeakKeyDictionary[type, bool] = WeakKeyDictionary()


def suspect(cls: type) -> bool:
    """Whether Python code of a package that is not known well takes part in pickling a class."""
    known = _SUSPECT.get(cls)
    if known is None:
        package = package_of(str(cls.__module__))
        own = package not in _KNOWN_WELL and package not in sys.stdlib_module_names
        known = _SUSPECT[cls] = own and any(
            isinstance(parent.__dict__.get(name), FunctionType) for parent in cls.__mro__ for name in PICKLING
        )
    return known


def only_one(obj: Any, depth: int = 3) -> bool:
    """Whether pickling gives this very object: a package's singleton, which joins nothing (R8).

    Only where it holds nothing that can change in place (or singletons, ``depth`` deep): like a module it is
    known by name then, until one of its attributes is set (:func:`changed`).
    """
    if id(obj) in _SINGLETONS:
        return id(obj) not in _CHANGED
    cls = type(obj)
    if not suspect(cls) or hasattr(cls, "__del__"):
        return False
    held = [value for value in attributes(obj).values() if not isinstance(value, _FIXED)]
    if held and not (depth and all(only_one(value, depth - 1) for value in held)):
        return False
    try:
        with _unseen():
            made = obj.__reduce_ex__(4)
            plain = isinstance(made, tuple) and all(isinstance(arg, _FIXED) for arg in made[1])
            alone = plain and not any(made[2:]) and made[0](*made[1]) is obj
    except Exception:  # noqa: BLE001 - a package's code may raise anything; then it is not known by name
        return False
    if alone:
        _SINGLETONS[id(obj)] = (obj, attributes(obj))
    return alone


def singletons(obj: Any) -> set[int]:
    """A singleton and those that it holds, by address."""
    held = [value for value in attributes(obj).values() if id(value) in _SINGLETONS]
    return {id(obj)}.union(*map(singletons, held))


def changed() -> set[int]:
    """Singletons whose attributes were set since they were met, each told once: nodes from now on."""
    found = {
        key
        for key, (obj, held) in _SINGLETONS.items()
        if key not in _CHANGED and [*map(id, held.values())] != [*map(id, attributes(obj).values())]
    }
    _CHANGED.update(found)
    return found


_SINGLETONS: dict[int, tuple[Any, dict[str, Any]]] = {}
"""Those met so far, by address, and what they held then."""
_CHANGED: set[int] = set()


_FIXED = (int, float, complex, str, bytes, NoneType, type, ModuleType, FunctionType, BuiltinFunctionType)


def found(walk: Walk, obj: Any, reduced: tuple[Any, ...]) -> str:
    """What pickling an object loses, as a reason; empty where nothing is lost.

    ``reduced`` is what its own reduce gave.
    """
    if _LOOKED_AT:
        return ""  # a part of what is compared: the walk itself comes to it, and each is looked at once
    name = type(obj).__name__
    if hasattr(type(obj), "__del__"):
        return (
            f"a {name} has a finaliser and pickling of its own"  # a second one might end what the first holds
        )
    _LOOKED_AT.add(id(obj))
    try:
        return _compared(walk, obj, name, reduced)
    except Exception as error:  # noqa: BLE001 - a package's code may raise anything; the reason is reported
        return f"a {name} cannot be made again ({type(error).__name__}: {str(error)[:100]})"
    finally:
        _LOOKED_AT.discard(id(obj))


_LOOKED_AT: set[int] = set()
"""The object that is being compared, by id."""


def _compared(walk: Walk, obj: Any, kind: str, reduced: tuple[Any, ...]) -> str:
    with _unseen():
        made = _again(reduced)
    if made is obj:
        return ""
    walk.keep.append(made)
    if type(made) is not type(obj):
        return f"pickling a {kind} gives a {type(made).__name__}"
    there = attributes(made)
    lost = [
        name
        for name, value in attributes(obj).items()
        if (name in there and not _same(walk, value, there[name]))
        or (name not in there and not _same(walk, value, getattr(type(made), name, None)))
    ]
    return f"pickling a {kind} loses .{', .'.join(sorted(lost)[:3])}" if lost else ""


def _again(reduced: tuple[Any, ...]) -> Any:
    """The object as unpickling would make it, around the same parts."""
    make, args, state, items, pairs, setter = (*reduced, *(None,) * 6)[:6]
    made = make(*args)
    if state is not None:
        given = copy.copy(state)  # what takes it may take it apart
        if isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], dict):
            given = (dict(given[0]), given[1])
        if setter is not None:
            setter(made, given)
        elif hasattr(made, "__setstate__"):
            made.__setstate__(given)
        else:
            plain, slots = given if isinstance(given, tuple) else (given, None)
            vars(made).update(plain or {})
            for name, value in (slots or {}).items():
                setattr(made, name, value)
    for item in items or ():
        made.append(item)
    for key, value in pairs or ():
        made[key] = value
    return made


@contextlib.contextmanager
def _unseen() -> Iterator[None]:
    """Code of a package runs that the notebook did not call: it prints nothing, and draws nothing."""
    state = random.getstate()
    numpy = sys.modules.get("numpy.random")
    drawn = numpy.get_state() if numpy is not None else None
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        random.setstate(state)
        if numpy is not None:
            numpy.set_state(drawn)


def attributes(obj: Any) -> dict[str, Any]:
    from nbrewind.flow import kinds

    return {**(own_dict(obj) or {}), **kinds.slot_values(obj)}


def _same(walk: Walk, one: Any, other: Any) -> bool:
    """Whether two values are the same, or equal, or cannot be compared (a connection, a handle in C)."""
    if one is other:
        return True
    from nbrewind.flow.digest import Walk as Other

    left, right = Other(walk.world, walk.keep), Other(walk.world, walk.keep)
    left.visit(one)
    if left.opaque or left.derived:
        return True
    right.visit(other)
    return not right.opaque and left.digest() == right.digest()
