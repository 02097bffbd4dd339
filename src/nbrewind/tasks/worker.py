"""Runs inside workers: calls a task's function and says which files it read and wrote.

This module travels as text (see ``_Loader``), so workers need no nbrewind: it imports
only the standard library and, where present, blake3 and distributed.  With ``Traced``
reports go to the client of Dask as events under ``TOPIC`` and the task's own result is
left alone; with ``Returning``, for engines without events, the report travels beside it.
"""

from __future__ import annotations

import contextvars
import hashlib
import inspect
import os
import stat
import sys
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any

TOPIC = "nbrewind-tasks"
MARK = "nbrewind-report"
"""Begins what a ``Returning`` gives: (mark, report, value)."""
LARGEST = 1 << 18
"""Bytes of an output file that travel with the report; larger ones are read from disk."""

_current: contextvars.ContextVar[Any] = contextvars.ContextVar("nbrewind_task", default=None)
_hooked = threading.Lock()
_state = {"hook": False}
LOCAL: dict[str, Any] = {}
"""Reports of tasks that ran without a worker, by ident (local schedulers)."""

_SKIP = tuple(
    sorted(
        {
            os.path.realpath(p).rstrip("/") + "/"
            for p in (sys.prefix, sys.base_prefix, os.path.dirname(os.__file__), "/proc", "/sys", "/dev")
        }
        | {str(p).rstrip("/") + "/" for p in (sys.prefix, sys.base_prefix, os.path.dirname(os.__file__))}
    )
)


def _skipped(path: str) -> bool:
    return (
        path.startswith(_SKIP)
        or "/site-packages/" in path
        or "/dist-packages/" in path
        or "/__pycache__/" in path
        or "/dask-scratch-space/" in path
    )


def _digest(path: str) -> str:
    try:
        from blake3 import blake3
    except ImportError:
        mark = "b2:"
        hasher: Any = hashlib.blake2b(digest_size=16)
    else:
        mark = ""
        hasher = blake3()
    with open(path, "rb") as source:
        while True:
            block = source.read(1 << 20)
            if not block:
                return str(mark + hasher.hexdigest()[:32])
            hasher.update(block)


_digests: dict[Any, str] = {}


def _file_state(path: str) -> list[Any]:
    """What a path holds: [kind, digest, size, mode]."""
    try:
        info = os.stat(path)
    except OSError:
        return ["absent", "", 0, 0]
    mode = stat.S_IMODE(info.st_mode)
    if stat.S_ISDIR(info.st_mode):
        return ["dir", _listing(path), 0, mode]
    if not stat.S_ISREG(info.st_mode):
        return ["file", "special", 0, mode]
    key = (info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
    known = _digests.get(key)
    if known is None:
        try:
            known = _digest(path)
        except OSError:
            return ["absent", "", 0, 0]
        if time.time() - max(info.st_mtime, info.st_ctime) > 2:
            _digests[key] = known
    return ["file", known, info.st_size, mode]


def _listing(path: str) -> str:
    try:
        names = sorted(os.listdir(path))
    except OSError:
        return "unreadable"
    text = "\0".join(names).encode("utf-8", "surrogateescape")
    return "b2:" + hashlib.blake2b(text, digest_size=16).hexdigest()


class Seen:
    """Files that one task touches."""

    def __init__(self) -> None:
        self.reads: dict[str, Any] = {}
        self.stamps: dict[str, Any] = {}
        self.written: dict[str, Any] = {}
        self.unsure: list[str] = []

    def read(self, path: str) -> None:
        if path in self.written or path in self.reads:
            return
        try:
            info = os.stat(path)
            if stat.S_ISDIR(info.st_mode):
                return
            self.stamps[path] = (info.st_size, info.st_mtime_ns)
            self.reads[path] = None
        except OSError:
            self.reads[path] = ["absent", "", 0, 0]

    def listed(self, path: str) -> None:
        self.reads.setdefault(path, _file_state(path))

    def write(self, path: str, both: bool) -> None:
        if both:
            self.read(path)
        if path in self.reads and self.reads[path] is None:
            self.reads[path] = _file_state(path)
        self.written.setdefault(path)

    def moved(self, source: str, target: str) -> None:
        if source not in self.written:
            self.read(source)
            if self.reads.get(source) is None:
                self.reads[source] = _file_state(source)
            self.unsure.append(source)
        if os.path.isdir(source):
            self.unsure.append(source)
        self.write(target, False)

    def removed(self, path: str) -> None:
        if path not in self.written:
            self.unsure.append(path)

    def report(self) -> dict[str, Any]:
        reads: dict[str, Any] = {}
        for path, state in self.reads.items():
            if state is None:
                state = _file_state(path)
                try:
                    info = os.stat(path)
                    if self.stamps.get(path) != (info.st_size, info.st_mtime_ns):
                        self.unsure.append(path)
                except OSError:
                    self.unsure.append(path)
            reads[path] = state
        outputs: dict[str, Any] = {}
        for path in self.written:
            state = _file_state(path)
            if state[0] != "file":
                continue
            data = None
            if state[2] <= LARGEST:
                with open(path, "rb") as source:
                    data = source.read()
            outputs[path] = [*state, data]
        return {"reads": reads, "outputs": outputs, "unsure": self.unsure}


def _path(value: Any) -> str | None:
    if isinstance(value, bytes):
        value = os.fsdecode(value)
    elif not isinstance(value, str):
        try:
            value = os.fspath(value)
        except TypeError:
            return None
        if isinstance(value, bytes):
            value = os.fsdecode(value)
    path = os.path.abspath(value)
    return None if _skipped(path) else path


def _hook(event: str, args: Any) -> None:
    if event not in _EVENTS:
        return
    seen = _current.get()
    if seen is None:
        return
    token = _current.set(None)
    try:
        _EVENTS[event](seen, args)
    except Exception:  # noqa: BLE001 - a hook that raises would break the user's own call
        seen.unsure.append(event)
    finally:
        _current.reset(token)


def _opened(seen: Seen, args: Any) -> None:
    if isinstance(args[0], int):
        return
    path = _path(args[0])
    if path is None:
        return
    mode, flags = args[1], args[2] or 0
    if isinstance(mode, str):
        if "a" in mode:
            return
        if "w" in mode or "x" in mode:
            seen.write(path, False)
        elif "+" in mode:
            seen.write(path, True)
        else:
            seen.read(path)
    elif flags & os.O_APPEND:
        return
    elif flags & (os.O_WRONLY | os.O_RDWR):
        seen.write(path, bool(flags & os.O_RDWR) and not flags & os.O_TRUNC)
    else:
        seen.read(path)


def _listed(seen: Seen, args: Any) -> None:
    if isinstance(args[0], int):
        return
    path = _path(args[0] if args[0] is not None else ".")
    if path is not None:
        seen.listed(path)


def _moved(seen: Seen, args: Any) -> None:
    source, target = _path(args[0]), _path(args[1])
    if source is not None and target is not None:
        seen.moved(source, target)


def _removed(seen: Seen, args: Any) -> None:
    path = _path(args[0])
    if path is not None:
        seen.removed(path)


def _spawned(seen: Seen, args: Any) -> None:
    for part in [args[0], *(args[1] if isinstance(args[1], list | tuple) else [args[1]])]:
        if isinstance(part, str | bytes | os.PathLike):
            path = _path(part)
            if path is not None and os.path.isfile(path):
                seen.read(path)


_EVENTS: dict[str, Callable[[Seen, Any], None]] = {
    "open": _opened,
    "os.listdir": _listed,
    "os.scandir": _listed,
    "os.rename": _moved,
    "os.remove": _removed,
    "os.rmdir": _removed,
    "subprocess.Popen": _spawned,
}


def _install() -> None:
    with _hooked:
        if not _state["hook"]:
            _state["hook"] = True
            sys.addaudithook(_hook)


def _send(ident: str, message: dict[str, Any]) -> None:
    try:
        from distributed.worker import get_worker

        worker = get_worker()
    except (ImportError, ValueError):
        LOCAL[ident] = message
        return
    message["worker"] = worker.address
    worker.log_event(TOPIC, message)


class Traced:
    """A task's function that reports the files it touched and the time it took."""

    def __init__(self, func: Callable[..., Any], ident: str) -> None:
        self.func = func
        self.ident = ident
        self.__name__ = getattr(func, "__name__", type(func).__name__)
        if inspect.iscoroutinefunction(func):
            # distributed's own test for "run me on the event loop".
            self.__tornado_coroutine__ = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        _install()
        if inspect.iscoroutinefunction(self.func):
            return self._wait(args, kwargs)
        seen, started = Seen(), time.perf_counter()
        token = _current.set(seen)
        try:
            return self.func(*args, **kwargs)
        finally:
            _current.reset(token)
            self._report(seen, started)

    async def _wait(self, args: Any, kwargs: Any) -> Any:
        seen, started = Seen(), time.perf_counter()
        token = _current.set(seen)
        try:
            return await self.func(*args, **kwargs)
        finally:
            _current.reset(token)
            self._report(seen, started)

    def _report(self, seen: Seen, started: float) -> None:
        seconds = time.perf_counter() - started
        message = seen.report()
        message["ident"] = self.ident
        message["seconds"] = seconds
        _send(self.ident, message)

    def __reduce__(self) -> tuple[Any, ...]:
        import operator

        return operator.call, (_loader, self.func, self.ident)


class Returning:
    """A task's function that gives the report of the files it touched beside its value."""

    def __init__(self, func: Callable[..., Any]) -> None:
        self.func = func
        self.__name__ = getattr(func, "__name__", type(func).__name__)

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[str, dict[str, Any], Any]:
        _install()
        seen, started = Seen(), time.perf_counter()
        token = _current.set(seen)
        try:
            value = self.func(*args, **kwargs)
        finally:
            _current.reset(token)
        message = seen.report()
        message["seconds"] = time.perf_counter() - started
        message["worker"] = f"{os.uname().nodename}:{os.getpid()}"
        return MARK, message, value

    # Engines that keep pickled callables know one by its hash.
    def __eq__(self, other: object) -> bool:
        return type(other) is Returning and other.func is self.func

    def __hash__(self) -> int:
        return hash(("returning", id(self.func)))

    def __reduce__(self) -> tuple[Any, ...]:
        import operator

        return operator.call, (_returning, self.func)


class _Loader:
    """Pickles as an expression that makes this module out of its own text, and gives a class of it."""

    def __init__(self, wanted: str) -> None:
        self.wanted = wanted

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (_EXPRESSION + self.wanted, {"text": TEXT, "name": NAME})


_EXPRESSION = (
    "(lambda sys, zlib, types: (sys.modules.get(name) or (lambda module: ("
    "module.__dict__.update(TEXT=text, NAME=name), "
    "exec(compile(zlib.decompress(text), name, 'exec'), module.__dict__), "
    "sys.modules.setdefault(name, module))[2])(types.ModuleType(name))))"
    "(__import__('sys'), __import__('zlib'), __import__('types'))."
)
_loader = _Loader("Traced")
_returning = _Loader("Returning")

if "TEXT" not in globals():
    with open(__file__, "rb") as _source:
        TEXT = zlib.compress(_source.read(), 9)
    NAME = "_nbrewind_" + hashlib.blake2b(TEXT, digest_size=8).hexdigest()
