"""The one family of errors: each names the thing, the cause and the way out.

Exit codes are part of the interface (docs/architecture.md, "Exit codes").
"""

from __future__ import annotations

OK = 0
CELL_RAISED = 1
USAGE = 2
NOTEBOOK = 3
STORE = 4
REFUSED = 5
DIFFERENT = 6
INTERRUPTED = 130


class NBRewindError(Exception):
    """Base of every error that this package raises on purpose."""

    exit_code = CELL_RAISED


class UsageError(NBRewindError):
    """A request that cannot be understood: an unknown cell, an unknown rule."""

    exit_code = USAGE


class NotebookError(NBRewindError):
    """The notebook, its language or its kernel cannot be used."""

    exit_code = NOTEBOOK


class StoreError(NBRewindError):
    """The store cannot be opened, read or written."""

    exit_code = STORE


class NoStore(StoreError):
    """There is no store at a place that could hold one."""


class MissingObject(StoreError):
    """An object named by the catalog is absent or damaged: its users are misses."""


class PackageError(StoreError):
    """A package is damaged, breaks the rules, or cannot be written."""


class RefusedError(NBRewindError):
    """Stopped for the user's safety: untrusted values, secrets."""

    exit_code = REFUSED


class DifferenceError(NBRewindError):
    """A check found that a repeat differs from a plain run."""

    exit_code = DIFFERENT


class NotStorable(NBRewindError):
    """A value that cannot be turned into bytes and back; the message is the reason."""


class LeftOut(NotStorable):
    """A value that could be stored and is not, since its cells give it again more cheaply."""


class RecomputeFailed(NBRewindError):
    """Cells that were run again to rebuild a value did not do what they did before.

    ``cells`` are the indices of cells that a headless run should force when it starts over (R5).
    """

    def __init__(self, message: str, cells: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.cells = cells
