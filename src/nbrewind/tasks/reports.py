"""What a worker says about the files of a task, as the task log keeps it."""

from __future__ import annotations

import contextlib
from typing import Any

from nbrewind.errors import NotStorable
from nbrewind.model import FileState
from nbrewind.tasks.context import TaskContext
from nbrewind.tasks.files import MARK
from nbrewind.tasks.worker import MARK as REPORT

Report = dict[str, Any]


def split(value: Any) -> tuple[Report | None, Any]:
    """Report and value of what a ``worker.Returning`` gave; None beside any other value."""
    if type(value) is tuple and len(value) == 3 and value[0] == REPORT:
        return value[1], value[2]
    return None, value


def files_of(context: TaskContext, report: Report) -> tuple[dict[str, FileState], dict[str, FileState]]:
    """Files that the task read, and those that it wrote, whose content is stored.

    Raises:
        NotStorable: what it did to files cannot be repeated; the message says why.
    """
    if report["unsure"]:
        raise NotStorable(f"it moved or removed {report['unsure'][0]}")
    reads = {
        context.files.portable(path): FileState(kind, digest, size, mode)
        for path, (kind, digest, size, mode) in report["reads"].items()
    }
    outputs: dict[str, FileState] = {}
    for path, (kind, digest, size, mode, data) in report["outputs"].items():
        if data is None:
            data = _visible(context, path, digest)
        outputs[context.files.portable(path)] = FileState(kind, context.store.put(data), size, mode)
    return reads, outputs


def _visible(context: TaskContext, path: str, digest: str) -> bytes:
    """A large output file, which did not travel with its report."""
    if context.files.state(path, marked=digest.startswith(MARK)).digest == digest:
        with contextlib.suppress(OSError), open(path, "rb") as source:
            return source.read()
    raise NotStorable("an output file is not visible here")
