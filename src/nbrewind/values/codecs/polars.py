"""polars: columns may lie over the memory of NumPy arrays; functions in plans are pickled by value."""

from __future__ import annotations

from typing import Any

import polars as pl

from nbrewind.flow.codecs import Codec

_PYTHON = (b"PLPYUDF", b"PLPYFN", b"cloudpickle")
"""What serialised plans and expressions hold where they call Python."""

_LENT = {
    pl.Int8,
    pl.Int16,
    pl.Int32,
    pl.Int64,
    pl.UInt8,
    pl.UInt16,
    pl.UInt32,
    pl.UInt64,
    pl.Float32,
    pl.Float64,
}
"""Types whose numbers lie as NumPy has them."""


class Column(Codec):
    """Series and frames by the general rules, with the addresses of their numbers."""

    name = "polars.Series"
    types = (pl.Series, pl.DataFrame)

    def cannot_store(self, value: Any) -> str:
        """polars does not look into Python objects."""
        if any(column.dtype == pl.Object for column in _columns(value)):
            return "a column of Python objects"
        return ""

    def memory(self, value: Any) -> Any:
        """Where the chunks lie that could belong to an array."""
        found = []
        for column in _columns(value):
            for chunk in column.get_chunks() if len(column) else ():
                numbers = chunk.to_physical()
                if numbers.dtype in _LENT and not numbers.null_count():
                    array = numbers.to_numpy(allow_copy=False)
                    found.append((int(array.__array_interface__["data"][0]), int(array.nbytes)))
        return found


def _columns(value: Any) -> list[Any]:
    return value.get_columns() if isinstance(value, pl.DataFrame) else [value]


class Plan(Codec):
    """Lazy frames and expressions: a function in them would come back with globals of its own."""

    name = "polars.LazyFrame"
    types = (pl.LazyFrame, pl.Expr)

    def cannot_store(self, value: Any) -> str:
        """Whether Python is called."""
        held = repr(value.__getstate__()).encode() if isinstance(value, pl.Expr) else value.__getstate__()
        data = held if isinstance(held, bytes) else repr(held).encode()
        return "a plan that calls a Python function" if any(mark in data for mark in _PYTHON) else ""


codecs = (Column, Plan)
