"""Which functions of the notebook stand behind a value, and which of them others can call.

The collector's view of the process is used, so that nothing of the user's runs: a function is found
wherever it is held, by an attribute, a closure, a generator, a registry of a library.
"""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable, Iterable
from types import CodeType, FrameType, FunctionType, ModuleType, TracebackType
from typing import Any

from nbrewind.flow import static
from nbrewind.flow.kinds import is_instance_kind
from nbrewind.flow.static import Uses

_ATOMS = frozenset(
    {int, float, complex, bool, str, bytes, bytearray, type(None), type(Ellipsis), range, slice, CodeType}
)
_BOUNDARY = (ModuleType, FrameType, TracebackType)
_UNKNOWN = ("sqlite3", "_sqlite3", "_ctypes", "ctypes", "_cffi_backend", "_tkinter", "duckdb", "_duckdb")
"""Modules written in C whose objects hold callbacks out of the collector's sight."""

_FRONT_END = ("IPython", "ipykernel", "zmq", "jupyter_client", "nbrewind")
"""Packages whose objects are not the notebook's, but lead to everything in it; hooks of engines are ours."""


def behind(value: Any, namespace: dict[str, Any]) -> Uses:
    """What the functions of the notebook may touch that ``value`` can reach."""
    return _behind_all([value], namespace)


def _behind_all(values: list[Any], namespace: dict[str, Any]) -> Uses:
    found = Uses(calls=False)
    seen = {id(namespace), *map(id, values)}
    queue = list(values)
    while queue:
        current = queue.pop()
        kind = type(current)
        if kind in _ATOMS:
            continue
        if kind is FunctionType:
            if current.__globals__ is namespace:
                found |= static.of_code(current.__code__)
        elif kind.__module__.partition(".")[0] in _UNKNOWN:
            found |= Uses(doubt=f"it holds a {kind.__name__}, whose callbacks cannot be seen")
        why = static.access_by(current)
        if why:
            found |= Uses(doubt=why)
        for child in _children(current, kind):
            if id(child) in seen:
                if child is namespace and kind is not FunctionType:
                    found |= Uses(doubt="it holds the namespace itself")
                continue
            if type(child) not in _ATOMS and (_inside(child) or static.access_by(child)):
                seen.add(id(child))
                queue.append(child)
    return found


def _children(obj: Any, kind: type) -> Iterable[Any]:
    children = gc.get_referents(obj)
    if isinstance(obj, weakref.ReferenceType):
        return [*children, obj()]
    if is_instance_kind(kind):
        return [*children, kind]
    if _is_array(obj):
        return [*children, obj.base, *_elements(obj)]
    return children


def elsewhere(
    namespace: dict[str, Any],
    values: Callable[[], Iterable[Any]],
    held: Callable[[], Iterable[Any]],
    classes: Callable[[], Iterable[Any]],
) -> Uses:
    """What functions may touch that somebody beside the notebook's names can call.

    A registry of a library, a callback, a thread, a task may hold a function that is behind a name too.  So
    references are counted: an object that has more of them than lead to it from ``values`` is held elsewhere,
    and whatever it reaches may be called by any cell.  ``held`` and ``classes`` are references that IPython
    and we ourselves have.
    """
    counted = _Counted(namespace)
    counted.refer_all(values())
    counted.refer_all(held())
    counted.follow()
    counted.know_all(classes())
    found = _behind_all(counted.exposed(), namespace)
    for obj in gc.get_referrers(namespace):
        if type(obj) is FunctionType and obj.__globals__ is namespace and id(obj) not in counted.nodes:
            # The traceback of a cell that raised holds what ran it, which nobody can call.
            found |= static.of_code(obj.__code__) if obj.__code__.co_name != "<module>" else Uses(calls=False)
    return found


class _Counted:
    """Everything behind some values, with the number of references by which it is reached."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.namespace = namespace
        self.nodes: dict[int, Any] = {}
        self.counts: dict[int, int] = {}
        self._queue: list[Any] = []

    def refer(self, obj: Any, *, owned: bool = True) -> None:
        """A reference leads to ``obj``; one that is not owned does not keep it alive."""
        if type(obj) in _ATOMS or obj is self.namespace or not _inside(obj):
            return
        key = id(obj)
        self.counts[key] = self.counts.get(key, 0) + owned
        if key not in self.nodes:
            self.nodes[key] = obj
            self._queue.append(obj)

    def refer_all(self, objects: Iterable[Any]) -> None:
        """References lead to these, one to each."""
        for obj in objects:
            self.refer(obj)

    def know_all(self, objects: Iterable[Any]) -> None:
        """References of our own, which lead nowhere."""
        for obj in objects:
            if id(obj) in self.counts:
                self.counts[id(obj)] += 1

    def follow(self) -> None:
        """Go on until nothing new is met."""
        while self._queue:
            self._children(self._queue.pop())

    def _children(self, obj: Any) -> None:
        for child in gc.get_referents(obj):
            self.refer(child)
        kind = type(obj)
        if isinstance(obj, weakref.ReferenceType):
            self.refer(obj(), owned=False)
        elif is_instance_kind(kind):
            self.refer(kind, owned=False)
        elif _is_array(obj):
            self.refer(obj.base)
            for child in _elements(obj):
                self.refer(child, owned=obj.base is None and obj.dtype.kind == "O")

    def exposed(self) -> list[Any]:
        """Those that are held by somebody else as well."""
        sentinel: list[Any] = []
        self.nodes[id(sentinel)], self.counts[id(sentinel)] = sentinel, 0
        own = id(sentinel)
        del sentinel
        found, usual = [], 0
        for key in (own, *list(self.nodes)):
            obj = self.nodes[key]
            references = sys.getrefcount(obj) - self.counts[key]
            if key == own:
                usual = references  # what this very loop holds
            elif references > usual or (weakref.getweakrefcount(obj) and not isinstance(obj, type)):
                found.append(obj)
        del self.nodes[own]
        return found


def _inside(obj: Any) -> bool:
    """Whether an object may belong to the notebook, and is not a module, a library's class or a frame."""
    kind = type(obj)
    if kind.__module__.partition(".")[0] in _FRONT_END:
        return False
    if issubclass(kind, _BOUNDARY) or (issubclass(kind, type) and not is_instance_kind(obj)):
        return False
    return not (kind is dict and _of_module(obj))


def _is_array(obj: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(obj, numpy.ndarray)


def _elements(array: Any) -> list[Any]:
    """Arrays do not tell the collector what they hold."""
    if not array.dtype.hasobject:
        return []
    plain = array.view(sys.modules["numpy"].ndarray)
    found: list[Any] = (plain.ravel(order="K") if array.dtype.kind == "O" else plain).tolist()
    return found


def _of_module(mapping: dict[str, Any]) -> bool:
    name = mapping.get("__name__")
    module = sys.modules.get(name) if isinstance(name, str) else None
    return module is not None and getattr(module, "__dict__", None) is mapping
