"""SymPy: expressions cannot be changed, and pickling one evaluates it again (``1 + 2`` comes back as 3)."""

from __future__ import annotations

from typing import Any

import sympy
from sympy.core.function import UndefinedFunction
from sympy.core.singleton import Singleton

from nbrewind.flow.codecs import Codec

_DERIVED = frozenset({"_args", "_assumptions", "_mhash", "__weakref__", "__dict__"})


def _extras(value: Any) -> dict[str, Any]:
    """What an expression holds beside its arguments."""
    found: dict[str, Any] = dict(getattr(value, "__dict__", None) or {})
    for cls in type(value).__mro__:
        names = cls.__dict__.get("__slots__", ())
        for name in (names,) if isinstance(names, str) else names:
            if name not in _DERIVED and hasattr(value, name):
                found[name] = getattr(value, name)
    return found


def _same(made: Any, value: Any) -> bool:
    return type(made) is type(value) and bool(made == value) and made.args == value.args


def _again(reduced: tuple[Any, ...]) -> Any:
    made = reduced[0](*reduced[1])
    if len(reduced) > 2 and reduced[2] is not None:
        made.__setstate__(reduced[2])
    return made


def _unevaluated(cls: type, args: Any, extras: dict[str, Any]) -> Any:
    made: Any = sympy.Basic.__new__(cls, *args)
    for name, held in extras.items():
        object.__setattr__(made, name, held)
    return made


class Expression(Codec):
    """All of ``Basic``: by what makes an equal one again, else by the arguments as they are."""

    name = "sympy.Basic"
    types = (sympy.Basic,)
    subclasses = True
    immutable = True

    def state(self, value: Any) -> Any:
        """The shortest of the ways that give the same again."""
        if isinstance(type(value), Singleton):
            return ()
        reduced = value.__reduce_ex__(4)[:3]
        if _same(_again(reduced), value):
            return reduced
        extras = _extras(value)
        if value.args and _same(_unevaluated(type(value), value.args, extras), value):
            return value.args, extras
        raise ValueError("sympy gives another expression when it is made again")

    def rebuild(self, cls: type, state: Any) -> Any:
        """The expression, from the caches where it is in them."""
        if state == ():
            return cls()
        return _again(state) if callable(state[0]) else _unevaluated(cls, *state)


class Function(Codec):
    """Undefined functions: classes that SymPy makes at run time."""

    name = "sympy.UndefinedFunction"
    types = (UndefinedFunction,)
    immutable = True

    def state(self, value: Any) -> Any:
        """Name, bases, assumptions, and the numbers of arguments."""
        kwargs = dict(value._kwargs)
        if not _equal_functions(UndefinedFunction(value.__name__, value.__bases__, **kwargs), value):
            raise ValueError("sympy gives another function when it is made again")
        return value.__name__, value.__bases__, kwargs

    def rebuild(self, cls: type, state: Any) -> Any:
        """An equal function."""
        name, bases, kwargs = state
        made: Any = cls
        return made(name, bases, **kwargs)


def _equal_functions(made: Any, value: Any) -> bool:
    return bool(made == value) and made._nargs == value._nargs and vars(made).keys() == vars(value).keys()


codecs = (Expression, Function)
