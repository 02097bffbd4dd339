"""What a class of the notebook is made of: the entries of its dict that are its author's (R9).

Enumerations are their members, what these keep, and the methods that no ``enum`` gave them.
"""

from __future__ import annotations

import enum
from types import FunctionType
from typing import Any

CLASS_NOISE = frozenset(
    {
        "__dict__",
        "__weakref__",
        "__module__",
        "__slotnames__",
        "_abc_impl",
        "__abstractmethods__",
        "__static_attributes__",
        "__firstlineno__",
        "__annotations_cache__",
        "__annotate_func__",
    }
)
"""Entries of a class's dict that the interpreter or pickling put there."""

PLACES = ("__firstlineno__", "__static_attributes__")
"""Entries that the compiler of Python 3.13 writes: where a class stands is kept, but is not its content."""


_ENUM_NOISE = frozenset(
    {
        "_new_member_",
        "__new__",
        "_use_args_",
        "_member_names_",
        "_member_map_",
        "_value2member_map_",
        "_unhashable_values_",
        "_unhashable_values_map_",
        "_hashable_values_",
        "_member_type_",
        "_value_repr_",
        "__new_member__",
        "_flag_mask_",
        "_singles_mask_",
        "_all_bits_",
        "_boundary_",
        "_inverted_",
        "_generate_next_value_",
        "__reduce_ex__",
        "__repr__",
        "__str__",
        "__format__",
    }
)


_MEMBER_NOISE = frozenset({"_value_", "_name_", "__objclass__", "_sort_order_"})
"""Attributes that every member of an enumeration has."""


def member_state(cls: type[enum.Enum]) -> list[tuple[str, dict[str, Any]]]:
    """What the author's code keeps in members, by name; what stays as it is made is None, at its place."""
    kept = []
    for name, member in cls.__members__.items():
        fixed = _MEMBER_NOISE - {"_value_"} if type(member._value_) in _CHANGEABLE else _MEMBER_NOISE
        state = {key: None if key in fixed else value for key, value in vars(member).items()}
        if state.keys() - fixed:
            kept.append((name, state))
    return kept


_CHANGEABLE = (list, dict, set, bytearray)


def _enum_items(cls: type[enum.Enum]) -> list[tuple[str, Any]]:
    """Members by value and the methods of the author; what EnumType adds is not content."""
    members = [(name, member._value_) for name, member in cls.__members__.items()]
    own = [
        (name, value)
        for name, value in cls.__dict__.items()
        if (name not in _ENUM_NOISE or _by_author(value))
        and name not in CLASS_NOISE
        and getattr(value, "__module__", "") != "enum"
        and name not in cls.__members__
    ]
    return members + own


def _by_author(value: Any) -> bool:
    kinds = (FunctionType, staticmethod, classmethod)
    return isinstance(value, kinds) and value.__module__ not in ("enum", "builtins")


def class_items(cls: type) -> list[tuple[str, Any]]:
    """The entries of a class's own dict that are its content, in order (order is content)."""
    if issubclass(cls, enum.Enum):
        return _enum_items(cls)
    slots = slot_names(cls)
    return [
        (name, value)
        for name, value in cls.__dict__.items()
        if name not in CLASS_NOISE and not (name in slots and type(value).__name__ == "member_descriptor")
    ]


def slot_names(cls: type) -> tuple[str, ...]:
    """The names that a class's own statement gives slots."""
    slots = cls.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)
