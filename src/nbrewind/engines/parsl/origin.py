"""One call of an app as the task log sees it: its identity at submission and at launch.

At submission futures among the arguments count by the tasks that make them (*deep*);
when Parsl launches the task their results are known, and count instead (*content*), so
an upstream that ran again and gave the same does not wake its dependants.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from nbrewind.engines.parsl.parsllib import AUTO_LOGNAME, AppFuture, DataFuture, File
from nbrewind.errors import NotStorable
from nbrewind.model import Digest, FileState, TaskEntry
from nbrewind.tasks.context import CellTasks, TaskContext, Ticket
from nbrewind.tasks.identity import Identity

STREAMS = ("stdout", "stderr")


@dataclass(eq=False, slots=True)
class Origin:
    """What is known of one call of an app."""

    cell: CellTasks
    name: str
    func: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    """As they were before Parsl put staged files and results in their places."""
    auto: frozenset[str] = frozenset()
    """Streams whose paths Parsl chooses."""
    local: bool = False
    """Whether it runs beside the data-flow kernel: a join, staging, a part of a result."""
    submitted: Identity | None = None
    """What the call was when it was made; dropped once it is done."""
    deep: Digest | None = None
    deep_ticket: Ticket | None = None
    ticket: Ticket | None = None
    digest: Digest | None = None
    """Digest of the result, once it is known."""
    identity: Identity | None = None
    """What the call was when it was launched; dropped once it is done."""
    entry: TaskEntry | None = None
    packages: frozenset[str] = frozenset()
    """Installed packages that the call names."""
    known_versions: dict[str, str] | None = None
    """See ``tasks.versions``."""
    launched: bool = False
    """Whether Parsl has asked for it; it asks again at each retry."""
    ran: bool = False
    flight: int = -1
    """What the context calls it until it is done."""
    streams: dict[str, str] = field(default_factory=dict)
    """Files of the streams, by their names in ``STREAMS``."""
    outputs: tuple[str, ...] = ()
    """Declared output files."""
    inputs: dict[str, FileState] = field(default_factory=dict)
    """Files that the call names, as they were found; those of tasks above it are left out."""
    above: tuple[Origin, ...] = ()
    """Calls whose results are among the arguments."""

    def closure(self) -> list[Origin]:
        """This call and all above it."""
        found: dict[int, Origin] = {}
        stack = [self]
        while stack:
            origin = stack.pop()
            if id(origin) not in found:
                found[id(origin)] = origin
                stack += origin.above
        return list(found.values())

    def mine(self) -> list[str]:
        """All paths that the call says it writes."""
        return [*self.streams.values(), *self.outputs]


def arguments(origin: Origin) -> list[Any]:
    """All arguments, those in lists too."""
    values = [*origin.args, *origin.kwargs.values()]
    for value in origin.kwargs.values():
        if isinstance(value, list | tuple):
            values += value
    return values


def snapshot(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments with lists of their own: Parsl replaces files in them."""
    return {name: list(value) if type(value) is list else value for name, value in kwargs.items()}


def stream_path(spec: Any) -> str | None:
    """The file of a stream's specification; None where there is none.

    Raises:
        NotStorable: it is none that this machine can read.
    """
    if spec is None or spec == AUTO_LOGNAME:
        return None
    if isinstance(spec, File):
        return local_path(spec)
    if isinstance(spec, tuple) and len(spec) == 2:
        spec = spec[0]
    try:
        return str(os.path.abspath(os.fsdecode(spec)))
    except TypeError:
        raise NotStorable(f"{spec!r} is no file") from None


def local_path(file: Any) -> str:
    """Where a ``File`` lies on this machine.

    Raises:
        NotStorable: it is staged from elsewhere.
    """
    if file.scheme != "file":
        raise NotStorable(f"{file.url} is not on this machine")
    return str(os.path.abspath(file.path))


class Keys:
    """Identities of calls."""

    def __init__(self, context: TaskContext) -> None:
        self.context = context

    def deep(self, origin: Origin) -> Identity:
        """The key known at submission.

        Raises:
            NotStorable: an argument has no content.
        """
        return self._key(origin, {AppFuture: self.deep_text, DataFuture: self._deep_file})

    def content(self, origin: Origin) -> Identity:
        """The key once everything above is done.

        Raises:
            NotStorable: an argument has no content.
        """
        return self._key(
            origin, {AppFuture: self.result_text, DataFuture: self._written, Future: self._foreign}
        )

    def settles_later(self, origin: Origin) -> bool:
        """Whether any argument is a result still to come or a file still to be read."""
        return any(isinstance(value, Future | File) for value in arguments(origin))

    def _key(self, origin: Origin, leaves: dict[type, Any]) -> Identity:
        kwargs = dict(origin.kwargs)
        outputs = [self._place(file) for file in kwargs.pop("outputs", None) or ()]
        streams: dict[str, Any] = {}
        for name in STREAMS:
            if name in kwargs:
                spec = kwargs.pop(name)
                streams[name] = "auto" if name in origin.auto else self._stream(name, spec, origin)
        options = {"outputs": outputs, "streams": streams}
        return self.context.identity(
            origin.func,
            origin.args,
            kwargs,
            options=options,
            leaves={File: partial(self._input, origin), **leaves},
        )

    def _stream(self, name: str, spec: Any, origin: Origin) -> Any:
        """Parsl appends to streams by default: what the file holds before is an input."""
        path = origin.streams.get(name)
        if path is None:
            return None
        mode = spec[1] if isinstance(spec, tuple) else "w" if isinstance(spec, File) else "a+"
        before = "" if "w" in mode else self._text(path, origin)
        return [self.context.files.portable(path), mode, before]

    def _place(self, file: Any) -> str:
        found = file.file_obj if isinstance(file, DataFuture) else file
        return self.context.files.portable(local_path(found))

    def _input(self, origin: Origin, file: Any) -> str:
        return "file:" + self._text(local_path(file), origin)

    def _written(self, file: Any) -> str:
        return "file:" + self._text(local_path(file.file_obj), None)

    def _text(self, path: str, origin: Origin | None) -> str:
        with self.context.quiet():
            state = self.context.files.state(path)
        portable = self.context.files.portable(path)
        if origin is not None:
            origin.inputs.setdefault(portable, state)
            origin.cell.reads.setdefault(portable, state)
        return f"{portable}\0{state.kind}\0{state.digest}"

    def _deep_file(self, file: Any) -> str:
        parent = file.parent
        if not isinstance(parent, AppFuture):
            raise NotStorable("a file that Parsl stages has no content yet")
        return f"{self.deep_text(parent)}:{self._place(file)}"

    def deep_text(self, future: Any) -> str:
        """A future by the task that makes it."""
        origin = origin_of(future)
        if origin is None or origin.deep is None:
            raise NotStorable("a future was not made by a task that the log knows")
        return "task:" + origin.deep

    def result_text(self, future: Any) -> str:
        """A future by its result where that is known, else by its task."""
        if not future.done() or future.exception() is not None:
            return self.deep_text(future)
        origin = origin_of(future)
        if origin is None:
            return "value:" + self.context.value_digest(future.result())
        if origin.digest is None:
            origin.digest = self.context.value_digest(future.result())
        return "value:" + origin.digest

    def _foreign(self, future: Any) -> str:
        if not future.done():
            raise NotStorable("a future that is not done has no content")
        return "value:" + self.context.value_digest(future.result())


_origins: weakref.WeakKeyDictionary[Any, Origin] = weakref.WeakKeyDictionary()
"""Beside the futures, not in them: what a future reaches is walked."""


def origin_of(future: Any) -> Origin | None:
    """What is known of the call that gave an ``AppFuture``."""
    return _origins.get(future)


def above(origin: Origin) -> tuple[Origin, ...]:
    """Calls whose results are among the arguments of one."""
    found = []
    for value in arguments(origin):
        future = value.parent if isinstance(value, DataFuture) else value
        known = origin_of(future) if isinstance(future, AppFuture) else None
        if known is not None:
            found.append(known)
    return tuple(found)


def set_origin(future: Any, origin: Origin) -> None:
    """Remember the call that gave a future."""
    _origins[future] = origin
