"""A namespace that stays where it is, seen as the parked values of a memory (R10: all of them are live)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

from nbrewind.plan.algebra import BESIDE, result_number

_HISTORY = frozenset({"_i", "_ii", "_iii", "In", "_ih", "_dh", "__warningregistry__"})
IsOwn = Callable[[str, Any], bool]


class LiveNames(MutableMapping[str, Any]):
    """The user's names in a plain dictionary; nothing is held here, so nothing lives longer than it would.

    Storing and deleting change nothing: the values are where they belong already.
    """

    def __init__(self, namespace: dict[str, Any], is_own: IsOwn) -> None:
        self.namespace = namespace
        self.is_own = is_own
        """Whether a name with this value is IPython's own."""
        self.beside: dict[str, Any] = {}
        """Results that a cell displayed before its last one, by root."""

    def _users(self, name: str, value: Any) -> bool:
        if name in _HISTORY or (name.startswith("_i") and name[2:].isdigit()):
            return False
        return not self.is_own(name, value)

    def __getitem__(self, name: str) -> Any:
        if (result_number(name) or 0) > BESIDE:
            return self.beside[name]
        value = self.namespace[name]
        if not self._users(name, value):
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        found = [name for name, value in list(self.namespace.items()) if self._users(name, value)]
        return iter([*found, *self.beside])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __setitem__(self, name: str, value: Any) -> None:
        """It is there."""

    def __delitem__(self, name: str) -> None:
        """It is the user's to delete."""

    def pop(self, name: str, default: Any = None) -> Any:
        """The value, which stays."""
        return self.get(name, default)
