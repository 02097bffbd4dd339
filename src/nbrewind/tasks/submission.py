"""One task on its way through an engine that takes a callable and gives back what it returns.

An adapter of such an engine needs no more than this: ``begin`` before the engine sees
the task, ``call`` in place of its function, ``finished`` with what the engine gave.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nbrewind.errors import MissingObject, NotStorable
from nbrewind.flow.environment import versions
from nbrewind.model import TaskEntry
from nbrewind.tasks import reports, worker
from nbrewind.tasks.context import CellTasks, TaskContext, Ticket
from nbrewind.tasks.identity import Identity
from nbrewind.tasks.walk import walked


class Submission:
    """A task that is served from the log, runs and is logged, or just runs."""

    def __init__(self, context: TaskContext, func: Any, engine: str) -> None:
        self.context = context
        self.engine = engine
        self.func = func
        self.name = str(getattr(func, "__name__", type(func).__name__))
        self.ident = ""
        """Comes back in the worker's report, for engines that give results without their order."""
        self.cell: CellTasks = context.cell
        self.identity: Identity | None = None
        self.ticket: Ticket | None = None
        """None where the task has no identity: then it just runs."""
        self.entry: TaskEntry | None = None
        """The task's entry: the one it was served from, or the one that it left."""
        self._served = False
        self.result: Any = None
        """What a served task gives."""

    @property
    def served(self) -> bool:
        """Whether the log has the result."""
        return self._served

    @property
    def call(self) -> Callable[..., Any]:
        """What the engine has to call with the task's arguments."""
        if self.ticket is None:
            func: Callable[..., Any] = self.func
            return func
        return worker.Returning(self.func, os.getpid(), self.ident)

    def show(self) -> None:
        """Print again what a served task printed, where the engine shows it in the notebook."""
        if self._served and self.entry is not None:
            show(self.entry)

    def finished(self, outcome: Any) -> Any:
        """The task's result, out of what the engine gave for ``call``; logged by then."""
        ticket, identity = self.ticket, self.identity
        if ticket is None or identity is None:
            return outcome
        report, value = reports.split(outcome)
        if report is None:
            return value
        self.identity = None  # it keeps the arguments alive
        try:
            refusal = self._log(ticket, identity, value, report)
        except Exception as error:  # noqa: BLE001 - what cannot be logged runs again; the result is unharmed
            refusal = f"{type(error).__name__}: {error}"
        if refusal:
            if report["inside"]:  # the record of the cell holds what it did, like that of any other code
                self.context.drop_key(self.cell, ticket.key)
                return value
            self.cell.notes.setdefault(f"the result of task {self.name} is not stored: {refusal}")
        return value

    def _log(self, ticket: Ticket, identity: Identity, value: Any, report: reports.Report) -> str:
        """Write the entry; gives the reason where there can be none."""
        found = reports.trace(self.context, [report])
        refusal = found.refusal or leak(self.context, identity, value, inside=report["inside"])
        if not refusal:
            entry = reports.entry(
                ticket.key,
                self.name,
                self.engine,
                found,
                report,
                created=time.time(),
                parts=identity.parts(),
                packages=versions(identity.packages),
            )
            self.entry = self.context.add([ticket], entry, value)
        return refusal

    def failed(self, error: BaseException) -> None:
        """The task raised, or its worker was lost: told in the log, and run again next time."""
        self.identity = None
        if self.ticket is not None:
            entry = TaskEntry(
                self.ticket.key,
                self.name,
                "",
                error=f"{type(error).__name__}: {error}"[:2000],
                created=time.time(),
                engine=self.engine,
            )
            self.context.add([self.ticket], entry, None)


def show(entry: TaskEntry) -> None:
    """Print again what a task printed."""
    for stream, text in ((sys.stdout, entry.stdout), (sys.stderr, entry.stderr)):
        if text:
            stream.write(text)


def leak(context: TaskContext, identity: Identity, value: Any, *, inside: bool = True) -> str:
    """Why a result may not belong to its key: what the engine read is not what was submitted.

    Whatever a task of the notebook's own process changed would have to be changed again,
    and what its result shares with the notebook would have to be that very object.
    """
    with context.quiet():
        given = identity.again(nodes=inside)
    if given is None:
        return "what it was given changed before it was done"
    if not inside:
        return ""
    try:
        made = walked(value, context.leaves)
    except NotStorable as error:
        return str(error)
    shared = given & (set(made.nodes) - made.named)
    return "it gives back objects that the notebook holds" if shared else ""


def begin(
    context: TaskContext,
    func: Any,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    engine: str,
    options: Any = None,
    declared_inputs: Sequence[str] = (),
    pure: bool = False,
    unsure: bool = False,
    here: bool = False,
) -> Submission:
    """Decide about one task, just before the engine would get it.

    ``options`` is what else changes the result; ``unsure`` says that it is not known what
    the task will find where it runs, so that it may not be served or stored; ``here`` that
    it runs in this process, where a task that cannot be logged is no more than code of its cell.
    """
    task = Submission(context, func, engine)
    try:
        if not unsure:
            task.identity = context.identity(
                func, args, kwargs, options=options, declared_inputs=declared_inputs
            )
    except NotStorable as error:
        if not here:
            task.cell.notes.setdefault(f"task {task.name} just runs: {error}")
    if task.identity is None:
        context.count_run(task.cell)
        return task
    task.ticket = context.claim(task.identity.key, task.cell)
    context.note_key(task.cell, task.identity.key)
    entry = context.find(task.ticket, pure=pure)
    if entry is not None:
        try:
            task.result = context.load(entry)
        except (MissingObject, NotStorable):
            entry = None
    if entry is not None and context.serve(entry, task.cell):
        task.entry, task._served = entry, True
    else:
        context.count_run(task.cell)
    return task
