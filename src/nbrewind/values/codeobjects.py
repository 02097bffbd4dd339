"""How functions, classes, modules and methods of a notebook are stored: as text, by name, or by identity."""

from __future__ import annotations

import enum
import itertools
import marshal
import sys
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from nbrewind.errors import NotStorable
from nbrewind.flow import classes
from nbrewind.flow import code as codes
from nbrewind.flow.dicts import held_elsewhere
from nbrewind.flow.names import is_own_class, reference
from nbrewind.flow.namespace import MainModule
from nbrewind.values import builders
from nbrewind.values.instances import attributes_of
from nbrewind.values.worlds import DumpWorld

_OWN_GLOBALS = ("nbrewind.", "builtins", "copyreg", "_codecs")
"""Modules whose names pickle resolves itself: what the image format is made of."""


def named(obj: Any) -> Any:
    """A reference by name, resolved against the baseline so that a patch does not change it (R8)."""
    found = reference(obj)
    if found is None:
        return None
    if found[0].startswith(_OWN_GLOBALS):
        return NotImplemented
    return builders.load_reference, found


def function(world: DumpWorld, obj: FunctionType) -> Any:
    """A function by the text of its cell, its closure, defaults and attributes."""
    by_name = named(obj)
    if by_name is not None:
        return by_name
    module: str | None = None
    if not world.is_namespace(obj.__globals__):
        module = obj.__globals__.get("__name__")
        owner = sys.modules.get(module) if isinstance(module, str) else None
        if owner is None or vars(owner) is not obj.__globals__:
            raise NotStorable(f"the function {obj.__qualname__} has globals of its own")
    attributes = obj.__dict__
    cells = obj.__closure__ or ()
    contents = []
    for cell in cells:
        try:
            contents.append(cell.cell_contents)
        except ValueError:
            contents.append(builders._UNSET)
    state = {
        "cells": contents,
        "defaults": obj.__defaults__,
        "kwdefaults": obj.__kwdefaults__,
        "annotations": attributes_of(obj.__annotations__),
        "qualname": obj.__qualname__,
        "module": obj.__module__,
        "doc": obj.__doc__,
        "dict": attributes_of(attributes),
        "shared": held_elsewhere(attributes),
    }
    args = (obj.__code__, obj.__name__, module, cells)
    return builders.make_function, args, state, None, None, builders.set_function


def code(world: DumpWorld, obj: CodeType) -> Any:
    """A code object by its place in the text that it was compiled from."""
    ordinal = builders.locate(obj)
    if ordinal < 0:
        return builders.marshal_code, (sys.version_info[:2], marshal.dumps(obj))
    source = codes.source_of_file(obj.co_filename)
    flags = codes.future_flags(obj)
    return builders.source_code, (
        obj.co_filename,
        source,
        flags,
        obj.co_qualname,
        obj.co_firstlineno,
        ordinal,
    )


def cell(world: DumpWorld, obj: CellType) -> Any:
    """A closure cell, filled by the function that has it."""
    return builders.empty_cell, ()


def class_(world: DumpWorld, obj: type) -> Any:
    """A class by name, or by its identity if it is the notebook's."""
    by_name = named(obj)
    if by_name is not None:
        return by_name
    if builders.UNNAMED.get(obj.__name__) is obj:
        return builders.unnamed_type, (obj.__name__,)
    if not is_own_class(obj):
        return NotImplemented
    return builders.load_class, (world.class_root(obj),)


def class_body(cls: type, root: str) -> Any:
    """What a class of the notebook is made of: once in the image of its component."""
    if issubclass(cls, enum.Enum):
        return _enumeration(root, cls)
    if issubclass(cls, tuple) and hasattr(cls, "_make") and cls.__bases__ == (tuple,):
        return _namedtuple(root, cls)
    slots = [name for name in cls.__dict__ if type(cls.__dict__[name]).__name__ == "member_descriptor"]
    items = classes.class_items(cls)
    # Placeholders give the entries of the body their order; the state brings the values, and the rest.
    places = _places(cls)
    named = {"__module__", "__doc__", "__slots__", *places, *(name for name, _ in items)}
    body = _body(cls, slots)
    taken = set(classes.slot_names(cls))  # what a slot's name was bound to later comes with the state
    scope: dict[str, Any] = {name: None for name in body if name in named and name not in taken}
    scope |= places | {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
    for name in ("__slots__", "__doc__"):
        if name in body:
            scope[name] = cls.__dict__[name]
    abstract = cls.__dict__.get("__abstractmethods__")
    state = {
        "items": items,
        "qualname": cls.__qualname__,
        "slots": slots,
        "order": [name for name in cls.__dict__ if name in named or name in slots],
        "noise": sorted(classes.CLASS_NOISE),
        "places": places,
        "abstract": None if abstract is None else sorted(abstract),
    }
    args2 = (root, type(cls), cls.__name__, cls.__bases__, scope)
    return builders.make_class, args2, state, None, None, builders.set_class


def _body(cls: type, slots: list[str]) -> list[str]:
    """The entries that the class statement wrote: those before what making a class adds to every class."""
    names = list(cls.__dict__)
    added = {"__dict__", "__weakref__", *slots}
    return list(itertools.takewhile(lambda name: name not in added, names))


def _places(cls: type) -> dict[str, Any]:
    return {name: cls.__dict__[name] for name in classes.PLACES if name in cls.__dict__}


def _enumeration(root: str, cls: type[enum.Enum]) -> Any:
    items = [(name, value) for name, value in classes.class_items(cls) if (name, value) != ("__doc__", None)]
    members = [(name, member._value_) for name, member in cls.__members__.items()]
    own: dict[str, Any] = {"boundary": cls.__dict__.get("_boundary_")}
    places = _places(cls)
    state = {
        # Methods lead to their class, which is there only when its members are.
        "items": [(name, value) for name, value in items if name not in cls.__members__],
        "order": [name for name in cls.__dict__ if name in places or name not in classes.CLASS_NOISE],
        "places": places,
        "members": classes.member_state(cls),
    }
    if "__new_member__" in cls.__dict__ or any("__init__" in parent.__dict__ for parent in _own_mro(cls)):
        own["parts"] = [_payload(cls, member) for member in cls.__members__.values()]
        makers = ("_new_member_", "__new_member__", "_use_args_")
        state["makers"] = {name: cls.__dict__[name] for name in makers if name in cls.__dict__}
    named = (root, type(cls), cls.__name__, cls.__bases__, cls.__qualname__, cls.__module__)
    return builders.make_enum, (*named, members, [], own), state, None, None, builders.set_enum


def _own_mro(cls: type) -> list[type]:
    return [parent for parent in cls.__mro__ if is_own_class(parent)]


def _payload(cls: type[enum.Enum], member: enum.Enum) -> tuple[Any, ...]:
    """What the data type of an enumeration makes a member from."""
    kind: Any = cls.__dict__["_member_type_"]
    if kind is object:
        return ()
    if kind not in (int, str, float, complex, bytes, tuple):
        raise NotStorable(f"the enumeration {cls.__qualname__} makes its members from {kind.__name__}")
    arguments: tuple[Any, ...] = kind.__getnewargs__(member)
    return arguments


_NAMEDTUPLE_OWN = frozenset(
    {
        "__slots__",
        "_fields",
        "_field_defaults",
        "__new__",
        "_make",
        "_replace",
        "__replace__",
        "__repr__",
        "_asdict",
        "__getnewargs__",
        "__match_args__",
        "__module__",
        "__doc__",
    }
)


def _namedtuple(root: str, cls: Any) -> Any:
    fields = tuple(cls._fields)
    defaults = cls.__new__.__defaults__
    extra = [
        (name, value)
        for name, value in cls.__dict__.items()
        if name not in _NAMEDTUPLE_OWN and name not in fields and name not in classes.CLASS_NOISE
    ]
    extra += _places(cls).items()
    extra.append(("__qualname__", cls.__qualname__))
    extra.append(("__doc__", cls.__doc__))
    annotations = dict(cls.__new__.__annotations__)
    args = (root, cls.__name__, fields, defaults, cls.__module__, annotations)
    return builders.make_namedtuple, args, extra, None, None, builders.set_attributes


def module(world: DumpWorld, obj: ModuleType | MainModule) -> Any:
    """A module by name."""
    if sys.modules.get(obj.__name__) is not obj:
        raise NotStorable(f"module {obj.__name__!r} was made by hand")
    return builders.load_module, (obj.__name__,)


def method(world: DumpWorld, obj: MethodType) -> Any:
    """A bound method by its function and its object, or as what a module has under a name."""
    by_name = named(obj)
    return by_name if by_name is not None else (builders.make_bound, (obj.__func__, obj.__self__))


def builtin(world: DumpWorld, obj: BuiltinFunctionType) -> Any:
    """A function written in C, by name where it has one."""
    owner = obj.__self__
    if owner is None or isinstance(owner, ModuleType):
        by_name = named(obj)
        if by_name is not None:
            return by_name
    return NotImplemented
