"""How live objects of engines are described and made again, instead of being stored (R4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Handle:
    """How objects of one type are described and made again."""

    kind: str
    describe: Callable[[Any], dict[str, Any] | None]
    """A JSON-able recipe; None where there is none, which makes the object opaque."""
    rebuild: Callable[[dict[str, Any]], Any]
    """The object again, unconnected; NotStorable if that is impossible here."""
    version: Callable[[Any], str | None] | None = None
    """What the object counts as in a digest; None: the identity of its creating call."""
    closed: Callable[[Any], bool] | None = None
    """Whether the object was closed: then it comes back closed, and nothing starts for it."""
    settings: Callable[[Any], str] | None = None
    """What later calls set on the object and its recipe tells; a change of it is a change of the object."""

    def __call__(self, obj: Any) -> tuple[str, dict[str, Any]] | None:
        """``(kind, recipe)`` of an object, None where it has no recipe."""
        recipe = self.describe(obj)
        return None if recipe is None else (self.kind, recipe)
