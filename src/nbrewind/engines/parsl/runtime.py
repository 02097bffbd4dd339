"""Serves and records the tasks of one data-flow kernel.

Parsl asks its memoizer about every task when the task's inputs are there, and takes a
future as the answer; executors take any callable.  So a memoizer around the kernel's own
serves what the log holds, and the executors' ``submit`` is given functions that report
the files they touch.  Both are Parsl's own interfaces.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from operator import attrgetter
from typing import Any

from nbrewind.engines.parsl.origin import (
    STREAMS,
    Keys,
    Origin,
    above,
    local_path,
    set_origin,
    snapshot,
    stream_path,
)
from nbrewind.engines.parsl.parsllib import AUTO_LOGNAME, RemoteExceptionWrapper, ThreadPoolExecutor
from nbrewind.errors import MissingObject, NBRewindError, NotStorable
from nbrewind.flow.environment import versions
from nbrewind.model import FileState, TaskEntry
from nbrewind.tasks.context import CellTasks, TaskContext
from nbrewind.tasks.reports import Report, entry, split, trace
from nbrewind.tasks.submission import leak, show
from nbrewind.tasks.versions import versions_above
from nbrewind.tasks.worker import Returning

ENGINE = "parsl"
INTERNAL = "_parsl_internal"
_inside = threading.local()
"""``cell``: the cell whose join body runs in this thread."""


class Runtime:
    """The task log beside one data-flow kernel."""

    def __init__(self, context: TaskContext) -> None:
        self.context = context
        self.keys = Keys(context)
        self.gate = threading.RLock()
        """Held while a task is submitted: its launch waits until its origin is known."""
        self.origins: dict[int, Origin] = {}
        """Calls that are not complete, by Parsl's task id."""
        self.current = threading.local()
        """``origin``: the task that this thread hands to an executor next."""
        self._busy: Counter[str] = Counter()
        """Files that tasks in flight say they write."""
        self._shared: set[str] = set()

    # -- submission -------------------------------------------------------------------

    def cell(self) -> CellTasks | None:
        """The cell that a call now belongs to; None between cells."""
        inner: CellTasks | None = getattr(_inside, "cell", None)
        return inner or (self.context.cell if self.context.active else None)

    def submitted(self, call: dict[str, Any], cell: CellTasks) -> Origin:
        """What is known of a call before Parsl sees it."""
        kwargs = call["app_kwargs"]
        executors = call["executors"]
        internal = executors == [INTERNAL] or bool(kwargs.get("_parsl_staging_inhibit"))
        origin = Origin(
            cell,
            getattr(call["func"], "__name__", "app"),
            call["func"],
            tuple(call["app_args"]),
            snapshot(kwargs),
            frozenset(name for name in STREAMS if name in kwargs and kwargs[name] == AUTO_LOGNAME),
            bool(call.get("join")) or internal,
        )
        origin.above = above(origin)
        try:
            for name in STREAMS:
                path = stream_path(kwargs.get(name))
                if path is not None:
                    origin.streams[name] = path
            outputs = [getattr(f, "file_obj", f) for f in kwargs.get("outputs") or ()]
            origin.outputs = tuple(local_path(file) for file in outputs)
            origin.submitted = self.keys.deep(origin)
            origin.deep = origin.submitted.key
        except NotStorable as problem:
            cell.notes.setdefault(f"task {origin.name} is not logged: {problem}")
        if origin.deep is not None and not origin.local:
            self.context.note_key(cell, origin.deep)
        return origin

    def known(self, origin: Origin, future: Any) -> None:
        """Parsl has taken the call."""
        set_origin(future, origin)
        record = future.task_record
        for name in origin.auto:
            path = stream_path(record["kwargs"].get(name))
            if path is not None:
                origin.streams[name] = path
        self.origins[record["id"]] = origin
        key = "" if origin.local or origin.deep is None else origin.deep
        origin.flight = self.context.takes_off(origin.cell, key)

    # -- launch -----------------------------------------------------------------------

    def serve(self, task: Any) -> Future[Any] | None:
        """The finished future of a task that the log holds; None for one that must run."""
        with self.gate:
            origin = self.origins.get(task["id"])
        if origin is None or origin.launched:
            return None
        origin.launched = True
        if origin.local:
            if task["join"]:
                task["func"] = _Body(task["func"], origin.cell)
            return None
        if origin.deep is None:
            return None
        try:
            early = None if self.keys.settles_later(origin) else origin.submitted
            identity = early or self.keys.content(origin)
        except NotStorable as problem:
            origin.cell.notes.setdefault(f"task {origin.name} is not logged: {problem}")
            return None
        origin.identity, content, origin.packages = identity, identity.key, identity.packages
        origin.ticket = self.context.claim(content, origin.cell)
        if origin.deep != content:
            origin.deep_ticket = self.context.claim(origin.deep, origin.cell)
        found = self.context.find(origin.ticket, pure=bool(task["memoize"]))
        if found is None:
            return None
        try:
            value = self.context.load(found)
        except (MissingObject, NotStorable):
            return None
        if not self.context.serve(self._places(found, origin), origin.cell):
            return None
        if isinstance(task["dfk"].executors.get(task["executor"]), ThreadPoolExecutor):
            show(found)
        origin.entry = found
        self._alias(origin, found)
        origin.digest = found.result_digest
        done: Future[Any] = Future()
        done.set_result(value)
        return done

    def _places(self, entry: TaskEntry, origin: Origin) -> TaskEntry:
        """An entry with the paths that Parsl chose this time for its streams."""
        chosen = {f"<{name}>": self.context.files.portable(origin.streams[name]) for name in origin.auto}
        return replace(entry, outputs={chosen.get(path, path): s for path, s in entry.outputs.items()})

    def _alias(self, origin: Origin, entry: TaskEntry) -> None:
        """Let the key known at submission lead to an entry: planning asks by it."""
        if origin.deep_ticket is not None:
            self.context.alias(origin.deep_ticket, entry, versions_above(origin, attrgetter("above")))

    # -- execution --------------------------------------------------------------------

    def run(self, submit: Any, func: Any, resources: Any, args: Any, kwargs: Any) -> Any:
        """Hand a task to its executor; the future of its value, which is logged first."""
        origin: Origin | None = getattr(self.current, "origin", None)
        self.current.origin = None
        if origin is None or origin.local:
            return submit(func, resources, *args, **kwargs)
        if not origin.ran:
            origin.ran = True
            self.context.count_run(origin.cell)
        self._occupy(origin)
        try:
            inner = submit(Returning(func, os.getpid()), resources, *args, **kwargs)
        except BaseException:  # an interrupt too: whoever waits for its equal must not wait for ever
            self._release(origin)
            raise
        outer: Future[Any] = Future()
        for name, value in vars(inner).items():
            vars(outer).setdefault(name, value)  # executors name their own tasks here
        inner.add_done_callback(partial(self._done, origin, outer))
        return outer

    def _done(self, origin: Origin, outer: Future[Any], inner: Future[Any]) -> None:
        alone = self._release(origin)
        error = inner.exception()
        if error is not None:
            outer.set_exception(error)
            return
        report, value = split(inner.result())
        try:
            if report is not None and not isinstance(value, RemoteExceptionWrapper):
                self._log(origin, report, value, alone=alone)
        except NBRewindError as problem:
            origin.cell.notes.setdefault(f"the result of task {origin.name} is not stored: {problem}")
        finally:
            outer.set_result(value)

    def _log(self, origin: Origin, report: Report, value: Any, *, alone: bool) -> None:
        identity, ticket = origin.identity, origin.ticket
        if identity is None or ticket is None:
            return
        if not alone:
            raise NotStorable("another task wrote the same file at the same time")
        found = trace(self.context, [report])
        refusal = found.refusal or leak(self.context, identity, value, inside=report["inside"])
        if refusal:
            raise NotStorable(refusal)
        for path in origin.mine():
            key = self.context.files.portable(path)
            found.files.pop(key, None)  # what was in it before is in the key
            found.outputs[key] = self._kept(path)
        for name in origin.auto & origin.streams.keys():
            chosen = self.context.files.portable(origin.streams[name])
            found.outputs[f"<{name}>"] = found.outputs.pop(chosen)
        packages = versions(identity.packages)
        new = entry(ticket.key, origin.name, ENGINE, found, report, created=time.time(), packages=packages)
        written = self.context.add([ticket], new, value)
        if written is not None:
            origin.entry, origin.digest = written, written.result_digest
            self._alias(origin, written)

    def _kept(self, path: str) -> FileState:
        try:
            with self.context.quiet(), open(path, "rb") as source:
                data = source.read()
        except OSError as error:
            raise NotStorable(f"{path} is not visible here") from error
        state = self.context.files.state(path)
        return replace(state, digest=self.context.store.put(data), size=len(data))

    def _occupy(self, origin: Origin) -> None:
        with self.gate:
            for path in origin.mine():
                self._busy[path] += 1
                if self._busy[path] > 1:
                    self._shared.add(path)

    def _release(self, origin: Origin) -> bool:
        """Whether no other task wrote this one's files while it ran."""
        with self.gate:
            alone = not self._shared.intersection(origin.mine())
            for path in origin.mine():
                self._busy[path] -= 1
                if not self._busy[path]:
                    del self._busy[path]
                    self._shared.discard(path)
            return alone

    # -- completion -------------------------------------------------------------------

    def completed(self, task: Any, error: BaseException | None = None) -> bool:
        """Parsl is done with a task; whether it was served from the log."""
        with self.gate:
            origin = self.origins.pop(task["id"], None)
        if origin is None:
            return False
        self.context.lands(origin.flight)
        served = origin.entry is not None and not origin.ran
        if error is not None and origin.ticket is not None and origin.entry is None:
            text = f"{type(error).__name__}: {error}"[:2000]
            failed = TaskEntry(
                origin.ticket.key, origin.name, "", error=text, created=time.time(), engine=ENGINE
            )
            self._alias(origin, self.context.add([origin.ticket], failed, None) or failed)
        origin.func, origin.args, origin.kwargs = None, (), {}
        origin.submitted = origin.identity = None
        return served


def consume(context: TaskContext, origin: Origin) -> None:
    """The running cell looks at a result: it depends on what the tasks behind it read."""
    for one in origin.closure():
        if one.entry is not None and one.cell is not context.cell:
            context.consumed({**one.inputs, **one.entry.files}, one.entry.outputs, one.deep or "")


class _Body:
    """The body of a join: what it submits belongs to its own cell."""

    def __init__(self, func: Any, cell: CellTasks) -> None:
        self.func, self.cell = func, cell
        self.__name__ = getattr(func, "__name__", "join")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        _inside.cell = self.cell
        try:
            return self.func(*args, **kwargs)
        finally:
            _inside.cell = None


class Served:
    """A memoizer around a kernel's own: it asks the task log first."""

    def __init__(self, inner: Any, runtime: Runtime) -> None:
        self._nbrewind_inner = inner
        self._nbrewind_runtime = runtime

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_nbrewind_inner"], name)

    def check_memo(self, task: Any) -> Any:
        """The future of a task that the log or the notebook's own memoizer knows."""
        runtime = self._nbrewind_runtime
        try:
            found = runtime.serve(task)
        except NBRewindError as problem:  # the task just runs
            runtime.context.cell.notes.setdefault(f"task {task['func_name']} was not looked up: {problem}")
            found = None
        if found is None:
            found = self._nbrewind_inner.check_memo(task)
            runtime.current.origin = runtime.origins.get(task["id"]) if found is None else None
        return found

    def update_memo_result(self, task: Any, result: Any) -> None:
        """A task has given its result."""
        if not self._nbrewind_runtime.completed(task):
            self._nbrewind_inner.update_memo_result(task, result)

    def update_memo_exception(self, task: Any, error: BaseException) -> None:
        """A task has failed for good."""
        self._nbrewind_runtime.completed(task, error)
        self._nbrewind_inner.update_memo_exception(task, error)
