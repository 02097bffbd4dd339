"""A house of real kernels for notebooks that live on: edited by other tools, opened twice, moved."""

from __future__ import annotations

from rules.conftest import house, lab

__all__ = ["house", "lab"]
