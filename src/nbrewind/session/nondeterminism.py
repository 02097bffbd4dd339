"""Names that make a cell read the clock or entropy (R15)."""

from __future__ import annotations

from collections.abc import Iterable
from types import CodeType
from typing import Any

from nbrewind.flow import code as codes
from nbrewind.flow.still import code_of

CLOCK_AND_ENTROPY = frozenset(
    {
        "time_ns",
        "perf_counter",
        "monotonic",
        "process_time",
        "now",
        "utcnow",
        "today",
        "uuid1",
        "uuid4",
        "urandom",
        "SystemRandom",
        "token_hex",
        "token_bytes",
        "token_urlsafe",
        "randbits",
        "getpid",
        "localtime",
        "gmtime",
    }
)


def nondeterministic_names(code: CodeType | None, memory: Any, reads: Iterable[str]) -> bool:
    """Whether the code, or a function of the notebook that it read, names such a source."""
    if code is None:
        return False
    queue = [code]
    for root in reads:
        inner = code_of(memory.live.get(root))
        if inner is not None:
            queue.append(inner)
    for each in queue:
        names = codes.attribute_names(each)
        if names & CLOCK_AND_ENTROPY or "time" in codes.loaded_attributes(each):
            return True
        if {"id", "hash"} & codes.global_names(each):
            return True
    return False
