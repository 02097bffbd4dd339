"""joblib: a memory that keeps nothing is its settings; when it was made only serves messages."""

from __future__ import annotations

import time
from typing import Any

from joblib.memory import Memory

from nbrewind.flow.codecs import Codec


class Settings(Codec):
    """Estimators hold a ``Memory(None)`` that never caches; pickling it loses its time."""

    name = "joblib.Memory"
    types = (Memory,)

    def cannot_store(self, value: Any) -> str:
        """A folder of results is written by whoever calls, also behind the notebook's back."""
        return "" if value.location is None else "a joblib.Memory with results in a folder"

    def state(self, value: Any) -> Any:
        """The attributes, in their order, without the time."""
        return {**vars(value), "timestamp": None}

    def fill(self, value: Any, state: Any) -> None:
        """Set the attributes; it is made now."""
        vars(value).update(state)
        value.timestamp = time.time()
