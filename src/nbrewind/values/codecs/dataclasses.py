"""The marks in the fields of dataclasses: code asks whether a default *is* ``MISSING``, so each is one."""

from __future__ import annotations

import dataclasses
from typing import Any

from nbrewind.flow.codecs import Codec

_MARKS = {
    id(value): name
    for name, value in vars(dataclasses).items()
    if not isinstance(value, type) and type(value).__module__ == "dataclasses"
}


class Mark(Codec):
    """What the module holds one of: ``MISSING``, ``KW_ONLY``, the kinds of fields."""

    name = "dataclasses.mark"
    types = tuple({type(getattr(dataclasses, name)) for name in _MARKS.values()})
    immutable = True

    def state(self, value: Any) -> Any:
        """Its name in the module."""
        return _MARKS.get(id(value), NotImplemented)

    def rebuild(self, cls: type, state: Any) -> Any:
        """The one of this process."""
        return getattr(dataclasses, state)
