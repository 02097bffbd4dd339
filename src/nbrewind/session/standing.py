"""One object of a class takes the place of its equal, in all that refers to the other one (R5, R9).

Cells that run again make another object of a class that they define.  Only the collector knows who refers
to one; no closure here may hold what is replaced, since its cell would be one of those found.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterable
from types import CellType, FunctionType, MemberDescriptorType, ModuleType
from typing import Any

from nbrewind.flow.still import own_dict


def stand_in(kept: type, made: type, classes: Iterable[type]) -> None:
    """What the cells have made refers to one object of a class, not to its equal that they made (R9)."""
    for one in classes:
        if made in one.__bases__:
            type.__setattr__(one, "__bases__", tuple(_other(one.__bases__, made, kept)))
        for name, value in list(vars(one).items()):
            if value is made:
                type.__setattr__(one, name, kept)
    for referrer in gc.get_referrers(made):
        if type(referrer) is not dict or not {"__module__", "__doc__"} <= referrer.keys():
            _replace(referrer, made, kept)
    for ref in (*weakref.getweakrefs(made),):
        _lead_to(kept, made, ref)
    reclass(made, kept)


def reclass(old: type, new: type) -> None:
    """Instances and subclasses of one object of a class take another, equal one (R5).

    Never by what the author does when attributes are set.
    """
    subclasses: list[type] = type.__subclasses__(old)
    for one in subclasses:
        type.__setattr__(one, "__bases__", tuple(_other(one.__bases__, old, new)))
    for obj in gc.get_referrers(old):
        if type(obj) is old:
            vars(object)["__class__"].__set__(obj, new)


def depth(named: tuple[str, type]) -> int:
    """Bases go first: an instance of a class with slots changes it only for one with the very same base."""
    return len(named[1].__mro__)


def _lead_to(kept: type, made: type, ref: Any) -> None:
    """Whoever holds a weak reference to one object of a class gets one to its equal."""
    call: Any = getattr(ref, "__callback__", None)
    if type(ref) not in (weakref.ref, weakref.KeyedRef) or getattr(call, "__name__", "") == "_destroy":
        return  # what an abstract class keeps of its subclasses
    fresh = (
        weakref.KeyedRef(kept, call, ref.key) if type(ref) is weakref.KeyedRef else weakref.ref(kept, call)
    )
    for referrer in gc.get_referrers(ref):
        if type(referrer) is not dict or id(made) not in referrer:  # else a class keeps its subclasses in it
            _replace(referrer, ref, fresh)


def _replace(referrer: Any, old: Any, new: Any) -> None:
    kind = type(referrer)
    if kind is list:
        referrer[:] = _other(referrer, old, new)
    elif kind is CellType:
        referrer.cell_contents = new
    elif kind is set:
        referrer.remove(old)
        referrer.add(new)
    elif kind is dict:
        keys, values = _other(referrer, old, new), _other(referrer.values(), old, new)
        referrer.clear()
        referrer.update(zip(keys, values, strict=True))
    elif kind is tuple or kind is frozenset:
        fresh = kind(_other(referrer, old, new))
        for holder in gc.get_referrers(referrer):
            _replace(holder, referrer, fresh)
    elif kind is FunctionType:
        if referrer.__defaults__ is old:
            referrer.__defaults__ = new
    elif kind.__flags__ & _HEAP and not issubclass(kind, type | ModuleType):
        _replace_attributes(referrer, old, new)


_HEAP = 1 << 9
"""Of ``__flags__``: a class that was made by a class statement, or may have been."""


def _replace_attributes(referrer: Any, old: Any, new: Any) -> None:
    held = own_dict(referrer)
    for name, value in list(held.items()) if held is not None else ():
        if value is old:
            held[name] = new  # type: ignore[index]
    for parent in type(referrer).__mro__:
        for member in vars(parent).values():
            if type(member) is MemberDescriptorType and _slot(member, referrer) is old:
                member.__set__(referrer, new)


def _slot(member: Any, obj: Any) -> Any:
    try:
        return member.__get__(obj)
    except AttributeError:
        return None


def _other(values: Iterable[Any], old: Any, new: Any) -> list[Any]:
    return [new if value is old else value for value in values]
