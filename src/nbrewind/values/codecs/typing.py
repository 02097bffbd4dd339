"""Type variables and new types of the notebook: pickle knows them only by their names there."""

from __future__ import annotations

import sys
import typing
from typing import Any

from nbrewind.flow.codecs import Codec

_LATER = ("infer_variance", "default")
"""Arguments that later Pythons have."""


def _importable(value: Any) -> bool:
    """Whether a library holds it under its name: it is that one then."""
    module = sys.modules.get(value.__module__)
    return value.__module__ != "__main__" and getattr(module, value.__name__, None) is value


class Variable(Codec):
    """``TypeVar``."""

    name = "typing.TypeVar"
    types = (typing.TypeVar,)

    def state(self, value: Any) -> Any:
        """The arguments of its call, and its module."""
        if _importable(value):
            return NotImplemented
        options = {"bound": value.__bound__, "covariant": value.__covariant__}
        options["contravariant"] = value.__contravariant__
        for name in _LATER:
            if hasattr(value, f"__{name}__"):
                options[name] = getattr(value, f"__{name}__")
        return value.__name__, value.__constraints__, options, value.__module__

    def rebuild(self, cls: type, state: Any) -> Any:
        """The same call again, as far as this Python knows its arguments."""
        name, constraints, options, module = state
        known = {key: held for key, held in options.items() if key not in _LATER or _has(cls, key)}
        made: Any = cls
        made = made(name, *constraints, **known)
        made.__module__ = module
        return made


class NewType(Codec):
    """``NewType``."""

    name = "typing.NewType"
    types = (typing.NewType,)

    def state(self, value: Any) -> Any:
        """All that it holds."""
        return NotImplemented if _importable(value) else dict(vars(value))

    def fill(self, value: Any, state: Any) -> None:
        """Set it."""
        vars(value).update(state)


def _has(cls: type, name: str) -> bool:
    return hasattr(cls, f"__{name}__")


codecs = (Variable, NewType)
