"""Runs inside workers: calls a task's function and says what it read, wrote and printed.

This module travels as text (see ``_loader``), so workers need no nbrewind: it imports
only the standard library and, where present, blake3 and distributed.  ``Returning`` gives
the report back beside the result; ``Traced`` sends it to Dask's client as an event under
``TOPIC`` and leaves the result alone.
"""

from __future__ import annotations

import contextvars
import hashlib
import inspect
import os
import pickle
import random
import re
import resource
import shlex
import socket
import stat
import sys
import threading
import time
import types
import zlib
from collections.abc import Callable
from typing import Any

TOPIC = "nbrewind-tasks"
MARK = "nbrewind-report"
"""Begins what a ``Returning`` gives: (mark, report, value)."""
_WORDS = 1000
LARGEST = 1 << 18
"""Bytes of an output file that travel with the report; larger ones are read from disk."""

_current: contextvars.ContextVar[Any] = contextvars.ContextVar("nbrewind_task", default=None)
_HOST = socket.gethostname()
_hooked = threading.Lock()
_drawing = threading.RLock()
_drawn: dict[Any, Any] = {}
"""State after the last draws of engines -> the state before them."""
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

    def __init__(self, sandbox: str = "") -> None:
        self.sandbox = sandbox
        """A folder that exists for this task alone: what happens there is told by what is declared."""
        self.reads: dict[str, Any] = {}
        self.stamps: dict[str, Any] = {}
        self.written: dict[str, Any] = {}
        self.unsure: list[str] = []
        self.named: dict[str, Any] = {}
        self.variables: dict[str, None] = {}
        self.printed: dict[str, list[str]] = {"stdout": [], "stderr": []}

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
            self.unsure.append(f"it moved {source}")
        if os.path.isdir(source):
            self.unsure.append(f"it moved the folder {source}")
        self.write(target, False)

    def removed(self, path: str) -> None:
        if path not in self.written:
            self.unsure.append(f"it removed {path}")

    def name(self, path: str) -> None:
        """A child process may read or write the file: what it holds before is an input."""
        if path not in self.named and path not in self.written:
            self.named[path] = _file_state(path)
            if self.named[path][0] != "absent":
                self.reads.setdefault(path, self.named[path])

    def report(self) -> dict[str, Any]:
        for path, before in self.named.items():
            now = _file_state(path)
            if now[0] == "file" and now[1] != before[1]:
                self.written.setdefault(path)
            elif before[0] == now[0] == "absent":
                self.reads.setdefault(path, before)
        reads: dict[str, Any] = {}
        for path, state in self.reads.items():
            if state is None:
                state = _file_state(path)
                try:
                    info = os.stat(path)
                    if self.stamps.get(path) != (info.st_size, info.st_mtime_ns):
                        self.unsure.append(f"{path} changed while it was read")
                except OSError:
                    self.unsure.append(f"{path} was removed while it was read")
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
        return {
            "reads": reads,
            "outputs": outputs,
            "unsure": self.unsure,
            "variables": list(self.variables),
            **{name: "".join(texts) for name, texts in self.printed.items()},
        }


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


def _outside(seen: Seen, value: Any) -> str | None:
    path = _path(value)
    return None if path is not None and seen.sandbox and f"{path}/".startswith(seen.sandbox) else path


def _hook(event: str, args: Any) -> None:
    if event not in _EVENTS:
        return
    seen = _current.get()
    if seen is None or _is_own_work():
        return
    token = _current.set(None)
    try:
        _EVENTS[event](seen, args)
    except Exception:  # noqa: BLE001 - a hook that raises would break the user's own call
        seen.unsure.append(f"what it did by {event} is not known")
    finally:
        _current.reset(token)


def _is_own_work() -> bool:
    """Whether nbrewind itself opens a file: in the notebook's process it keeps and loads values meanwhile."""
    if "nbrewind.flow" not in sys.modules:
        return False
    frame: types.FrameType | None = sys._getframe(2)
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(_OWN):
            return True
        frame = frame.f_back
    return False


_OWN = ("nbrewind.flow.", "nbrewind.store.", "nbrewind.values.", "nbrewind.session.memory")


def _opened(seen: Seen, args: Any) -> None:
    if isinstance(args[0], int):
        return
    path = _outside(seen, args[0])
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
    path = _outside(seen, args[0] if args[0] is not None else ".")
    if path is not None:
        seen.listed(path)


def _moved(seen: Seen, args: Any) -> None:
    source, target = _outside(seen, args[0]), _outside(seen, args[1])
    if source is not None and target is not None:
        seen.moved(source, target)
    elif target is not None:
        seen.write(target, False)
    elif source is not None:
        seen.removed(source)


def _removed(seen: Seen, args: Any) -> None:
    path = _outside(seen, args[0])
    if path is not None:
        seen.removed(path)


_PLAIN = frozenset(
    {
        *("echo", "printf", "seq", "true", "false", ":", "sleep", "exit", "uname", "tee", "grep"),
        *("cat", "tac", "rev", "head", "tail", "sort", "uniq", "wc", "cut", "tr", "paste", "join", "comm"),
        *("nl", "fold", "md5sum", "sha1sum", "sha256sum", "sha512sum", "cksum"),
    }
)
"""Commands that open the files among their words and no others."""
_LOCALE = ("LANG", "LC_ALL", "LC_COLLATE", "LC_CTYPE", "LC_NUMERIC")
_OPERATORS = frozenset({"|", "|&", "||", "&&", ";", "\n"})
_REDIRECTIONS = frozenset({"<", ">", ">>", ">|", "&>", "&>>", ">&"})


def _unseen(command: str) -> str:
    """Why a line of a shell may open files that it does not name; empty where it cannot.

    Nothing tells a worker what a child process opens.  So only a line of well-known commands is
    trusted, whose words are what they say: no expansions, no patterns, no subshells.
    """
    lexer = shlex.shlex(command, posix=False, punctuation_chars="();<>|&\n")
    lexer.whitespace, lexer.commenters = " \t\r", ""
    first = True
    try:
        for word in lexer:
            if set(word) <= set("();<>|&\n"):
                first = first or word in _OPERATORS or not word.strip("\n")
                if not (word in _OPERATORS | _REDIRECTIONS or not word.strip("\n;")):
                    return f"{word!r} of a shell is not followed"
            elif first:
                if word not in _PLAIN:
                    return f"what {word} opens is not seen"
                first = False
            elif re.search(r"[$`*?\[{~\\]|%\(", re.sub(r"^'[^']*'$", "", word)) or "%(" in word:
                return f"what {word} stands for is not seen"
            elif re.match(r"-(-|.*[orRfT].)|-.*[rRfT]$", word):
                return f"what {word} makes of other words is not seen"
    except ValueError as error:
        return f"a line of a shell is not understood ({error})"
    return ""


def _unseen_call(program: Any, args: Any) -> str:
    """The same of a call of a program."""
    words = [os.fsdecode(word) for word in ([args] if isinstance(args, str | bytes | os.PathLike) else args)]
    name = os.path.basename(os.fsdecode(program) if program else words[0])
    if name in ("sh", "bash", "dash") and len(words) == 3 and words[1] == "-c":
        return _unseen(words[2])
    return _unseen(" ".join([name, *(f"'{word}'" if word[:1] != "-" else word for word in words[1:])]))


def _ran(seen: Seen, args: Any) -> None:
    seen.unsure.append(_unseen(os.fsdecode(args[0])) or "what a child process printed is not seen")


def _spawned(seen: Seen, args: Any) -> None:
    refusal = _unseen_call(args[0], args[1])
    if refusal:
        seen.unsure.append(refusal)
    for name in _LOCALE:
        seen.variables[name] = None
    for part in [args[0], *(args[1] if isinstance(args[1], list | tuple) else [args[1]])]:
        if isinstance(part, str | bytes | os.PathLike):
            text = os.fsdecode(part)
            # A shell's command names files among its words.
            for word in dict.fromkeys([text, *re.split(r"[\s;|&<>()\"'=]+", text)][:_WORDS]):
                path = _outside(seen, word) if word and "\0" not in word else None
                if path is not None:
                    seen.name(path)


_EVENTS: dict[str, Callable[[Seen, Any], None]] = {
    "open": _opened,
    "os.listdir": _listed,
    "os.scandir": _listed,
    "os.rename": _moved,
    "os.remove": _removed,
    "os.rmdir": _removed,
    "subprocess.Popen": _spawned,
    "os.system": _ran,
    "os.posix_spawn": _spawned,
    "os.exec": _spawned,
}


def _install() -> None:
    with _hooked:
        if not _state["hook"]:
            _state["hook"] = True
            sys.addaudithook(_hook)
        kind = type(os.environ)
        if not hasattr(kind.__getitem__, "_nbrewind"):
            # Looking up a variable raises no audit event.
            kind.__getitem__ = _noting_variables(kind.__getitem__)  # type: ignore[method-assign]
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is not None and not hasattr(stream.write, "_nbrewind"):
                _tee(stream, name)


def _noting_variables(original: Callable[..., Any]) -> Callable[..., Any]:
    def __getitem__(self: Any, name: Any) -> Any:
        seen = _current.get()
        if seen is not None and isinstance(name, str):
            seen.variables[name] = None
        return original(self, name)

    __getitem__._nbrewind = True  # type: ignore[attr-defined]
    return __getitem__


def _tee(stream: Any, name: str) -> None:
    original = stream.write

    def write(text: Any) -> Any:
        seen = _current.get()
        if seen is not None and isinstance(text, str):
            seen.printed[name].append(text)
        return original(text)

    write._nbrewind = True  # type: ignore[attr-defined]
    try:
        stream.write = write
    except AttributeError:
        return  # a stream that cannot be listened to: what is printed is shown, not stored


def is_inside() -> bool:
    """Whether this is a task."""
    return _current.get() is not None


class Watch:
    """One run of a task's function."""

    def __init__(self, sandbox: str = "") -> None:
        _install()
        self.seen = Seen(sandbox)
        self._token = _current.set(self.seen)
        self._started = time.perf_counter()

    def end(self) -> dict[str, Any]:
        """Stop watching; the report, as plain values."""
        seconds = time.perf_counter() - self._started
        _current.reset(self._token)
        report = self.seen.report()
        report["seconds"] = seconds
        report["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        report["worker"] = f"{_HOST}:{os.getpid()}"
        return report


def random_state() -> Any:
    """The states of the generators that everybody in a process shares, without what engines drew."""
    # By the generators themselves: a notebook's kernel takes note of who asks the modules.
    numpy: Any = sys.modules.get("numpy.random")
    theirs = numpy.random_sample.__self__.get_state() if numpy is not None else ("", b"", 0)
    with _drawing:
        now = _generator().getstate()
        ours = _drawn.get(now, now)
    return ours, theirs[0], bytes(theirs[1]), theirs[2:]


def engine_draw(draw: Callable[[], Any]) -> Any:
    """Let an engine draw from the notebook's generator: no task of this process did."""
    with _drawing:
        before = _generator().getstate()
        value = draw()
        first = _drawn.get(before, before)
        _drawn.clear()
        _drawn[_generator().getstate()] = first
    return value


def _generator() -> random.Random:
    found: Any = random.random
    generator: random.Random = found.__self__
    return generator


class _Wrapper:
    """What travels: the function, and how to make the wrapper again where nbrewind is unknown."""

    def __init__(self, func: Callable[..., Any], *details: Any) -> None:
        self.func = func
        self.details = details
        self.__name__ = getattr(func, "__name__", type(func).__name__)

    def __reduce__(self) -> tuple[Any, ...]:
        import operator

        return operator.call, (_loader(type(self).__name__), self.func, *self.details)


class Returning(_Wrapper):
    """A task's function that gives back ``(MARK, report, value)``."""

    def __init__(self, func: Callable[..., Any], home: int = 0, ident: str = "") -> None:
        super().__init__(func, home, ident)
        self.home = home
        """The process of the notebook, where its tasks may run in that one."""
        self.ident = ident
        """Comes back in the report, where an engine gives results without their order."""

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[str, dict[str, Any], Any]:
        inside = os.getpid() == self.home
        before = random_state() if inside else None
        watch = Watch()
        try:
            value = self.func(*args, **kwargs)
        finally:
            report = watch.end()
        report["inside"], report["ident"] = inside, self.ident
        if inside and random_state() != before:
            report["unsure"].append("it moved the random state of the notebook")
        return MARK, report, value

    # Engines that keep pickled callables know one by its hash.
    def __eq__(self, other: object) -> bool:
        return type(other) is Returning and other.func is self.func

    def __hash__(self) -> int:
        return hash(("returning", id(self.func)))


class Leaving(_Wrapper):
    """A task's function that leaves its report in a file of its sandbox."""

    def __init__(self, func: Callable[..., Any], path: str) -> None:
        super().__init__(func, path)
        self.path = path

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        watch = Watch(os.getcwd().rstrip("/") + "/")
        try:
            return self.func(*args, **kwargs)
        finally:
            report = watch.end()
            with open(self.path, "wb") as target:
                pickle.dump(report, target)

    # Engines that keep pickled callables know one by its hash.
    def __eq__(self, other: object) -> bool:
        return type(other) is Leaving and other.func is self.func

    def __hash__(self) -> int:
        return hash(("leaving", id(self.func)))


class Several:
    """Calls one function after another, as one task of the engine."""

    def __call__(self, calls: list[tuple[Callable[..., Any], tuple[Any, ...]]]) -> list[Any]:
        return [func(*args) for func, args in calls]

    def __reduce__(self) -> tuple[Any, ...]:
        import operator

        return operator.call, (_loader("Several"),)


class Traced(_Wrapper):
    """A task of Dask: its report goes to the client as an event named by ``ident``."""

    def __init__(self, func: Callable[..., Any], ident: str) -> None:
        super().__init__(func, ident)
        self.ident = ident
        if inspect.iscoroutinefunction(func):
            # distributed's own test for "run me on the event loop".
            self.__tornado_coroutine__ = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if inspect.iscoroutinefunction(self.func):
            return self._wait(args, kwargs)
        watch = Watch()
        try:
            return self.func(*args, **kwargs)
        finally:
            self._send(watch.end())

    async def _wait(self, args: Any, kwargs: Any) -> Any:
        watch = Watch()
        try:
            return await self.func(*args, **kwargs)
        finally:
            self._send(watch.end())

    def _send(self, report: dict[str, Any]) -> None:
        report["ident"] = self.ident
        try:
            from distributed.worker import get_worker

            worker = get_worker()
        except (ImportError, ValueError):
            LOCAL[self.ident] = report
            return
        worker.log_event(TOPIC, report)


class _Loader:
    """Pickles as a call that takes a class of this module, made out of its own text where it is unknown.

    What a process knows already must cost it next to nothing, for tasks of microseconds: ``map`` is lazy,
    so the text is compiled only where the first of two calls finds no module.
    """

    def __init__(self, wanted: str) -> None:
        self.wanted = wanted
        self.pickled = b""
        """That call; pickled once, since it is the same for every task."""

    def __reduce__(self) -> tuple[Any, ...]:
        if not self.pickled:
            self.pickled = pickle.dumps(_Call(getattr, _this_module(), self.wanted))
        return pickle.loads, (self.pickled,)


class _Call:
    """Pickles as the value of a call, made by whoever loads it."""

    def __init__(self, *parts: Any) -> None:
        self.parts = parts

    def __reduce__(self) -> tuple[Any, ...]:
        return self.parts[0], self.parts[1:]


def _this_module() -> _Call:
    import functools
    import operator

    modules = _Call(getattr, _Call(__import__, "sys"), "modules")
    known = _Call(functools.partial, dict.get, modules, NAME)
    made = functools.partial(eval, _EXPRESSION, {"text": TEXT, "name": NAME})
    return _Call(next, _Call(filter, None, _Call(map, operator.call, (known, made))))


_loaders: dict[str, _Loader] = {}


def _loader(wanted: str) -> _Loader:
    """One object for each class, so that a pickle of many tasks has it once."""
    return _loaders.setdefault(wanted, _Loader(wanted))


_EXPRESSION = (
    "(lambda sys, zlib, types: (lambda module: ("
    "module.__dict__.update(TEXT=text, NAME=name), "
    "exec(compile(zlib.decompress(text), name, 'exec'), module.__dict__), "
    "sys.modules.setdefault(name, module))[2])(types.ModuleType(name)))"
    "(__import__('sys'), __import__('zlib'), __import__('types'))"
)

if "TEXT" not in globals():
    with open(__file__, "rb") as _source:
        TEXT = zlib.compress(_source.read(), 9)
    NAME = "_nbrewind_" + hashlib.blake2b(TEXT, digest_size=8).hexdigest()
    # Forked children and threads find this very module where the text would make another.
    sys.modules.setdefault(NAME, sys.modules[__name__])
