"""The dicts in which objects keep their attributes, and whether something else refers to them.

``b = vars(a)``, ``self.__dict__ = self`` and ``notes = f.__annotations__`` make such a dict a
value of its own: what changes it changes the object.  Objects are many and such dicts are few,
so a dict counts as part of its object unless its reference count tells that it has another holder.
"""

from __future__ import annotations

import sys
from typing import Any


def held_elsewhere(mapping: Any) -> bool:
    """Whether something besides its object, and one variable of the caller, refers to a dict."""
    return sys.getrefcount(mapping) > _ALONE


def any_held_elsewhere(mappings: list[Any]) -> bool:
    """As ``held_elsewhere``, for dicts that a list holds."""
    return max(map(sys.getrefcount, mappings), default=0) > _LISTED


class _Owner:
    def __init__(self) -> None:
        self.attribute = None


def _alone() -> int:
    owner = _Owner()
    mapping = vars(owner)
    return _count(mapping)


def _count(mapping: Any) -> int:
    return sys.getrefcount(mapping)


def _listed() -> int:
    owners = [_Owner(), _Owner()]
    return max(map(sys.getrefcount, list(map(vars, owners))))


_ALONE = _alone()
_LISTED = _listed()
