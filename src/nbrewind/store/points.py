"""The steps of the protocols by name: between any two of them a process may end (tests/faults)."""

from __future__ import annotations

from collections.abc import Callable

POINTS = (
    "pack named",
    "pack made",
    "segment begun",
    "segment written",
    "segment synced",
    "transaction begun",
    "objects added",
    "rows added",
    "committed",
    "pack sealed",
    "loose begun",
    "loose written",
    "loose synced",
    "loose named",
    "garbage found",
    "garbage rows deleted",
    "garbage rows committed",
    "living copied",
    "living moved",
    "old pack deleted",
)
"""In the order of docs/format.md: writing a batch, a loose object, collecting garbage."""

_observers: list[Callable[[str], None]] = []


def observe(observer: Callable[[str], None]) -> None:
    """Hear of every step of this process from now on."""
    _observers.append(observer)


def reach(point: str) -> None:
    """A step was taken."""
    for observer in _observers:
        observer(point)
