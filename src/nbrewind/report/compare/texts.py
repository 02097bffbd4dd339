"""Whether two texts say the same: equal, or the same words with numbers within a tolerance."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

from nbrewind.report.words import visible

EQUAL = "equal"
CLOSE = "close"
DIFFERENT = "different"

MOST_COMPARED = 2_000_000
"""Characters between the first and the last difference whose words are looked at."""

DIFF_LINES = 12
DIFF_WIDTH = 100
_BEFORE = 40
"""Characters of a long line that are shown in front of its first difference."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far two results may be apart: numbers as in `math.isclose`, images by their mean difference."""

    relative: float = 1e-6
    absolute: float = 0.0
    pixels: float = 0.001
    """Of the whole range from black to white."""


@dataclass(frozen=True, slots=True)
class Found:
    """How two results compare: ``equal``, ``close`` or ``different``.  All strings are safe for terminals."""

    verdict: str
    note: str = ""
    relative: float | None = None
    """The largest relative difference of two numbers, None where no number differs or words do."""
    diff: tuple[str, ...] = ()


_TOKEN = re.compile(
    r"""
    (?P<random>\b0x[0-9a-fA-F]{6,}\b|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\bipykernel_\d++)
    | (?P<number>(?<![\w.])[-+]?(?:\d++(?:\.\d*+)?+|\.\d++)(?:[eE][-+]?\d++)?+(?=j?+(?!\w)))
    | (?P<rule>[-=~_*#─━═]{3,})
    | (?P<word>\w++|\S)
    """,
    re.VERBOSE,
)
"""Blanks only separate: columns shift with the length of what is in them, and so do ruled lines.  Quantifiers
are possessive (or bounded), so that no text takes more than linear time."""


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        yield kind, match[0][:3] if kind == "rule" else match[0]


def compare_texts(one: str, other: str, tolerance: Tolerance) -> Found:
    """Two texts, word by word.

    Close are those that differ only in blanks, in numbers within the tolerance, and in what is another one in
    every process: addresses, UUIDs, the folder of ipykernel.
    """
    if one == other:
        return Found(EQUAL)
    old, new = _trimmed(one, other)
    if max(len(old), len(new)) > MOST_COMPARED:
        note = f"numbers are not compared in differences of more than {MOST_COMPARED:,} characters"
        return Found(DIFFERENT, note, diff=short_diff(one, other))
    largest: float | None = None
    within, random = True, False
    for (kind, a), (kind_too, b) in zip_longest(_tokens(old), _tokens(new), fillvalue=("", "")):
        if a == b:
            continue
        if kind == kind_too == "random":
            random = True
        elif kind == kind_too == "number" and (apart := _apart(a, b)) is not None:
            largest = max(apart, largest or 0.0)
            within = within and math.isclose(
                float(a), float(b), rel_tol=tolerance.relative, abs_tol=tolerance.absolute
            )
        else:
            return Found(DIFFERENT, diff=short_diff(one, other))
    note = "addresses or random ids differ" if random else ""
    if largest is not None:
        note = f"numbers differ by up to {largest:.2g} of their size" + (f"; {note}" if note else "")
    if within:
        return Found(CLOSE, note or "blanks differ", largest)
    return Found(DIFFERENT, note, largest, short_diff(one, other))


def _trimmed(one: str, other: str) -> tuple[str, str]:
    """What is left of two texts without the words that both begin and end with."""
    for _ in range(2):
        at = _first_difference(one, other)
        begin = max(one.rfind(blank, 0, at) for blank in " \n") + 1
        one, other = one[begin:][::-1], other[begin:][::-1]
    return one, other


def _apart(a: str, b: str) -> float | None:
    """The relative difference of two numbers, None where floating point cannot hold them."""
    if max(len(a), len(b)) > 400:
        return None
    x, y = float(a), float(b)
    size = max(abs(x), abs(y))
    if not math.isfinite(size):
        return None
    return abs(x / size - y / size) if size else 0.0


def short_diff(one: str, other: str) -> tuple[str, ...]:
    """A unified diff from the first difference on, of few and short lines however long the texts are."""
    at = _first_difference(one, other)
    line = one.count("\n", 0, at) + 1
    begin = max(one.rfind("\n", 0, at) + 1, at - _BEFORE)
    old, new = (_lines(text[begin : begin + DIFF_LINES * DIFF_WIDTH]) for text in (one, other))
    found = [part for part in difflib.unified_diff(old, new, lineterm="", n=1) if part != " "][3:]
    return (f"@@ line {line} @@", *("..." if part.startswith("@@") else part for part in found[:DIFF_LINES]))


def _lines(text: str) -> list[str]:
    return [visible(line[:DIFF_WIDTH]) for line in text.split("\n")[:DIFF_LINES]]


def _first_difference(one: str, other: str) -> int:
    """How many characters two texts have in common at their beginning.  Slices are compared far faster than
    characters, so it is searched by halves."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
