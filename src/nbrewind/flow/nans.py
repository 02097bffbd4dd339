"""Which NaN a float is.

``numpy.nan in values``, ``value is np.nan`` and a dict's key find a NaN by identity, since none equals
itself: the process's own two must come back as themselves, all others once each.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Collection
from operator import ne
from typing import Any

PLACES = ("math", "numpy")
"""What keeps a NaN of its own."""


def any_nan(values: list[Any], kinds: Collection[type]) -> bool:
    """Whether one of some atoms, which are of these types, is a NaN float."""
    if float not in kinds:
        return False
    if len(kinds) == 1:
        total = sum(values)
        if total == total:  # a sum with a NaN in it is one
            return False
    return any(map(ne, values, values))


def name(value: float) -> str:
    """Where the process keeps a NaN: ``numpy``, ``math``, or nowhere (empty)."""
    if value is math.nan:
        return "math"
    numpy = sys.modules.get("numpy")
    return "numpy" if numpy is not None and value is numpy.nan else ""


def named(place: str) -> float:
    """The NaN of a place.

    Raises:
        LookupError: there is none of that name.
    """
    if place == "math":
        return math.nan
    if place == "numpy":
        import numpy

        return numpy.nan
    raise LookupError(f"no NaN is kept in {place!r}")
