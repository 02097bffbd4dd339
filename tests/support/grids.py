"""A library whose type the general rules treat wrongly: pickling drops what a cell can see."""

from __future__ import annotations

import numpy as np


class Grid:
    """Cells with a history that its own pickling forgets."""

    def __init__(self, cells: list[list[float]]) -> None:
        self.cells = np.array(cells)
        self.history: list[str] = []
        self.watcher = None

    def set(self, row: int, column: int, value: float) -> None:
        """Set one cell, and remember it."""
        self.cells[row, column] = value
        self.history.append(f"{row},{column}")

    def __getstate__(self) -> dict[str, object]:
        return {"cells": self.cells, "history": [], "watcher": None}

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Grid)
            and bool(np.array_equal(self.cells, other.cells))
            and self.history == other.history
        )

    __hash__ = None  # type: ignore[assignment]
