"""Records that are never a hit, whatever their traces say (R7, R12, R13)."""

from __future__ import annotations

from nbrewind import rules
from nbrewind.model import Record

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


def replayable(record: Record) -> bool:
    """Whether a recorded error may be shown again instead of running the cell (R12)."""
    assert record.error is not None
    return record.error.ename not in _NEVER_REPLAYED and not (
        {"external", "files", "nondeterministic", "engine", "interrupted"} & set(record.flags)
    )


def refused(record: Record) -> str:
    """Why a record is never a hit, whatever its trace says; empty otherwise."""
    if "process" in record.flags:
        return next((note for note in record.notes if note.startswith("changes ")), "it changes the process")
    if "environment" in record.flags:
        return "it changes the environment"
    if "never" in record.flags:
        return "it sets a secret"
    if record.error is not None and rules.on("R12") and not replayable(record):
        return "an error that may not come again"
    return ""
