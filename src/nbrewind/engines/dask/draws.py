"""Dask draws from ``random`` in the notebook's process; here it gets a generator of its own.

It draws for each result that it gathers, when it connects anew, where it sends tasks and for the size of a
list.  A served result is not gathered, so the notebook's own numbers would depend on what was served, and
what the engine's loop draws on numbers of milliseconds (docs/guarantee.md).
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from typing import Any

_MODULES = (
    "dask.sizeof",
    "distributed.comm.core",
    "distributed.protocol.compression",
    "distributed.scheduler",
    "distributed.utils_comm",
    "distributed.worker",
)


def replacements() -> Iterator[tuple[Any, str, Any]]:
    """Modules of the engine with the attribute to replace, and by what."""
    own = random.Random(os.getpid())  # seeded: a draw of entropy would count as one of the cell
    for name in _MODULES:
        module = sys.modules.get(name)
        for attribute, value in {"random": own, "randint": own.randint}.items():
            found = getattr(module, attribute, None)
            if found is random or found == random.randint:
                yield module, attribute, value
