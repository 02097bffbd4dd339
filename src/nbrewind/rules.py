"""Switches for the rules R1 to R15, so that a test can show what each is good for.

A rule is on unless ``NBREWIND_WITHOUT_RULES`` names it (``R3,R12``).  Only tests
set this: without a rule the guarantee does not hold.
"""

from __future__ import annotations

import os

WITHOUT: frozenset[str] = frozenset(
    part.strip() for part in os.environ.get("NBREWIND_WITHOUT_RULES", "").split(",") if part.strip()
)


def on(rule: str) -> bool:
    """Whether ``rule`` (``"R1"`` to ``"R15"``) is in force in this process."""
    return rule not in WITHOUT
