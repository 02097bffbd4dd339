"""The walk behind a task's identity: code closures and content in one go.

Every engine's own key is too narrow or too wide (docs/architecture.md, "The task log").
Ours follows a function through the globals, closures, defaults and classes that it can
reach, as long as they are the notebook's or a local module's; what installed packages
hold counts by name, and their versions stand beside the key (``tasks.versions``).  Code is
compared as syntax trees, so comments, line numbers and file names do not count.
"""

from __future__ import annotations

import builtins
import functools
from collections.abc import Callable, Iterator, Mapping
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, cast

from nbrewind.errors import NotStorable
from nbrewind.flow import classes
from nbrewind.flow import code as codes
from nbrewind.flow import digest as flow_digest
from nbrewind.flow.names import is_library_path, is_local_module, package_of, reference
from nbrewind.flow.room import with_room
from nbrewind.model import Digest
from nbrewind.tasks.modules import imported_names, module_digest

Leaf = Callable[[Any], str]
"""Gives the text that stands for an engine's own object (a future) in an identity."""

_CLASS_NOISE = frozenset({"__dataclass_fields__", "__dataclass_params__", "__doc__", "__annotations__"})
_WHOLE_MODULE = frozenset(
    {"getattr", "vars", "__dict__", "globals", "eval", "exec", "import_module", "__import__"}
)
ABSENT = object()
Witnesses = list[tuple[Any, str, Any]]
Bindings = dict[tuple[int, str], Any]
_HEAP = 1 << 9


class TaskWalk(flow_digest.Walk):
    """A content walk that also goes through the code that values can reach."""

    __slots__ = ("bindings", "leaves", "named", "packages", "parts", "settled", "user", "witnesses")

    def __init__(self, leaves: Mapping[type, Leaf] | None = None, bindings: Bindings | None = None) -> None:
        super().__init__(None)
        self.leaves = leaves or {}
        self.bindings = bindings
        """Values of globals as an earlier walk found them; None to look them up."""
        self.user = False
        """Whether code of the notebook or of a local module was met."""
        self.settled = True
        """Whether only code and immutable atoms were met, so that the digest may be reused."""
        self.named: set[int] = set()
        """Nodes that are found again by name: classes and modules."""
        self.packages: set[str] = set()
        """Packages that are not local and were named."""
        self.parts: dict[str, Digest] = {}
        """What the code is made of, by names for people."""
        self.witnesses: Witnesses = []
        """Bindings the digest rests on: (holder, name, value)."""

    def visit(self, obj: Any) -> None:
        """Add one value; code and containers are followed here, data by the flow walk."""
        cls = type(obj)
        handler = _ROUTES.get(cls)
        if handler is not None:
            handler(self, obj)
            return
        for kind in cls.__mro__:
            leaf = self.leaves.get(kind)
            if leaf is not None:
                self.settled = False
                self.text(b"L", leaf(obj))
                return
        if isinstance(obj, type):
            self._class(obj)
        elif isinstance(obj, ModuleType):
            self._module(obj, None)
        elif cls.__flags__ & _HEAP and not _is_library_class(cls):
            self._instance(obj)
        else:
            named = reference(obj) if callable(obj) else None
            if named is not None:
                self._library(*named)
                return
            if cls not in _ATOMS:
                self.settled = False
            super().visit(obj)

    def _sequence(self, obj: Any) -> None:
        if self.number(obj):
            self.settled = False
            self.buf += b"[%d:" % len(obj)
            for item in list(obj):
                self.visit(item)

    def _dict(self, obj: dict[Any, Any]) -> None:
        if not self.number(obj):
            return
        self.settled = False
        if "__builtins__" in obj and "__name__" in obj:
            self.buf += b"G"
            return
        self.buf += b"{%d:" % len(obj)
        for key, value in list(obj.items()):
            self.visit(key)
            self.visit(value)

    def _instance(self, obj: Any) -> None:
        if not self.number(obj):
            return
        self.settled = False
        self.user = True
        self.buf += b"I"
        self._class(type(obj))
        before = len(self.opaque)
        flow_digest._reduced(cast(TaskWalk, _Unnumbered(self)), obj)
        if len(self.opaque) == before and hasattr(obj, "__dict__"):
            # A lossy __getstate__ must not hide state that a method can see.
            self.visit(vars(obj))

    def _function(self, obj: FunctionType) -> None:
        found = reference(obj)
        if found is not None and not is_local_module(found[0]):
            self._library(found[0], found[1])
            return
        if not self.number(obj):
            return
        code = obj.__code__
        digest = codes.code_digest(code)
        self.parts[f"code of {obj.__qualname__}"] = digest
        self.text(b"D", digest)
        self.text(b"q", obj.__name__)
        self._witness(obj, "__code__", code)
        self._witness(obj, "__defaults__", obj.__defaults__)
        self._witness(obj, "__kwdefaults__", obj.__kwdefaults__)
        start = len(self.buf)
        self.visit(obj.__defaults__)
        for name, value in (obj.__kwdefaults__ or {}).items():
            self.text(b"n", name)
            self.visit(value)
        self._part(f"defaults of {obj.__qualname__}", start)
        for name, cell in zip(code.co_freevars, obj.__closure__ or (), strict=False):
            start = len(self.buf)
            self._cell(cell)
            self._part(f"closure variable {name} of {obj.__qualname__}", start)
        if obj.__dict__:
            for name, value in list(obj.__dict__.items()):
                self.text(b"n", name)
                self.visit(value)
            self.settled = False
        if is_library_path(code.co_filename):
            # A closure that a package made: its code by version, its cells by content.
            self._library(str(obj.__module__), obj.__qualname__)
            return
        self.user = True
        self._globals(obj, code)

    def _cell(self, cell: Any) -> None:
        if not self.number(cell):
            return
        try:
            contents = cell.cell_contents
        except ValueError:
            self.buf += b"C_"
            self.settled = False
            return
        self._witness(cell, "cell_contents", contents)
        self.buf += b"C"
        self.visit(contents)

    def _globals(self, func: FunctionType, code: CodeType) -> None:
        space = func.__globals__
        for name in sorted(codes.global_names(code)):
            value = self._bound(space, name)
            self.text(b"g", name)
            if value is ABSENT:
                self.buf += b"_"
                self._witness(space, name, ABSENT)
                continue
            self._witness(space, name, value)
            start = len(self.buf)
            if isinstance(value, ModuleType):
                self._module(value, code)
            else:
                self.visit(value)
            if not isinstance(value, FunctionType | BuiltinFunctionType | ModuleType | type):
                self._part(f"global {name}", start)
        for name in sorted(imported_names(code)):
            digest = module_digest(name)
            if digest is None:
                self.packages.add(package_of(name))
            else:
                self.settled = False
                self.user = True
                self.parts[f"module {name}"] = digest
                self.text(b"i", name)
                self.text(b"m", digest)

    def _module(self, obj: ModuleType, code: CodeType | None) -> None:
        name = obj.__name__
        if not is_local_module(name):
            self._library(name, "")
            return
        self.text(b"@", name)
        self.user = True
        mentioned = codes.attribute_names(code) if code is not None else frozenset()
        space = vars(obj)
        used = sorted(mentioned & space.keys())
        if not used or mentioned & _WHOLE_MODULE:
            self.settled = False
            self.text(b"m", module_digest(name) or "")
        self.named.add(id(obj))
        if not self.number(obj):
            self.settled = False
        for attribute in used:
            self.text(b"n", attribute)
            value = self._bound(space, attribute)
            self._witness(space, attribute, value)
            if isinstance(value, ModuleType):
                self._module(value, code)
            else:
                self.visit(value)

    def _class(self, obj: type) -> None:
        if _is_library_class(obj):
            self._library(obj.__module__, obj.__qualname__)
            return
        self.user = True
        self.settled = False
        self.named.add(id(obj))
        if not self.number(obj):
            return
        self.text(b"T", obj.__qualname__)
        self.visit(type(obj))
        for base in obj.__bases__:
            self.visit(base)
        for name, value in classes.class_items(obj):
            if name not in _CLASS_NOISE:
                self.text(b"n", name)
                self.visit(value)
                self.named.update(id(part) for part in _methods(value))

    def _builtin(self, obj: BuiltinFunctionType) -> None:
        owner = obj.__self__
        if owner is None or isinstance(owner, ModuleType):
            self._library(getattr(owner, "__name__", None) or str(obj.__module__), obj.__qualname__)
            return
        self.text(b"B", obj.__name__)
        self.visit(owner)

    def _method(self, obj: MethodType) -> None:
        self.buf += b"M"
        self.visit(obj.__func__)
        self.visit(obj.__self__)

    def _partial(self, obj: functools.partial[Any]) -> None:
        self.text(b"P", type(obj).__qualname__)
        self.visit(obj.func)
        self.visit(obj.args)
        for name, value in obj.keywords.items():
            self.text(b"n", name)
            self.visit(value)
        self.settled = False

    def _library(self, module: str, qualname: str) -> None:
        self.text(b"@", f"{module}:{qualname}")
        self.packages.add(package_of(module))

    def _part(self, name: str, start: int) -> None:
        self.parts[name] = codes.hash_bytes(bytes(self.buf[start:]))

    def _bound(self, space: dict[str, Any], name: str) -> Any:
        if self.bindings is not None:
            return self.bindings.get((id(space), name), ABSENT)
        return global_value(space, name)

    def _witness(self, holder: Any, name: str, value: Any) -> None:
        self.witnesses.append((holder, name, value))


class _Unnumbered:
    """A walk seen by the reduce handler: the node was numbered by the caller already."""

    def __init__(self, walk: TaskWalk) -> None:
        self._walk = walk

    def number(self, obj: Any) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._walk, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "_walk":
            object.__setattr__(self, name, value)
        else:
            setattr(self._walk, name, value)


def global_value(space: dict[str, Any], name: str) -> Any:
    # Subscription, not .get: the notebook's namespace loads and records on a missing key.
    try:
        return space[name]
    except KeyError:
        return getattr(builtins, name, ABSENT)


def _is_library_class(cls: type) -> bool:
    if not cls.__flags__ & _HEAP:
        return True
    found = reference(cls)
    return found is not None and not is_local_module(found[0])


def _methods(value: Any) -> Iterator[Any]:
    """The functions of a class's attribute, with their cells: they are found with the class."""
    for part in (value, *(getattr(value, name, None) for name in ("__func__", "fget", "fset", "fdel"))):
        if isinstance(part, FunctionType):
            yield part
            yield from part.__closure__ or ()


_ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes, type(...), range, tuple, property,
                    staticmethod, classmethod, CodeType})  # fmt: skip

_ROUTES: dict[type, Callable[[Any, Any], None]] = {
    list: TaskWalk._sequence,
    dict: TaskWalk._dict,
    FunctionType: TaskWalk._function,
    BuiltinFunctionType: TaskWalk._builtin,
    MethodType: TaskWalk._method,
    functools.partial: TaskWalk._partial,
    type: TaskWalk._class,
}


def walked(
    value: Any, leaves: Mapping[type, Leaf] | None = None, bindings: Bindings | None = None
) -> TaskWalk:
    """Walk one value with all code that it can reach.

    Raises:
        NotStorable: part of it has no content that could be compared.
    """

    def whole() -> TaskWalk:
        walk = TaskWalk(leaves, bindings)
        walk.visit(value)
        return walk

    walk = with_room(whole)
    if walk.opaque or walk.derived:
        raise NotStorable(next(iter(walk.opaque), "its content cannot be compared"))
    return walk
