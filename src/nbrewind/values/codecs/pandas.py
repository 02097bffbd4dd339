"""pandas: pickling drops who shares the memory of a series or an index, and with it copy-on-write (R14)."""

from __future__ import annotations

from typing import Any

import pandas as pd
from pandas.core.internals import managers  # type: ignore[import-not-found]

from nbrewind.flow.codecs import Codec


class Column(Codec):
    """What a series holds: its block, which knows the others, and its index."""

    name = "pandas.SingleBlockManager"
    types = (managers.SingleBlockManager,)

    def state(self, value: Any) -> Any:
        """Block and index."""
        return value.blocks[0], value.axes[0]

    def rebuild(self, cls: type, state: Any) -> Any:
        """The manager of the block."""
        made: Any = cls
        return made(*state)


class Index(Codec):
    """Indices; one that was made from a column is over its memory."""

    name = "pandas.Index"
    types = (pd.Index,)
    subclasses = True

    def state(self, value: Any) -> Any:
        """What pickling gives, and the register of those who share the memory."""
        return value.__reduce__()[:2], vars(value).get("_references")

    def rebuild(self, cls: type, state: Any) -> Any:
        """An index that is registered again."""
        (make, args), references = state
        made = make(*args)
        if references is not None:
            made._references = references
            references.add_index_reference(made)
        return made


class Table(Codec):
    """Frames and series: pickling copies the dict of ``attrs`` and forgets attributes that a cell set."""

    name = "pandas.NDFrame"
    types = (pd.DataFrame, pd.Series)
    subclasses = True

    def state(self, value: Any) -> Any:
        """What pickling gives, with that dict itself and with the attributes."""
        held = value.__getstate__()
        if not isinstance(held, dict) or "attrs" not in held:
            return NotImplemented
        del held["attrs"]
        own = {
            name: one
            for name, one in vars(value).items()
            if name not in held and _set_by_a_cell(type(value), name, one)
        }
        return {**held, **own}

    def fill(self, value: Any, state: Any) -> None:
        """As unpickling does; ``vars()`` tells the same then as of a frame that was made."""
        value.__setstate__(dict(state))
        held: dict[str, Any] = vars(value)
        held.pop("_typ", None)
        for name in sorted(held, key=lambda name: _MADE.index(name) if name in _MADE else len(_MADE)):
            held[name] = held.pop(name)


_MADE = ("_mgr", "_item_cache", "_attrs", "_flags", "_name")
"""What a new frame or series has, in this order."""


def _set_by_a_cell(cls: Any, name: str, held: Any) -> bool:
    if name in cls._internal_names_set:
        return False
    # pandas before 3 keeps its accessors here once they were used.
    return not (hasattr(cls, name) and type(held).__module__.partition(".")[0] == "pandas")


codecs = (Column, Index, Table)
