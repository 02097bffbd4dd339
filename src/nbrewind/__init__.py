"""Audit a notebook once, repeat it in milliseconds."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext nbrewind``: record the cells of an ordinary IPython kernel (docs/extension.md)."""
    from nbrewind.kernel import extension

    extension.load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """``%unload_ext nbrewind``: take out everything that loading it put in."""
    from nbrewind.kernel import extension

    extension.unload(shell)
