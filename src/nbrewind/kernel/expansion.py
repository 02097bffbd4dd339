"""Expansion of ``$x`` and ``{x}`` in magics and shell lines without touching every name.

IPython copies the caller's whole namespace for each magic, also where the line has nothing
to expand: with parked values (R10) that would read and load all of them, and rebuild those
that cannot be stored.
"""

from __future__ import annotations

import sys
from typing import Any

from IPython.core.interactiveshell import InteractiveShell


def expand_lazily(shell: InteractiveShell) -> None:
    """Let ``shell.var_expand`` look up only the names that a line mentions."""
    default = type(shell).var_expand.__defaults__[-1]  # type: ignore[index]

    def var_expand(cmd: str, depth: int = 0, formatter: Any = default) -> str:
        if "$" not in cmd and "{" not in cmd:
            return cmd
        names = shell.user_ns.copy()
        frame = sys._getframe(depth + 1)
        if frame.f_locals is not shell.user_ns:
            names.update(frame.f_locals)
        try:
            return str(formatter.vformat(cmd, args=[], kwargs=names))
        except Exception:  # noqa: BLE001 - as IPython does: what cannot be formatted goes on as it is
            return cmd

    shell.var_expand = var_expand  # type: ignore[method-assign]
