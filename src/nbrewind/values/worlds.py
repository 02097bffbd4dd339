"""What pickling needs to know of the notebook's process, and what a reducer is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from nbrewind.flow import digest as walks


class DumpWorld(walks.World, Protocol):
    """What pickling needs to know of the notebook's process."""

    def handle_recipe(self, obj: Any) -> tuple[str, Any]:
        """``(kind, recipe)`` of a registered handle."""


Reducer = Callable[[DumpWorld, Any], Any]
"""Gives what pickle's ``reducer_override`` does; ``NotImplemented`` for pickle's own way."""
