"""Tags with which an author decides about a cell, whatever the records say."""

from __future__ import annotations

from collections.abc import Collection

ALWAYS = "nbrewind:always"
"""The cell executes at every repeat."""
NEVER = "nbrewind:never"
"""Nothing that the cell makes or shows is stored, and it executes at every repeat."""
PURE = "nbrewind:pure"
"""Clocks, entropy and the outside do not matter to what the cell gives."""

PRIVATE = f"its cell is tagged {NEVER}"
"""Why such a cell's values have no image."""

EXCUSED = frozenset({"nondeterministic", "external"})
"""Flags of records that do not count in a cell that is tagged pure."""


def must_run(tags: Collection[str]) -> str:
    """Why a cell with these tags executes in any case; empty where its records decide."""
    return next((f"tagged {tag}" for tag in (NEVER, ALWAYS) if tag in tags), "")
