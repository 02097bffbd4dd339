"""What a task and its files were made of: TaskVine keeps it on the C side, where nobody can ask.

The hooks write it down as it passes.  Everything lies beside TaskVine's objects, as what
a value reaches is walked.
"""

from __future__ import annotations

import os
import re
import weakref
from dataclasses import dataclass, field
from typing import Any, Literal

from nbrewind.engines.taskvine.vinelib import FunctionCall, PythonTask
from nbrewind.errors import NotStorable
from nbrewind.tasks.context import TaskContext

OUTPUT = "<output>"
_OUTSIDE = re.compile(r"\w+://\S*|~\S*|\.\./\S*|(?<![\w.~-])/(?!(usr|bin|lib)/|dev/null)[^\s;|&\"']*")
"""What a shell command may touch beside what it declares: addresses, and paths out of its folder."""
Kind = Literal["file", "buffer", "temp", "other"]


@dataclass(eq=False, slots=True)
class FileNote:
    """A declared file."""

    kind: Kind
    path: str = ""
    data: bytes | None = None
    what: str = ""
    """Of another kind: how it was declared."""
    producer: TaskNote | None = None
    place: str = ""
    """Its name among the outputs of its producer."""


@dataclass(eq=False, slots=True)
class TaskNote:
    """A task before its submission."""

    inputs: list[tuple[Any, str]] = field(default_factory=list)
    """Files and their names where the task runs."""
    outputs: list[tuple[Any, str]] = field(default_factory=list)
    """Files and their names where the task runs; ``OUTPUT`` for what a function returns."""
    variables: dict[str, str | None] = field(default_factory=dict)
    refusal: str = ""
    """Why the task cannot be told from others."""
    execution: str = ""
    """One run of the task: what its outputs count as while their content is not known."""
    collected: bool = False
    """Whether ``wait`` has given it to the notebook."""


files: weakref.WeakKeyDictionary[Any, FileNote] = weakref.WeakKeyDictionary()
tasks: weakref.WeakKeyDictionary[Any, TaskNote] = weakref.WeakKeyDictionary()


def note_of(task: Any) -> TaskNote:
    """The note of a task; made at its first use."""
    found = tasks.get(task)
    if found is None:
        found = tasks[task] = TaskNote()
    return found


Call = tuple[Any, tuple[Any, ...], dict[str, Any], dict[str, Any]]


def identity_of(context: TaskContext, task: Any) -> Call:
    """``(func, args, kwargs, options)`` of a task that is about to be submitted.

    Raises:
        NotStorable: part of it has no content that could be compared.
    """
    note = note_of(task)
    if note.refusal:
        raise NotStorable(note.refusal)
    options: dict[str, Any] = {
        "inputs": sorted((name, file_text(context, file)) for file, name in note.inputs),
        "outputs": sorted((name, _target(context, file)) for file, name in note.outputs),
        "env": sorted(note.variables.items(), key=str),
    }
    if isinstance(task, FunctionCall):
        raise NotStorable("what a function of a library opens is not seen")
    if isinstance(task, PythonTask):
        if task._fn_def is None:
            raise NotStorable("it was submitted before")
        func, args, kwargs = task._fn_def
        options["plain"] = not task._serialize_output
        options["temporary"] = bool(task._tmp_output_enabled)
        return func, tuple(args), dict(kwargs), options
    outside = _OUTSIDE.search(task.command)
    if outside is not None:
        raise NotStorable(f"its command names {outside.group()}, outside of its folder")
    return _shell, (task.command,), {}, options


def _shell() -> None:
    """Stands for the shell."""


def file_text(context: TaskContext, file: Any) -> str:
    """What an input file counts as.

    Raises:
        NotStorable: its content cannot be known.
    """
    note = files.get(file)
    if note is None or note.kind == "other":
        raise NotStorable(f"the content of {note.what if note else 'an input file'} is not known")
    producer = note.producer
    if producer is not None and (note.kind == "temp" or not producer.collected):
        if not producer.execution:
            raise NotStorable("an input is made by a task that the log does not know")
        return f"output:{producer.execution}:{note.place}"
    if note.kind == "buffer":
        return "buffer:" + context.value_digest(note.data)
    if note.kind == "temp":
        raise NotStorable("a temporary file that no task makes")
    with context.quiet():
        return "content:" + _content(context, note.path)


def _content(context: TaskContext, path: str) -> str:
    state = context.files.state(path)
    if state.kind != "dir":
        return f"{state.kind}:{state.digest}"
    names = sorted(os.listdir(path))
    return "{" + ",".join(f"{name}={_content(context, os.path.join(path, name))}" for name in names) + "}"


def _target(context: TaskContext, file: Any) -> str:
    note = files.get(file)
    if note is None or note.kind == "other":
        raise NotStorable("an output file of an unknown kind")
    return context.files.portable(note.path) if note.kind == "file" else note.kind
