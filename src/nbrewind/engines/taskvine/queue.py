"""Serves and records the tasks of one manager.

A hit never reaches the engine: ``wait`` gives the notebook's own task object, finished.
Its outputs that lie on this machine are laid down; those that stay with workers
(temporary files, buffers) are made only if a task that really runs needs one.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import shlex
import time
import uuid
from dataclasses import dataclass, replace
from typing import Any

import cloudpickle

from nbrewind.engines.taskvine import notes
from nbrewind.engines.taskvine.notes import TaskNote
from nbrewind.engines.taskvine.served import is_served, serve
from nbrewind.engines.taskvine.vinelib import FunctionCall, PythonTask, cvine
from nbrewind.errors import MissingObject, NBRewindError, NotStorable
from nbrewind.flow.environment import versions
from nbrewind.model import FileState, TaskEntry
from nbrewind.tasks import reports
from nbrewind.tasks.context import CellTasks, TaskContext, Ticket
from nbrewind.tasks.worker import Leaving

ENGINE = "taskvine"
REPORT = "nbrewind.report"
AGAIN = "_nbrewind_again"


@dataclass(eq=False, slots=True)
class Sent:
    """A task that the engine runs and the log will hold."""

    ticket: Ticket
    name: str
    outputs: list[tuple[Any, str]]
    """What the notebook declared, without what the engine adds."""
    packages: frozenset[str]
    """Installed packages that the task names."""
    report: Any = None
    """The file with the worker's report; a shell task has none."""


class Queue:
    """The task log beside one manager."""

    def __init__(self, context: TaskContext) -> None:
        self.context = context
        self.sent: dict[int, Sent] = {}
        self.done: list[Any] = []
        """Served tasks that the notebook has not waited for, in the order of their completion."""
        self.hidden: set[int] = set()
        """Tasks that run again for an output of theirs, and that the notebook has already."""
        self.served: set[int] = set()
        """Ids of served tasks: those that the engine would have given."""
        self._last = 0

    # -- submission -------------------------------------------------------------------

    def submit(self, manager: Any, task: Any, original: Any) -> int:
        """Serve a task or hand it to the engine; its id."""
        context, cell = self.context, self.context.cell
        note = notes.note_of(task)
        note.execution = uuid.uuid4().hex
        if not context.active:
            return self._send(manager, task, original)
        name = _name(task)
        ticket, packages = None, frozenset[str]()
        try:
            func, args, kwargs, options = notes.identity_of(context, task)
            identity = context.identity(func, args, kwargs, options=options)
            ticket, packages = context.claim(identity.key, cell), identity.packages
            context.note_key(cell, ticket.key)
            self._note_inputs(note, cell)
            if self._serve(manager, task, note, ticket):
                return self._last
        except NBRewindError as problem:
            cell.notes.setdefault(f"task {name} just runs: {problem}")
        context.count_run(cell)
        return self._send(
            manager,
            task,
            original,
            None if ticket is None else Sent(ticket, name, list(note.outputs), packages),
        )

    def _note_inputs(self, note: TaskNote, cell: CellTasks) -> None:
        """The cell depends on the files that its tasks name."""
        for file, _ in note.inputs:
            known = notes.files.get(file)
            if known is not None and known.kind == "file" and known.producer is None:
                state = self.context.files.state(known.path)
                if state.kind == "file":
                    cell.reads.setdefault(self.context.files.portable(known.path), state)

    def _serve(self, manager: Any, task: Any, note: TaskNote, ticket: Ticket) -> bool:
        entry = self.context.find(ticket)
        if entry is None:
            return False
        try:
            value, execution, buffers = self.context.load(entry)
        except (MissingObject, NotStorable):
            return False
        if not self.context.serve(entry, ticket.cell):
            return False
        note.execution = execution
        for file, place in note.outputs:
            known = notes.files.get(file)
            if known is not None and known.kind == "buffer":
                known.data = buffers.get(place)
        self._last += 1
        self.served.add(self._last)
        manager.set_min_task_id(self._last + 1)
        task._manager = manager
        if isinstance(task, PythonTask):
            self._output_file(manager, task, note, value)
        serve(task, self._last, entry, value)
        self.done.append(task)
        self.done.sort(key=_completion)
        return True

    @staticmethod
    def _output_file(manager: Any, task: Any, note: TaskNote, value: Any) -> None:
        """The file that later tasks may name as an input."""
        if task._tmp_output_enabled:
            task._output_file = manager.declare_temp()
        else:
            path = os.path.join(manager.staging_directory, "outputs", task._id)
            with open(path, "wb") as target:
                if task._serialize_output:
                    cloudpickle.dump(value, target)
                else:
                    target.write(value)
            task._output_file = manager.declare_file(path)
        known = notes.files[task._output_file]
        known.producer, known.place = note, notes.OUTPUT

    def _send(self, manager: Any, task: Any, original: Any, sent: Sent | None = None) -> int:
        for file, _ in notes.note_of(task).inputs:
            self._make(manager, file, original)
        if sent is not None and isinstance(task, PythonTask):
            func, args, kwargs = task._fn_def
            task._fn_def = (Leaving(func, REPORT), args, kwargs)
            sent.report = manager.declare_buffer()
            task.add_output(sent.report, REPORT, success_only=True)
        number: int = original(manager, task)
        self._last = max(self._last, number)
        if sent is not None:
            self.sent[number] = sent
        return number

    def _make(self, manager: Any, file: Any, original: Any) -> None:
        """A file that stays with workers and whose task was served is really made now."""
        known = notes.files.get(file)
        producer = known.producer if known is not None else None
        if known is None or producer is None or known.kind == "file":
            return
        for task in list(notes.tasks):
            mine = notes.tasks.get(task) is producer and is_served(task)
            if mine and AGAIN not in task.__dict__:
                task.__dict__[AGAIN] = True
                self.hidden.add(self._run_again(manager, task, original))

    def _run_again(self, manager: Any, task: Any, original: Any) -> int:
        shown, task.__class__ = type(task), type(task).__mro__[1]
        temporary = getattr(task, "_output_file", None)
        if getattr(task, "_tmp_output_enabled", False):
            # Later tasks name the file that they were given.
            manager.declare_temp = lambda: temporary
        try:
            return self._send(manager, task, original)
        finally:
            manager.__dict__.pop("declare_temp", None)
            task.__class__ = shown

    # -- completion -------------------------------------------------------------------

    def wait(self, tag: str | None, number: int | None, ask: Any, timeout: Any) -> Any:
        """The next task that is done: served ones first, else what the engine gives."""
        for task in self.done:
            if (tag is None or task.tag == tag) and (number in (None, -1) or task.id == number):
                self.done.remove(task)
                return self._given(task)
        if number in self.served:
            return None
        deadline = time.monotonic() + timeout if isinstance(timeout, int | float) and timeout >= 0 else None
        while True:
            left = timeout if deadline is None else max(0, round(deadline - time.monotonic()))
            task = ask(left)
            if task is None:
                return None
            real = cvine.vine_task_get_id(task._task)
            if real in self.hidden:
                self.hidden.discard(real)
                continue
            self._record(task, self.sent.pop(task.id, None))
            return self._given(task)

    def _given(self, task: Any) -> Any:
        note = notes.note_of(task)
        note.collected = True
        if is_served(task):
            entry: TaskEntry = task.__dict__["_nbrewind_served"]["entry"]
            self.context.consumed(entry.files, entry.outputs)
        return task

    def _record(self, task: Any, sent: Sent | None) -> None:
        if sent is None:
            return
        cell = sent.ticket.cell
        try:
            if not task.successful():
                text = f"{task.result}, exit code {task.exit_code}"
                failed = TaskEntry(
                    sent.ticket.key, sent.name, "", error=text, created=time.time(), engine=ENGINE
                )
                self.context.add([sent.ticket], failed, None)
                return
            entry, value = self._entry(task, sent)
            self.context.add([sent.ticket], entry, value)
            self.context.consumed(entry.files, entry.outputs)
        except NBRewindError as problem:
            cell.notes.setdefault(f"the result of task {sent.name} is not stored: {problem}")

    def _entry(self, task: Any, sent: Sent) -> tuple[TaskEntry, Any]:
        context = self.context
        report: dict[str, Any] = {"stdout": task.std_output or "", "worker": f"{task.hostname}:"}
        found = reports.Trace()
        if sent.report is not None:
            report = {**pickle.loads(sent.report.contents()), **report}
            found = reports.trace(context, [report])
            if found.refusal:
                raise NotStorable(found.refusal)
        else:
            found.files = self._named(task.command)
        buffers: dict[str, bytes] = {}
        for file, place in sent.outputs:
            known = notes.files[file]
            if known.kind == "buffer":
                buffers[place] = bytes(file.contents())
            elif known.kind == "file":
                found.outputs[context.files.portable(known.path)] = self._kept(known.path)
        value = None if getattr(task, "_tmp_output_enabled", False) else task.output
        if isinstance(task, PythonTask) and isinstance(value, BaseException):
            raise NotStorable("its result could not be read")
        new = reports.entry(
            *(sent.ticket.key, sent.name, ENGINE, found, report),
            created=time.time(),
            packages=versions(sent.packages),
        )
        return new, (value, notes.note_of(task).execution, buffers)

    def _named(self, command: str) -> dict[str, FileState]:
        """Files of this machine that a command names; a worker elsewhere may see others."""
        with contextlib.suppress(ValueError):
            words = [word for word in shlex.split(command) if word.startswith("/")]
            return {
                self.context.files.portable(w): self.context.files.state(w)
                for w in words
                if os.path.isfile(w)
            }
        return {}

    def _kept(self, path: str) -> FileState:
        try:
            with self.context.quiet(), open(path, "rb") as source:
                data = source.read()
        except OSError as error:
            raise NotStorable(f"its output {path} cannot be read here ({error})") from error
        state = self.context.files.state(path)
        return replace(state, digest=self.context.store.put(data), size=len(data))

    # -- the rest of the queue --------------------------------------------------------

    def cancel(self, tag: str | None = None, number: int | None = None) -> list[Any]:
        """Take served tasks out that the notebook cancels."""
        gone = [
            task
            for task in self.done
            if (tag is None or task.tag == tag) and (number is None or task.id == number)
        ]
        self.done = [task for task in self.done if task not in gone]
        return gone


def _completion(task: Any) -> float:
    entry: TaskEntry = task.__dict__["_nbrewind_served"]["entry"]
    return entry.created


def _name(task: Any) -> str:
    if isinstance(task, PythonTask) and not isinstance(task, FunctionCall) and task._fn_def is not None:
        func = task._fn_def[0]
        return str(getattr(func, "__name__", type(func).__name__))
    return str(task.command).split(" ", 1)[0][:80]
