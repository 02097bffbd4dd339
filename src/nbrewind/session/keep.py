"""Which values are left out of the store because running their cells again is cheaper (``--keep``).

A value that is left out keeps the version that its content gives it, so nothing else changes in the
state; only its image is missing, and R5 rebuilds it where an executed cell needs it.  So only cells that
certainly give the same again come into question.
"""

from __future__ import annotations

import inspect
import os
import tempfile
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType
from typing import Literal

from nbrewind.errors import UsageError
from nbrewind.model import Version

Rule = Literal["all", "auto", "outputs"]
RULES: tuple[Rule, ...] = ("all", "auto", "outputs")

STORED = "nbrewind:keep"
"""Tag: what the cell makes is stored, whatever the rule."""
LEFT_OUT = "nbrewind:leave-out"
"""Tag: what the cell makes is left out where that is possible, whatever the rule."""

LEAST = 1 << 20
"""Bytes: smaller values are always stored, since a cell of any length costs more than they do."""
READ = 2e9
"""Bytes per second at which a stored value is read again (a page cache's; docs/benchmarks.md)."""
PROBE = 8 << 20
"""Bytes that are written once to learn how fast the store's disk is."""

_MARK = "left out, "

Decide = Callable[[int], str]
"""From an image's size in bytes to the reason why it is left out, empty where it is stored."""


def check_rule(rule: str) -> Rule:
    """The rule of that name.

    Raises:
        UsageError: there is none.
    """
    for known in RULES:
        if rule == known:
            return known
    raise UsageError(f"--keep is {' or '.join(RULES)}, not {rule!r}.")


def left_out(version: Version) -> bool:
    """Whether a value could have been stored and was left out."""
    return version.opaque.startswith(_MARK)


def repeatable(
    code: CodeType | None,
    names: Collection[str],
    read: Iterable[Version],
    *,
    touched_outside: bool,
) -> bool:
    """Whether running a cell again certainly gives the same values again.

    ``names`` are those that its code mentions, ``read`` the versions that it read, ``touched_outside`` is
    whether it raised, was stopped, or had to do with files, clocks, entropy, engines or other processes.
    """
    if code is None or code.co_flags & inspect.CO_COROUTINE or "get_ipython" in names:
        return False
    return not touched_outside and all(not v.opaque or left_out(v) for v in read)


@dataclass(slots=True)
class Keep:
    """The policy of one process."""

    folder: Path
    """Where the store is: its disk counts."""
    rule: Rule = "all"
    budget: int = 0
    """Bytes of values that a run may store before the rule is ``outputs`` for it; 0: any number."""
    stored: int = 0
    """Bytes of values that this run stored so far, before equal blocks are put together."""
    seconds: dict[str, float] = field(default_factory=dict)
    """What running a record's cell again costs, the cells before it included."""
    bandwidth: float = 0.0
    """Bytes per second to the store's disk, 0 until it is known."""

    def cell(self, record: str, seconds: float, read: Iterable[Version], tags: Collection[str]) -> Decide:
        """Decides about the values of a repeatable cell that took ``seconds``."""
        before = {one for version in read if left_out(version) for one in version.chain}
        cost = seconds + sum(self.seconds.get(one, 0.0) for one in before)
        self.seconds[record] = cost

        def decide(size: int) -> str:
            reason = self._reason(size, cost, tags)
            if not reason:
                self.stored += size
            return reason

        return decide

    def any_cell(self, size: int) -> str:
        """Stores the values of a cell that is not repeatable."""
        self.stored += size
        return ""

    def _reason(self, size: int, cost: float, tags: Collection[str]) -> str:
        if size < LEAST or STORED in tags:
            return ""
        shown = f"{_MARK}{size / 1e6:.0f} MB that its cells give again in {cost:.2g} s"
        if LEFT_OUT in tags:
            return f"{shown} (tag {LEFT_OUT})"
        if self.rule == "outputs":
            return f"{shown} (--keep outputs)"
        if self.budget and self.stored + size > self.budget:
            return f"{shown} (the run's budget of {self.budget / 1e6:.0f} MB is used up)"
        if self.rule == "auto" and cost < size / self._write() + size / READ:
            return f"{shown}, sooner than the store would (--keep auto)"
        return ""

    def _write(self) -> float:
        if not self.bandwidth:
            self.bandwidth = measured_bandwidth(self.folder)
        return self.bandwidth


def measured_bandwidth(folder: Path) -> float:
    """Bytes per second that reach a disk; infinite, so that all is stored, where that cannot be tried."""
    data = os.urandom(1 << 16) * (PROBE >> 16)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            began = time.perf_counter()
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            return PROBE / max(time.perf_counter() - began, 1e-6)
    except OSError:
        return float("inf")
