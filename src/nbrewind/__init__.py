"""Audit a notebook once, repeat it in milliseconds."""

from __future__ import annotations

__version__ = "0.1.0"
