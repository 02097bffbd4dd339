"""pandas: pickling a series or an index drops who shares its memory, and with it copy-on-write (R14)."""

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


codecs = (Column, Index)
