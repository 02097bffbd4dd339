"""Where TaskVine is hooked, and how the hooks come out again."""

from __future__ import annotations

import inspect
import io
import os
import weakref
from collections.abc import Callable
from functools import wraps
from typing import Any

from nbrewind.engines.taskvine import notes
from nbrewind.engines.taskvine.notes import FileNote
from nbrewind.engines.taskvine.queue import Queue
from nbrewind.engines.taskvine.vinelib import File, Manager, Task
from nbrewind.tasks.context import TaskContext

_saved: list[tuple[Any, str, Any]] = []
_context: list[TaskContext] = []
_queues: weakref.WeakKeyDictionary[Any, Queue] = weakref.WeakKeyDictionary()
_OTHERS = ("url", "minitask", "untar", "poncho", "starch", "xrootd", "chirp")


def queue_of(manager: Any) -> Queue:
    """The task log beside a manager."""
    found = _queues.get(manager)
    if found is None:
        found = _queues[manager] = Queue(_context[-1])
    return found


def install(context: TaskContext) -> None:
    """Hook managers and tasks; a second call only changes the context."""
    _context[:] = [context]
    if _saved:
        return
    _patch(Manager, "__init__", _init(Manager.__init__))
    _patch(Manager, "submit", _submit(Manager.submit))
    _patch(Manager, "wait_for_tag", _wait_for_tag(Manager.wait_for_tag))
    _patch(Manager, "wait_for_task_id", _wait_for_task_id(Manager.wait_for_task_id))
    _patch(Manager, "empty", _empty(Manager.empty))
    _patch(Manager, "cancel_by_task_id", _cancel(Manager.cancel_by_task_id, "number"))
    _patch(Manager, "cancel_by_task_tag", _cancel(Manager.cancel_by_task_tag, "tag"))
    _patch(Manager, "cancel_all", _cancel(Manager.cancel_all, None))
    _patch(Manager, "declare_file", _declare(Manager.declare_file, "file"))
    _patch(Manager, "declare_buffer", _declare(Manager.declare_buffer, "buffer"))
    _patch(Manager, "declare_temp", _declare(Manager.declare_temp, "temp"))
    for name in _OTHERS:
        method = f"declare_{name}"
        if hasattr(Manager, method):
            _patch(Manager, method, _declare(getattr(Manager, method), "other"))
    _patch(Task, "add_input", _add(Task.add_input, "inputs"))
    _patch(Task, "add_output", _add(Task.add_output, "outputs"))
    _patch(Task, "set_env_var", _set_variable(Task.set_env_var))
    for name in ("add_environment", "add_poncho_package", "add_starch_package", "add_execution_context"):
        if hasattr(Task, name):
            _patch(Task, name, _refusing(getattr(Task, name)))
    _patch(File, "contents", _contents(File.contents))


def uninstall() -> None:
    """Take the hooks out."""
    while _saved:
        owner, name, value = _saved.pop()
        setattr(owner, name, value)
    _context.clear()


def _patch(owner: Any, name: str, value: Any) -> None:
    _saved.append((owner, name, getattr(owner, name)))
    setattr(owner, name, value)


def _init(original: Callable[..., None]) -> Any:
    places = inspect.signature(original)

    @wraps(original)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        given = places.bind(self, *args, **kwargs)
        given.apply_defaults()
        for name in ("run_info_path", "staging_path"):
            folder = given.arguments.get(name)
            if isinstance(folder, str):
                _context[-1].ignore_folder(os.path.abspath(folder))
        original(self, *args, **kwargs)

    return init


def _submit(original: Callable[..., int]) -> Any:
    @wraps(original)
    def submit(self: Any, task: Any) -> int:
        return queue_of(self).submit(self, task, original)

    return submit


def _wait_for_tag(original: Callable[..., Any]) -> Any:
    @wraps(original)
    def wait_for_tag(self: Any, tag: Any, timeout: Any = "wait_forever") -> Any:
        return queue_of(self).wait(tag, None, lambda left: original(self, tag, left), timeout)

    return wait_for_tag


def _wait_for_task_id(original: Callable[..., Any]) -> Any:
    @wraps(original)
    def wait_for_task_id(self: Any, task_id: int, timeout: Any = "wait_forever") -> Any:
        return queue_of(self).wait(None, task_id, lambda left: original(self, task_id, left), timeout)

    return wait_for_task_id


def _empty(original: Callable[..., Any]) -> Any:
    @wraps(original)
    def empty(self: Any) -> bool:
        queue = _queues.get(self)
        if queue is None:
            return bool(original(self))
        # What runs again for its output alone is none of the notebook's tasks.
        return not queue.done and (bool(original(self)) or set(self._task_table) <= queue.hidden)

    return empty


def _cancel(original: Callable[..., Any], by: str | None) -> Any:
    @wraps(original)
    def cancel(self: Any, *args: Any) -> Any:
        gone = queue_of(self).cancel(**({by: args[0]} if by is not None else {}))
        if by == "number" and args[0] in queue_of(self).served:
            return bool(gone)
        found = original(self, *args)
        return len(gone) + found if isinstance(found, int) and not isinstance(found, bool) else found

    return cancel


def _declare(original: Callable[..., Any], kind: Any) -> Any:
    @wraps(original)
    def declare(self: Any, *args: Any, **kwargs: Any) -> Any:
        file = original(self, *args, **kwargs)
        note = FileNote(kind, what=original.__name__.removeprefix("declare_"))
        first = args[0] if args else kwargs.get("path", kwargs.get("buffer"))
        if kind == "file":
            note.path = _context[-1].files.absolute(str(first))
        elif kind == "buffer":
            note.data = first.encode() if isinstance(first, str) else first
        notes.files[file] = note
        return file

    return declare


def _add(original: Callable[..., Any], where: str) -> Any:
    @wraps(original)
    def add(self: Any, file: Any, remote_name: str, *args: Any, **kwargs: Any) -> Any:
        found = original(self, file, remote_name, *args, **kwargs)
        note = notes.note_of(self)
        name = notes.OUTPUT if remote_name == f"o_{getattr(self, '_id', '')}" else remote_name
        getattr(note, where).append((file, name))
        known = notes.files.get(file)
        if where == "outputs" and known is not None:
            known.producer, known.place = note, name
        return found

    return add


def _set_variable(original: Callable[..., Any]) -> Any:
    @wraps(original)
    def set_env_var(self: Any, name: str, value: Any = None) -> Any:
        notes.note_of(self).variables[name] = value
        return original(self, name, value)

    return set_env_var


def _refusing(original: Callable[..., Any]) -> Any:
    @wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        notes.note_of(self).refusal = "the content of its environment is not known"
        return original(self, *args, **kwargs)

    return call


def _contents(original: Callable[..., Any]) -> Any:
    @wraps(original)
    def contents(self: Any, unserializer: Any = None) -> Any:
        note = notes.files.get(self)
        if note is None or note.kind != "buffer" or note.producer is None or note.data is None:
            return original(self, unserializer)
        if unserializer is None:
            return note.data
        return unserializer(io.BytesIO(note.data))

    return contents
