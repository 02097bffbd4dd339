"""Shared fixtures."""

from __future__ import annotations

from support.jupyter import fake_kernel, jupyter_data

__all__ = ["fake_kernel", "jupyter_data"]
