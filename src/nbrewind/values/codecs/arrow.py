"""pyarrow's buffers: an array or a table may lie over the memory of a NumPy array or a frame."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from nbrewind.flow.codecs import Codec


class Buffer(Codec):
    """Buffers by the general rules, with their addresses."""

    name = "pyarrow.Buffer"
    types = (pa.Buffer,)
    subclasses = True

    def memory(self, value: Any) -> Any:
        """Where it lies."""
        return [(int(value.address), int(value.size))] if value.is_cpu else []
