"""How instances are stored so that they come back whole: attributes, slots, the very dict that others hold.

Pickle's own way is taken where it is exact.  A notebook's class is never asked how it is pickled,
since that may lose state; types written in C are, and what they leave out is added.
"""

from __future__ import annotations

import copyreg
import types
import weakref
from typing import Any

from nbrewind.errors import NotStorable
from nbrewind.flow import kinds
from nbrewind.flow.dicts import held_elsewhere
from nbrewind.flow.losses import PICKLING
from nbrewind.flow.still import own_dict
from nbrewind.values import builders
from nbrewind.values.worlds import DumpWorld


def instance(world: DumpWorld, obj: Any) -> Any:
    """An instance of a class of the notebook or of its helper modules."""
    cls = type(obj)
    handle = world.handle(obj)
    if handle is not None:
        return (builders.load_handle, (handle, *world.handle_recipe(obj)))
    if is_plain(cls):
        return held(obj)
    if kinds.foreign_base(cls):
        return _foreign(obj, cls)
    base = kinds.payload_base(cls)
    payload: Any = None
    state = _own_state(obj)
    if base is dict:
        state["pairs"] = dict(dict.items(obj))
    elif base is list:
        state["items"] = list(list.__iter__(obj))
    elif base is set:
        state["members"] = list(set.__iter__(obj))
    elif base is bytearray:
        state["bytes"] = bytes(obj)
    elif base is BaseException:
        payload = ()
        state["args"] = obj.args
        behind = kinds.came_from(obj)
        if behind is not None:
            state["behind"] = behind
    elif base is not None:
        payload = base.__new__(base, obj)
    return builders.make_instance, (cls, base, payload), state, None, None, builders.set_instance


def attributes_of(mapping: dict[str, Any]) -> dict[str, Any]:
    """A dict of an object as it is to be stored: itself where something else refers to it."""
    return mapping if held_elsewhere(mapping) else dict(mapping)


def held(obj: Any) -> Any:
    """Pickle's own way; but an object whose dict has other holders takes the very dict that they have."""
    if not _by_default(type(obj)):
        return NotImplemented
    attributes = obj.__dict__
    if type(attributes) is not dict or not held_elsewhere(attributes):
        return NotImplemented
    reduced = obj.__reduce_ex__(5)
    if not isinstance(reduced, tuple) or len(reduced) < 3 or reduced[2] is not attributes:
        return NotImplemented
    if type(obj) is types.SimpleNamespace:
        raise NotStorable(f"something else holds the dict of attributes of a {type(obj).__name__}")
    return (*(*reduced, None, None)[:5], builders.set_dict)


def exception(world: DumpWorld, obj: BaseException) -> Any:
    """An exception of Python or of a package, with what it came from."""
    behind = kinds.came_from(obj)
    if behind is None:
        return handle_or_default(world, obj)
    make, args, state, items, pairs, setter = (*obj.__reduce_ex__(5), None, None, None, None)[:6]
    if items is not None or pairs is not None or setter is not None:
        raise NotStorable(f"a {type(obj).__name__} with a pickle of its own came from another exception")
    return make, args, (state, behind), None, None, builders.set_exception


_BY_DEFAULT: weakref.WeakKeyDictionary[type, bool] = weakref.WeakKeyDictionary()


def _by_default(cls: type) -> bool:
    """Whether the state of instances is their dict, by pickle's default; others may not even have one yet."""
    known = _BY_DEFAULT.get(cls)
    if known is None:
        members: Any = cls
        plain = (
            members.__reduce_ex__ is object.__reduce_ex__
            and members.__reduce__ is object.__reduce__
            and getattr(members, "__getstate__", None) is getattr(object, "__getstate__", None)
            and not hasattr(cls, "__setstate__")
        )
        known = _BY_DEFAULT[cls] = bool(cls.__dictoffset__) and (plain or cls is types.SimpleNamespace)
    return known


def _foreign(obj: Any, cls: type) -> Any:
    """An instance of a notebook class over a class of a package that has a pickle of its own.

    It is made by that class, past what the notebook's class does when one is made; and it keeps the
    attributes that pickles of types written in C leave out.
    """
    reduced = obj.__reduce_ex__(5)
    own = [vars(parent) for parent in cls.__mro__ if kinds.is_instance_kind(parent)]
    if not isinstance(reduced, tuple) or any(name in names for names in own for name in PICKLING):
        return NotImplemented
    make, args, state, items, pairs, setter = (*reduced, None, None, None, None)[:6]
    parent = kinds.foreign_parent(cls)
    if make is cls:
        make, args = builders.make_by_parent, (cls, parent, args, True)
    elif make is copyreg.__newobj__ and args[0] is cls:  # type: ignore[attr-defined]
        make, args = builders.make_by_parent, (cls, parent, args[1:], False)
    if state is None:
        state = _own_state(obj) or None
        setter = None if state is None else builders.set_instance
    elif state is own_dict(obj) and held_elsewhere(state):
        setter = builders.set_dict
    return make, args, state, items, pairs, setter


def _own_state(obj: Any) -> dict[str, Any]:
    """Attributes and slots of an instance."""
    state: dict[str, Any] = {}
    attributes = own_dict(obj)
    if attributes is not None and held_elsewhere(attributes):
        state["dict"], state["shared"] = attributes, True
    elif attributes:
        state["dict"] = dict(attributes)
    slots = kinds.slot_values(obj)
    if slots:
        state["slots"] = slots
    return state


# pickle asks instances for `__getnewargs__`, and empty ones for `__setstate__`: `__getattr__` would answer.
_SPECIAL = (*PICKLING, "__new__", "__slots__", "__getattr__", "__getattribute__")
_PLAIN: weakref.WeakKeyDictionary[type, bool] = weakref.WeakKeyDictionary()


def is_plain(cls: type) -> bool:
    """Whether pickle's own way (all in C) is exact: no method of the class takes part."""
    known = _PLAIN.get(cls)
    if known is None:
        known = (
            all(
                parent is object or not any(name in parent.__dict__ for name in _SPECIAL)
                for parent in cls.__mro__
            )
            and kinds.payload_base(cls) is None
            and not kinds.foreign_base(cls)
        )
        _PLAIN[cls] = known
    return known


def handle_of(world: DumpWorld, obj: Any) -> Any:
    """A client, a pool, a stream of the kernel: by identity and recipe (R4)."""
    identity = world.handle(obj)
    if identity is None:
        return NotImplemented
    return (builders.load_handle, (identity, *world.handle_recipe(obj)))


def handle_or_default(world: DumpWorld, obj: Any) -> Any:
    """An object of a package that needs no reducer of ours."""
    handle = handle_of(world, obj)
    if handle is not NotImplemented:
        return handle
    if getattr(obj, "__module__", None) == "__main__" and isinstance(obj.__reduce_ex__(5), str):
        # Loading that would look the name up in the notebook, and load what it finds there: this.
        raise NotStorable(f"a {type(obj).__name__} is stored by its name in the notebook only")
    return held(obj)
