"""Objects of which a process has one: a reference to one of them must not come back as a copy.

``paths = sys.path``, ``self.env = os.environ`` and the ``__builtins__`` that ``exec`` puts into its namespace
are ordinary values to look at, but what later cells do to them they do to the process.  What they hold is
the process's own state, which is recorded as such (R7, R8): values refer to them by place.
"""

from __future__ import annotations

import contextvars
import os
import sys
import warnings
from typing import Any

_LISTS = ("path", "argv", "meta_path", "path_hooks")
_MODULE = "vars:"
MARKED_BY = "lib:argparse"
"""What a value with words that are told apart by identity depends on."""


def _kept() -> dict[str, Any]:
    found = {f"sys.{name}": getattr(sys, name) for name in _LISTS}
    found |= {"warnings.filters": warnings.filters, "sys.modules": sys.modules, "os.environ": os.environ}
    return found


def table() -> dict[int, str]:
    """The places of the process's lists and dicts, by address."""
    return {id(value): name for name, value in _kept().items()}


def place(value: Any) -> str:
    """Where the process keeps a list, dict or word; empty for all others."""
    kind = type(value)
    if kind is str:
        argparse = sys.modules.get("argparse")
        return "argparse.SUPPRESS" if argparse is not None and value is argparse.SUPPRESS else ""
    if kind is dict and "__spec__" in value:
        name = value.get("__name__")
        module = sys.modules.get(name) if isinstance(name, str) and name != "__main__" else None
        return _MODULE + str(name) if module is not None and vars(module) is value else ""
    return table().get(id(value), "") if kind is list or kind is dict else ""


def module_of(place: str) -> str:
    """The module whose attributes a place stands for; empty for other places."""
    return place.removeprefix(_MODULE) if place.startswith(_MODULE) else ""


def at(place: str) -> Any:
    """What this process has at a place.

    Raises:
        LookupError: there is no such place, or nothing is there.
    """
    if place == "argparse.SUPPRESS":
        import argparse

        return argparse.SUPPRESS
    if place.startswith(_MODULE):
        __import__(module_of(place))
        return vars(sys.modules[module_of(place)])
    return _kept()[place]


def present_context(value: Any) -> bool:
    """Whether this is the context that decimal uses now."""
    decimal = sys.modules.get("decimal")
    if decimal is None or type(value) is not decimal.Context:
        return False
    return any(
        variable.name == "decimal_context" and context is value
        for variable, context in contextvars.copy_context().items()
    )
