"""Records that are never a hit, whatever their traces say (R7, R12, R13)."""

from __future__ import annotations

from nbrewind import rules
from nbrewind.model import Record
from nbrewind.session.tags import EXCUSED, NEVER

_NEVER_REPLAYED = frozenset(
    {
        "OSError",
        "MemoryError",
        "KeyboardInterrupt",
        "FileNotFoundError",
        "PermissionError",
        "TimeoutError",
        "ConnectionError",
        "BrokenPipeError",
        "InterruptedError",
        "IsADirectoryError",
        "NotADirectoryError",
        "FileExistsError",
        "ConnectionResetError",
        "ConnectionRefusedError",
        "KilledWorker",
        "CancelledError",
        "EOFError",
        "StdinNotImplementedError",
        "ImportError",
        "ModuleNotFoundError",
        "SystemExit",
        "RecursionError",
    }
)


_OUTSIDE = (OSError, MemoryError, KeyboardInterrupt, SystemExit, EOFError, ImportError, RecursionError)
_TO_OUTSIDE = frozenset(
    {"distributed", "parsl", "ndcctools", "ray", "socket", "ssl", "http", "urllib", "urllib3", "requests"}
) | {"httpx", "aiohttp", "subprocess", "multiprocessing", "asyncio"}
"""Packages through which code meets clusters, other processes and the network."""


def from_outside(error: BaseException) -> bool:
    """Whether an exception, or one behind it, came from the machine, an engine or the network (R12).

    ``Nanny failed to start`` is a plain RuntimeError, so where it was raised counts, not only its class.
    """
    chain: list[BaseException] = []
    queue: list[BaseException | None] = [error]
    while queue:
        one = queue.pop()
        if one is None or one in chain:
            continue
        chain.append(one)
        queue += [one.__cause__, one.__context__]
    return any(isinstance(one, _OUTSIDE) or _packages(one) & _TO_OUTSIDE for one in chain)


def _packages(error: BaseException) -> set[str]:
    found = {type(error).__module__.partition(".")[0]}
    trace = error.__traceback__
    while trace is not None:
        found.add(str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0])
        trace = trace.tb_next
    return found


def replayable(record: Record, *, pure: bool = False) -> bool:
    """Whether a recorded error may be shown again instead of running the cell (R12)."""
    assert record.error is not None
    flags = set(record.flags) - (EXCUSED if pure else frozenset())
    return record.error.ename not in _NEVER_REPLAYED and not (
        {"external", "files", "nondeterministic", "engine", "interrupted", "outside"} & flags
    )


def refused(record: Record, *, pure: bool = False) -> str:
    """Why a record is never a hit, whatever its trace says; empty otherwise.

    ``pure`` says that the author excuses what the cell has to do with clocks and the outside.
    """
    if "private" in record.flags:
        return f"it was tagged {NEVER}: nothing of it is stored"
    if "process" in record.flags:
        return next((note for note in record.notes if note.startswith("changes ")), "it changes the process")
    if "unseen" in record.flags:
        return next((note for note in record.notes if note.startswith("not restored: ")), "not seen whole")
    if "environment" in record.flags:
        return "it changes the environment"
    if "interrupted" in record.flags:
        return "it was interrupted"
    if "unsettled" in record.flags:
        return "a callback was running while it was recorded"
    if "never" in record.flags:
        return "it sets a secret"
    if record.error is not None and rules.on("R12") and not replayable(record, pure=pure):
        return "an error that may not come again"
    return ""
