"""Which packages' settings a cell changes past their modules' attributes (R7).

``calendar.setfirstweekday(6)``, ``dask.config.set(...)`` and ``px.defaults.template = "none"`` change what
a package keeps to itself.  Nothing tells where, so such a cell runs at every repeat.  It is known by its
syntax: a function of a module that is named like a setter and is given plain values, or a change of what
an attribute of a module holds.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Callable, Iterator, Set
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from nbrewind.flow.names import is_local_module, is_own_class, package_of

SETTINGS = "settings of "
"""How the label begins; a package follows."""

_SETTER = re.compile(
    r"""(set|reset|register|unregister|deregister|install|uninstall|enable|disable|use|configure|activate
    |deactivate|initialize|init|patch|unpatch)(_|$|[A-Z])
    | set(?!diff|xor|attr|up)[a-z]+$ | add_ | extension$""",
    re.VERBOSE,
)
_CHANGES = frozenset(
    {
        "append", "extend", "insert", "remove", "pop", "clear", "update", "setdefault", "add", "discard",
        "enable", "disable", "register", "unregister", "set", "reset", "defaults", "activate",
    }
)  # fmt: skip
"""Methods that change what they belong to."""

_STORED = re.compile(r"\w\.\w+(\[[^\n]*\]|\.\w+)\s*(\S{0,3}=(?!=)|$)|\bdel\s", re.MULTILINE)
"""What may store into an attribute of an attribute, or into an item of one."""

_KNOWN = frozenset(
    {
        "builtins", "os", "sys", "time", "random", "warnings", "logging", "decimal", "locale", "signal",
        "gc", "atexit", "socket", "contextvars", "threading", "asyncio", "importlib", "linecache", "IPython",
        "numpy", "pandas", "matplotlib", "mpl_toolkits", "seaborn", "sklearn", "xarray", "nbrewind",
    }
)  # fmt: skip
"""Packages whose settings are read before and after each cell, or whose functions act on what they get."""

_DESCRIPTORS = frozenset(
    {"pipe", "pipe2", "openpty", "open", "dup", "dup2", "read", "write", "lseek", "fdopen", "memfd_create"}
)
"""Functions of ``os`` that go by numbers of open files, which are the process's."""
_PLAIN = (type(None), bool, int, float, str, bytes, tuple, list, dict, set, frozenset, type, ModuleType)
_CALLED = (FunctionType, BuiltinFunctionType, MethodType, type)

Lookup = Callable[[str], Any]
"""The value of a name in the notebook; None where it has none."""


def suspicious(names: Set[str], text: str) -> bool:
    """Whether a cell of this text, whose code and functions mention these names, may change some."""
    if _STORED.search(text) is not None or ("os" in names and names & _DESCRIPTORS):
        return True
    return any(_SETTER.match(name) or name in _CHANGES for name in names)


def changed(tree: ast.AST, value_of: Lookup) -> list[str]:
    """Labels of the packages whose settings code changes when it runs."""
    found: dict[str, None] = {}
    for node in _executed(tree):
        if isinstance(node, ast.Call) and _by_number(node, value_of):
            found["numbers of open files"] = None
        package = _setter(node, value_of) if isinstance(node, ast.Call) else _stored(node, value_of)
        if package and package not in _KNOWN:
            found[SETTINGS + package] = None
    return list(found)


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes that may run with the code: not bodies of functions, nor what ``with`` puts back at its end."""
    queue: list[ast.AST] = [tree]
    while queue:
        node = queue.pop()
        yield node
        if isinstance(node, ast.With | ast.AsyncWith):
            queue += node.body
            continue
        inner = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
        queue += [child for child in ast.iter_child_nodes(node) if not isinstance(child, inner)]


def _chain(node: ast.AST) -> list[str]:
    """``["px", "defaults", "template"]`` of ``px.defaults.template``; empty for what begins otherwise."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return [node.id, *reversed(names)] if isinstance(node, ast.Name) else []


def _owner(chain: list[str], value_of: Lookup) -> tuple[str, Any]:
    """The package and the value at a chain of names that begins with a module of a package."""
    value = value_of(chain[0])
    if not isinstance(value, ModuleType) or is_local_module(value.__name__):
        return "", None
    package = package_of(value.__name__)
    for name in chain[1:]:
        value = getattr(value, name, None)
        if isinstance(value, ModuleType) and is_local_module(value.__name__):
            return "", None
    return package, value


def _by_number(node: ast.Call, value_of: Lookup) -> bool:
    chain = _chain(node.func)
    return len(chain) == 2 and chain[1] in _DESCRIPTORS and value_of(chain[0]) is os


def _setter(node: ast.Call, value_of: Lookup) -> str:
    chain = _chain(node.func)
    if not chain:
        return ""
    if len(chain) == 1:  # from calendar import setfirstweekday
        value = value_of(chain[0])
        if not isinstance(value, FunctionType | BuiltinFunctionType) or not _SETTER.match(chain[0]):
            return ""
        module = str(getattr(value, "__module__", None) or "")
        known = module in sys.modules and module != "__main__" and not is_local_module(module)
        return package_of(module) if known and _only_plain(node, value_of) else ""
    package, owner = _owner(chain[:-1], value_of)
    if not package or owner is None:
        return ""
    if isinstance(owner, ModuleType | type):
        called = getattr(owner, chain[-1], None)
        setter = _SETTER.match(chain[-1]) and isinstance(called, _CALLED)
        return package if setter and _only_plain(node, value_of) else ""
    kept = chain[-1] in _CHANGES or _SETTER.match(chain[-1])
    return package if kept and not isinstance(owner, _CALLED) else ""


def _only_plain(node: ast.Call, value_of: Lookup) -> bool:
    """Whether a call is given nothing that it could act on instead of its package."""
    for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
        for inner in ast.walk(argument):
            if not isinstance(inner, ast.Name):
                continue
            value = value_of(inner.id)
            if not isinstance(value, (*_PLAIN, *_CALLED)) and is_own_class(type(value)) is False:
                return False
    return True


def _stored(node: ast.AST, value_of: Lookup) -> str:
    """``px.defaults.template = ...`` and ``package.table["x"] = ...``; a module's own attribute is R8's."""
    if not isinstance(node, ast.Attribute | ast.Subscript) or isinstance(node.ctx, ast.Load):
        return ""
    chain = _chain(node.value)
    if len(chain) < 2:
        return ""
    package, owner = _owner(chain, value_of)
    return "" if owner is None or isinstance(owner, ModuleType | type) else package
