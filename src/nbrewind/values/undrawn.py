"""Loading a figure is no drawing: unpickled, it would ask to be shown at the end of the cell."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def undrawn() -> Iterator[None]:
    """Leave what IPython's inline figures wait to show as it was."""
    called, waiting = _waiting()
    try:
        yield
    finally:
        show = _show()
        if show is not None:
            show._draw_called, show._to_draw = called, waiting


def _waiting() -> tuple[bool, list[Any]]:
    show = _show()
    return (False, []) if show is None else (show._draw_called, list(show._to_draw))


def _show() -> Any:
    found = getattr(sys.modules.get("matplotlib_inline.backend_inline"), "show", None)
    return found if hasattr(found, "_draw_called") and hasattr(found, "_to_draw") else None
