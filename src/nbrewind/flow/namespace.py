"""The fault-in namespace: a dict that begins every cell empty (docs/architecture.md, "Choices").

Values are parked beside it; the first touch of a name calls ``__missing__``, which records
the read and moves the value in.  Later touches run in C.  ``__getitem__``,
``__setitem__`` and ``__delitem__`` stay C: overriding any of them slows every store.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Protocol

_MISSING = object()


class Tracker(Protocol):
    """Who answers the namespace's questions about parked names."""

    def fault(self, name: str) -> Any:
        """The value of a parked name, now moved in, or raises KeyError."""

    def present(self, name: str) -> bool:
        """Whether a parked name exists; a read of its presence."""

    def parked_names(self) -> list[str]:
        """Names not moved in yet; a read of the set of names."""

    def in_order(self, names: list[str]) -> list[str]:
        """Names in the order of a plain dict that they were bound in."""

    def discard(self, name: str) -> None:
        """Drop a parked value without reading it."""


class Namespace(dict[str, Any]):
    """The user's namespace and, at the same time, ``__main__``'s dict."""

    tracker: Tracker
    shims: dict[str, Any]
    """Builtins put here after their first miss; they look absent to everybody but loads."""

    def __init__(self, tracker: Tracker) -> None:
        super().__init__()
        self.tracker = tracker
        self.shims = {}

    def __missing__(self, name: str) -> Any:
        return self.tracker.fault(name)

    def shim(self, name: str) -> Any:
        """Let the next loads of builtin ``name`` run in C."""
        value = getattr(builtins, name)
        self.shims[name] = value
        dict.__setitem__(self, name, value)
        return value

    def is_shim(self, name: object) -> bool:
        """Whether ``name`` is only a builtin put here for speed."""
        return name in self.shims and dict.get(self, name, _MISSING) is self.shims[name]

    def drop_shim(self, name: str) -> None:
        """Take one builtin out again."""
        if self.is_shim(name):
            dict.__delitem__(self, name)
        self.shims.pop(name, None)

    def drop_shims(self) -> None:
        """Take all builtins out again."""
        for name in list(self.shims):
            self.drop_shim(name)

    def live_names(self) -> list[str]:
        """Names that are in the dict itself."""
        return [name for name in dict.keys(self) if not self.is_shim(name)]

    def fault_all(self) -> None:
        """Move everything in: somebody asked for all values."""
        for name in self.tracker.parked_names():
            if not dict.__contains__(self, name):
                self.tracker.fault(name)

    def __contains__(self, name: object) -> bool:
        if dict.__contains__(self, name) and not self.is_shim(name):
            return True
        return isinstance(name, str) and self.tracker.present(name)

    def get(self, name: str, default: Any = None) -> Any:
        if self.is_shim(name):
            return default
        try:
            value = self[name]
        except KeyError:
            return default
        return default if self.is_shim(name) else value

    def _names(self) -> list[str]:
        live = self.live_names()
        known = set(live)
        parked = [name for name in self.tracker.parked_names() if name not in known]
        return self.tracker.in_order(parked + live)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._names())

    def keys(self) -> Any:
        return dict.fromkeys(self._names()).keys()

    def __len__(self) -> int:
        return len(self._names())

    def __bool__(self) -> bool:
        return True

    def _whole(self) -> dict[str, Any]:
        names = self._names()
        self.fault_all()
        return {name: dict.__getitem__(self, name) for name in names if dict.__contains__(self, name)}

    def values(self) -> Any:
        return self._whole().values()

    def items(self) -> Any:
        return self._whole().items()

    def copy(self) -> LazyCopy:
        return LazyCopy(self)

    def __copy__(self) -> LazyCopy:
        return LazyCopy(self)

    def pop(self, name: str, *default: Any) -> Any:
        if name in self:
            self.tracker.discard(name)
            value = self[name]
            dict.__delitem__(self, name)
            return value
        if default:
            return default[0]
        raise KeyError(name)

    def popitem(self) -> tuple[str, Any]:
        names = self._names()
        if not names:
            raise KeyError("popitem(): the namespace is empty")
        return names[-1], self.pop(names[-1])

    def setdefault(self, name: str, default: Any = None) -> Any:
        if name in self:
            return self[name]
        self[name] = default
        return default

    def clear(self) -> None:
        for name in self._names():
            self.tracker.discard(name)
        dict.clear(self)
        self.shims.clear()

    def __or__(self, other: Any) -> Any:
        return self._whole() | other

    def __ror__(self, other: Any) -> Any:
        return other | self._whole()

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        # dill compares every dict that it meets with this one: one name that it lacks tells enough.
        if isinstance(other, dict) and any(
            name not in other for name in list(dict.keys(self)) if name not in self.shims
        ):
            return False
        return bool(self._whole() == other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None

    def __repr__(self) -> str:
        return repr(self._whole())

    def __reduce_ex__(self, protocol: Any) -> Any:
        return dict, (), None, None, iter(self._whole().items())


class LazyCopy(dict[str, Any]):
    """``namespace.copy()`` as libraries take it of caller frames: loads what is looked up."""

    def __init__(self, source: Namespace) -> None:
        super().__init__({name: dict.__getitem__(source, name) for name in source.live_names()})
        self._source = source
        self._gone: set[str] = set()

    def __missing__(self, name: str) -> Any:
        if name in self._gone or name not in self._source:
            raise KeyError(name)
        value = self._source[name]
        self[name] = value
        return value

    def get(self, name: str, default: Any = None) -> Any:
        try:
            return self[name]
        except KeyError:
            return default

    def __contains__(self, name: object) -> bool:
        return dict.__contains__(self, name) or (name not in self._gone and name in self._source)

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self._gone.add(name)
        dict.pop(self, name, None)

    def _fill(self) -> None:
        for name in self._source:
            if name not in self._gone and not dict.__contains__(self, name):
                self[name] = self._source[name]

    def __iter__(self) -> Iterator[str]:
        self._fill()
        return dict.__iter__(self)

    def keys(self) -> Any:
        self._fill()
        return dict.keys(self)

    def items(self) -> Any:
        self._fill()
        return dict.items(self)

    def values(self) -> Any:
        self._fill()
        return dict.values(self)

    def __len__(self) -> int:
        self._fill()
        return dict.__len__(self)

    def copy(self) -> dict[str, Any]:
        self._fill()
        return dict(dict.items(self))


class MainModule:
    """``__main__``: an object whose ``__dict__`` is the namespace; absent attributes fault in."""

    def __init__(self, namespace: Namespace) -> None:
        object.__setattr__(self, "__dict__", namespace)

    def __getattr__(self, name: str) -> Any:
        namespace = object.__getattribute__(self, "__dict__")
        try:
            value = namespace[name]
        except KeyError:
            raise AttributeError(f"module '__main__' has no attribute {name!r}") from None
        if namespace.is_shim(name):
            raise AttributeError(f"module '__main__' has no attribute {name!r}")
        return value

    def __delattr__(self, name: str) -> None:
        namespace = object.__getattribute__(self, "__dict__")
        if name not in namespace:
            raise AttributeError(name)
        namespace.pop(name)

    @property
    def __class__(self) -> type:
        """What ``inspect.ismodule``, and so ``doctest.testmod``, asks for; no real module takes our dict."""
        return ModuleType

    @__class__.setter
    def __class__(self, kind: type) -> None:
        raise TypeError("__class__ assignment is not supported for the notebook's module")

    def __repr__(self) -> str:
        return "<module '__main__' (notebook)>"
