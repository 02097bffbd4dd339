"""Objects of which a process has one: a name for one of them must not come back as a copy.

``paths = sys.path`` and ``context = decimal.getcontext()`` are ordinary values to look at, but
what later cells do to them they do to the process.
"""

from __future__ import annotations

import contextvars
import sys
import warnings
from typing import Any


def single(value: Any) -> str:
    """What people call the object of the process that ``value`` is; empty for all others."""
    if type(value) is list:
        for name in ("path", "argv", "meta_path", "path_hooks"):
            if value is getattr(sys, name):
                return f"sys.{name}"
        return "warnings.filters" if value is warnings.filters else ""
    if type(value) is dict:
        return "sys.modules" if value is sys.modules else ""
    decimal = sys.modules.get("decimal")
    if decimal is not None and type(value) is decimal.Context:
        for variable, context in contextvars.copy_context().items():
            if variable.name == "decimal_context" and context is value:
                return "the present context of decimal"
    return ""
