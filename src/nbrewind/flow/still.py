"""Looks at values without running code of theirs.

``getattr(value, name, default)`` calls an author's ``__getattr__``, which may raise anything and change what
it likes (``__getattr__ = dict.__getitem__`` raises ``KeyError``); ``isinstance`` asks a value for its
``__class__``, and a weak proxy whose object is gone raises ``ReferenceError``.
"""

from __future__ import annotations

from types import CodeType, FunctionType, MethodType
from typing import Any


def own_dict(value: Any) -> dict[str, Any] | None:
    """A value's ``__dict__``; None if it has none."""
    try:
        found = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return None
    return found if isinstance(found, dict) else None


def code_of(value: Any) -> CodeType | None:
    """The code of a function or bound method written in Python; None for anything else."""
    if type(value) is MethodType:
        value = value.__func__
    return value.__code__ if type(value) is FunctionType else None
