"""Identities that a process keeps: notebook classes (R9) and handles (R4)."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from nbrewind import rules
from nbrewind.flow.code import hash_parts
from nbrewind.flow.namespace import Namespace

CLOSED = ":closed"
"""Ends what a closed handle counts as: closing one is a write, though its identity stays (R4)."""
SETTINGS = ":set:"
"""Before the digest of what later calls set on a handle, which is a write too."""

Describe = Callable[[Any], tuple[str, Any] | None]
"""Gives ``(kind, recipe)`` of an object that is a handle, None of any other."""


class World:
    """One object per identity; identities are given when an object is first walked."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        self.reloads: Mapping[str, str] = {}
        self.classes: dict[str, type] = {}
        self._roots: weakref.WeakKeyDictionary[type, str] = weakref.WeakKeyDictionary()
        self.new_classes: list[str] = []
        self.touched_classes: set[str] = set()
        self.creator = "outside"
        """Key of the record whose cell made what is met for the first time now."""
        self._still_used: Callable[[], Iterable[str]] = tuple
        self._taken: set[str] | None = None
        """Identities that are still reachable and must not be given again; found out when one is given."""
        self.identities: dict[str, bool] = {}
        """What this pass gave out (False) or passed over as taken (True)."""
        self._handles: dict[int, tuple[Callable[[], Any], str]] = {}
        """Address -> weak reference where there can be one, and the identity."""
        self.handle_types: dict[type, Describe] = {}
        self._counts: dict[str, int] = {}

    def begin_pass(self, creator: str, taken: Callable[[], Iterable[str]]) -> None:
        """Before the walks after a cell: who made new classes and handles, and how to know what is taken."""
        self.creator = creator
        self._still_used, self._taken = taken, None
        self.identities = {}
        self.new_classes = []
        self.touched_classes = set()
        self._counts = {}

    def class_root(self, cls: type) -> str:
        """The root of a notebook class, given now if it is new."""
        root = self._roots.get(cls)
        if root is None:
            occurrence = 0
            if self._taken is None:
                self._taken = set(self._still_used())
            while rules.on("R9"):
                identity = hash_parts("class", self.creator, cls.__qualname__, str(occurrence))
                root = f"cls:{identity}#{cls.__qualname__}"
                if root not in self._taken:
                    self.identities[root] = False
                    break
                self.identities.setdefault(root, True)
                occurrence += 1
            else:
                root = f"cls:{hash_parts('class', cls.__qualname__)}#{cls.__qualname__}"
            self._taken.add(root)
            self.register_class(root, cls)
            self.new_classes.append(root)
        self.touched_classes.add(root)
        return root

    def register_class(self, root: str, cls: type) -> None:
        """Make ``cls`` the one object of an identity."""
        self.classes[root] = cls
        self._roots[cls] = root

    def handle(self, obj: Any) -> str | None:
        """What a handle counts as: its identity, what was set on it later, whether it is closed.

        None for other objects.
        """
        identity = self._identity(obj)
        return None if identity is None else identity + self._condition(obj)

    def _condition(self, obj: Any) -> str:
        for cls, describe in self.handle_types.items():
            if issubclass(type(obj), cls):  # an object may say anything about its class
                settings = getattr(describe, "settings", None)
                closed = getattr(describe, "closed", None)
                text = settings(obj) if settings is not None else ""
                ended = closed is not None and bool(closed(obj))
                return (SETTINGS + hash_parts(text) if text else "") + (CLOSED if ended else "")
        return ""

    def _identity(self, obj: Any) -> str | None:
        """The identity of a handle, given at its first walk."""
        known = self._handles.get(id(obj))
        if known is not None and known[0]() is obj:
            return known[1]
        if not self.handle_types:
            return None
        for cls, describe in self.handle_types.items():
            if issubclass(type(obj), cls):  # an object may say anything about its class
                described = describe(obj)
                if described is None:
                    return None
                version = getattr(describe, "version", None)
                content = version(obj) if version is not None else None
                if content is not None:
                    identity = hash_parts("handle", described[0], content)
                else:
                    key = f"{self.creator}:{type(obj).__qualname__}"
                    self._counts[key] = self._counts.get(key, -1) + 1
                    identity = hash_parts("handle", key, str(self._counts[key]))
                self.register_handle(identity, obj)
                return identity
        return None

    def handle_recipe(self, obj: Any) -> tuple[str, Any]:
        """``(kind, recipe)`` of a handle."""
        for cls, describe in self.handle_types.items():
            if issubclass(type(obj), cls):  # an object may say anything about its class
                described = describe(obj)
                if described is not None:
                    return described
        raise LookupError(f"{type(obj).__name__} is no registered handle")

    def known_handle(self, identity: str) -> Any:
        """The live handle of an identity, None if this process has none."""
        for reference, name in list(self._handles.values()):
            if name == _unconditional(identity):
                found = reference()
                if found is not None and self.handle(found) == identity:
                    return found
        return None

    def register_handle(self, identity: str, obj: Any) -> None:
        """Make ``obj`` the one object of a handle's identity."""
        try:
            reference: Callable[[], Any] = weakref.ref(obj)
        except TypeError:
            reference = partial(_same, obj)
        self._handles[id(obj)] = (reference, _unconditional(identity))

    def has_handles(self, cls: type) -> bool:
        """Whether an instance of a class may be a handle."""
        return any(issubclass(cls, kind) for kind in self.handle_types)

    def is_namespace(self, mapping: Any) -> bool:
        """Whether ``mapping`` is the user's namespace."""
        return mapping is self.namespace


def _unconditional(identity: str) -> str:
    return identity.removesuffix(CLOSED).partition(SETTINGS)[0]


def _same(obj: Any) -> Any:
    return obj
