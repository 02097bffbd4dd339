"""What a worker's wrapper reported, in the terms of the task log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nbrewind.errors import NotStorable
from nbrewind.model import Digest, FileState, TaskEntry
from nbrewind.tasks.worker import MARK as REPORT

if TYPE_CHECKING:
    from nbrewind.tasks.context import TaskContext

_OF_PROCESSES = frozenset({"JPY_PARENT_PID", "JPY_SESSION_NAME", "OLDPWD", "PWD", "SHLVL", "_"})
"""Variables that every kernel has anew; whoever starts a child process reads them with all others."""

Report = dict[str, Any]
"""See ``worker.Watch.end``."""


@dataclass(slots=True)
class Trace:
    """What tasks read and wrote beside their arguments and results."""

    files: dict[str, FileState] = field(default_factory=dict)
    outputs: dict[str, FileState] = field(default_factory=dict)
    variables: dict[str, Digest] = field(default_factory=dict)
    refusal: str = ""
    """Why no result that rests on this can be served; empty if it can."""


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
    found = trace(context, [report])
    if found.refusal:
        raise NotStorable(found.refusal)
    return found.files, found.outputs


def trace(context: TaskContext, reports: Iterable[Report]) -> Trace:
    """What the reports together say; stops at the first that cannot be served."""
    found = Trace()
    for report in reports:
        if report["unsure"]:
            found.refusal = str(report["unsure"][0])
            break
        for path, (kind, digest, size, mode) in report["reads"].items():
            found.files[context.files.portable(path)] = FileState(kind, digest, size, mode)
        for name in report["variables"]:
            if name in _OF_PROCESSES or name.startswith("NBREWIND_"):
                continue
            found.variables[name] = context.variable_digest(name)
        refused = _keep_outputs(context, report["outputs"], found.outputs)
        if refused:
            found.refusal = refused
            break
    return found


def described(report: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a report that an entry keeps for people, by the entry's field names."""
    return {
        name: report[name] for name in ("seconds", "memory", "worker", "stdout", "stderr") if name in report
    }


def entry(
    key: Digest, name: str, engine: str, found: Trace, report: Mapping[str, Any], **more: Any
) -> TaskEntry:
    """An entry without its result."""
    return TaskEntry(
        key,
        name,
        "",
        files=found.files,
        outputs=found.outputs,
        variables=found.variables,
        engine=engine,
        **described(report),
        **more,
    )


def _keep_outputs(context: TaskContext, wrote: dict[str, Any], outputs: dict[str, FileState]) -> str:
    for path, (kind, digest, size, mode, data) in wrote.items():
        if data is None:
            now = context.files.state(path, marked=digest.startswith("b2:"))
            if now.digest != digest:
                return f"its output file {path} is not visible here"
            with context.quiet(), open(path, "rb") as source:
                data = source.read()
        outputs[context.files.portable(path)] = FileState(kind, context.store.put(data), size, mode)
    return ""
