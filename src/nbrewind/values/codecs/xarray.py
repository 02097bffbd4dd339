"""xarray: data that are read from their file when they are used; empty attributes made by a look at them."""

from __future__ import annotations

from typing import Any

import xarray as xr
from xarray.backends.common import BackendArray
from xarray.backends.file_manager import FileManager

from nbrewind.flow.codecs import Codec

_MADE_BY_LOOKING = ("_attrs", "_encoding")


class Lazy(Codec):
    """What reads a file later: the file may have changed by then."""

    name = "xarray.backends"
    types = (BackendArray, FileManager)
    subclasses = True

    def cannot_store(self, value: Any) -> str:
        """Always."""
        return "data that are read from an open file when they are used"


class Labelled(Codec):
    """Datasets, arrays and variables by their slots."""

    name = "xarray.Dataset"
    types = (xr.Dataset, xr.DataArray, xr.Variable, xr.IndexVariable)

    def content(self, value: Any) -> Any:
        """The slots; no attributes and none yet are the same."""
        held = self.state(value)
        for name in _MADE_BY_LOOKING:
            if name in held and not held[name]:
                held[name] = None
        return held

    def state(self, value: Any) -> Any:
        """The slots, without the file that everything was read from and without what accessors keep."""
        held = {name: getattr(value, name) for name in _slots(type(value)) if hasattr(value, name)}
        held.pop("_cache", None)
        if "_close" in held and not _is_lazy(value):
            held["_close"] = None
        return held

    def fill(self, value: Any, state: Any) -> None:
        """Set the slots."""
        for name, held in state.items():
            object.__setattr__(value, name, held)


def _slots(cls: type) -> list[str]:
    found = []
    for parent in cls.__mro__:
        names = parent.__dict__.get("__slots__", ())
        found += [n for n in ((names,) if isinstance(names, str) else names) if n != "__weakref__"]
    return sorted(set(found))


def _is_lazy(value: Any) -> bool:
    if isinstance(value, xr.Dataset):
        return not all(variable._in_memory for variable in value._variables.values())
    return isinstance(value, xr.DataArray) and not value.variable._in_memory


codecs = (Lazy, Labelled)
