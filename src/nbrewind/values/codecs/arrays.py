"""Objects whose pickled state is arrays over memory of their own: stored and compared by copies of these."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbrewind.flow.codecs import Codec


def _own(part: Any) -> Any:
    """An array with memory of its own, without the padding between its fields; anything else as it is."""
    if type(part).__name__ in ("memoryview", "_memoryviewslice"):
        part = np.asarray(part)
    if not isinstance(part, np.ndarray):
        return part
    if part.dtype.names is None:
        return np.array(part)
    made = np.zeros(part.shape, part.dtype)
    for name in part.dtype.names:
        made[name] = part[name]
    return made


class ByReduce(Codec):
    """What an object's own reduce gives, with arrays that nobody else has."""

    subclasses = True

    def state(self, value: Any) -> Any:
        """Who makes it, from what, and its parts."""
        make, args, state = value.__reduce__()
        if isinstance(state, dict):
            return make, args, {name: _own(part) for name, part in state.items()}
        return make, args, tuple(_own(part) for part in state)

    def rebuild(self, cls: type, state: Any) -> Any:
        """The object, which copies its parts."""
        make, args, parts = state
        made = make(*args)
        made.__setstate__(parts)
        return made
