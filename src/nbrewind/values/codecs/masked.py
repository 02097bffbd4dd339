"""NumPy's masked arrays: pickling them copies data and mask, which other names may share."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbrewind.flow.codecs import Codec

_ATTRIBUTES = ("_mask", "_fill_value", "_hardmask", "_sharedmask", "_baseclass", "_optinfo", "_isfield")


class Masked(Codec):
    """Masked arrays and their subclasses; the constant ``masked`` is one object per process."""

    name = "numpy.ma"
    types = (np.ma.MaskedArray,)
    subclasses = True

    def content(self, value: Any) -> Any:
        """The data as a plain array over the same memory, and the attributes."""
        if value is np.ma.masked:
            return "masked"
        held = vars(value)
        return np.ndarray.view(value, np.ndarray), {name: held.get(name) for name in _ATTRIBUTES}

    def state(self, value: Any) -> Any:
        """The content, with an array that may own the data."""
        content = self.content(value)
        if content != "masked" and value.base is None:
            return content[0].copy(order="K"), content[1]
        return content

    def rebuild(self, cls: type, state: Any) -> Any:
        """A masked array over the data."""
        if state == "masked":
            return np.ma.masked
        data, attributes = state
        made = data.view(cls)
        vars(made).update(attributes)
        return made
