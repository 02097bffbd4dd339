"""Files as state (R6): which paths a cell read, probed, listed and wrote, as it did so.

Python's audit events show opens, removals, renames and listings; existence probes raise
none, so ``os.stat`` and its kin are wrapped.  An event counts only if the user's own code
caused it (R7): the innermost frame that is neither library nor interpreter decides.  What C
code and child processes open below the notebook's folder is seen by ``inotify``.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import sys
import threading
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Any

from nbrewind.flow.code import hash_parts
from nbrewind.flow.inotify import Events, Inotify
from nbrewind.flow.names import is_library_path
from nbrewind.model import ABSENT, FileState

DigestFile = Callable[[str], str]
StoreFile = Callable[[str], str]

_OUTSIDE = ("/proc/", "/sys/", "/dev/", "/etc/", "/usr/lib/", "/usr/share/", "/run/")
_NEVER_LISTED = frozenset(
    {".nbrewind", ".ipynb_checkpoints", "__pycache__", ".virtual_documents", "dask-scratch-space", ".git"}
)
NATIVE = frozenset(
    {
        *("cv2", "duckdb", "fastparquet", "fiona", "h5py", "jax", "lightgbm", "netCDF4", "osgeo", "polars"),
        *("pyarrow", "pyreadstat", "pysam", "rasterio", "soundfile", "tables", "tensorflow", "torch"),
        *("xgboost", "zarr"),
    }
)
"""Packages that write files in C: while one is loaded, changes that nothing else explains are the cell's."""
ABOVE_CELLS = ("nbrewind/kernel/kernel.py", "ipykernel/ipkernel.py", "ipykernel/kernelbase.py")
"""Files whose frames are below every cell on the stack: what they do is not the cell's doing."""
_OTHERS = re.compile(
    r"/(asyncio|dask|debugpy|distributed|ipykernel|IPython|jupyter_client|nbrewind|tornado|zmq)/|/pydevd"
)
"""Files whose frames tell that a thread is an engine's, the front end's or ours."""
_SPAWN = frozenset(
    {
        "os.fork",
        "os.forkpty",
        "subprocess.Popen",
        "os.system",
        "os.posix_spawn",
        "os.spawn",
        "os.exec",
        "pty.spawn",
    }
)
_TREE_LIMIT = 20_000
_SMALL, _KEPT_AT_MOST, _FILES_AT_MOST = 1 << 20, 32 << 20, 256
"""Bytes of a file, bytes of all and their number that are kept before a child process starts."""


@lru_cache(maxsize=4096)
def ends_search(file: str) -> bool:
    """Whether nothing below a frame of this file on the stack tells that the cell's code is the cause.

    Asked for every frame at every probe, and a traceback probes ten thousand paths.
    """
    return file.startswith("<frozen importlib") or file.endswith(ABOVE_CELLS)


@lru_cache(maxsize=4096)
def _is_of_others(file: str) -> bool:
    return _OTHERS.search(file) is not None


class CellFiles:
    """What one cell did with files."""

    def __init__(self) -> None:
        self.reads: dict[str, FileState] = {}
        self.probes: dict[str, FileState] = {}
        self.listings: dict[str, str] = {}
        self.found: dict[str, FileState] = {}
        """State before the cell of every path it wrote or removed."""
        self.external: list[str] = []
        """Child processes and connections, which may have read or written unseen."""
        self.children = False
        """Whether it started a child process, which sees all environment variables."""
        self.changed: set[str] = set()
        """Paths that C code or a child changed."""
        self.created: set[str] = set()
        """Those of them that were not there before."""
        self.tree: dict[str, tuple[int, ...]] | None = None
        """What was below the notebook's folder before the first child process."""
        self.events = Events()
        """What inotify told so far."""
        self.kept: dict[str, FileState] = {}
        """Small files of that moment: nobody tells before a child changes one."""


class FileWatch:
    """The one observer of file events in a kernel process."""

    def __init__(
        self, root: Path, *, store_file: StoreFile, digest_file: DigestFile, ignore: Iterable[str] = ()
    ) -> None:
        self.root = str(root)
        self.store_file = store_file
        self.digest_file = digest_file
        home = os.path.expanduser("~")
        self.ignored: set[str] = {os.path.abspath(path) for path in ignore}
        self.ignored_roots = (
            *(f"{home}/{name}/" for name in (".ipython", ".jupyter", ".cache", ".config", ".local", ".dask")),
        )
        self.cell: CellFiles | None = None
        self.written: set[str] = set()
        """Paths this process wrote: an open handle may write on without another event."""
        self.is_user_frame: Callable[[FrameType], bool] = lambda frame: True
        self.thread = threading.get_ident()
        """The thread in which cells run."""
        self._busy = threading.local()
        self.system = Inotify(self.root, lambda path: not self._watched(path))
        os.register_at_fork(after_in_child=self._forked)
        _install(self)

    def begin(self) -> None:
        """Start to record a cell."""
        self.system.drain()
        self.thread = threading.get_ident()
        self.cell = CellFiles()

    def remove(self) -> None:
        """Watch nothing any more."""
        self.cell = None
        self.system.close()
        if [self] == _WATCHES:
            _WATCHES.clear()
            _unwrap_probes()

    def _forked(self) -> None:
        """A forked child has no store to keep files in; its parent is marked as having one."""
        self.cell = None

    def end(self) -> CellFiles:
        """Stop recording and return what was seen."""
        if self.cell is not None:
            with self.quiet():
                self._unseen(self.cell, self.system.drain(self.cell.events))
        seen, self.cell = self.cell, None
        return seen if seen is not None else CellFiles()

    @contextlib.contextmanager
    def set_aside(self) -> Iterator[None]:
        """While cells run again for a value of the cell under way, nothing is its doing."""
        cell = self.cell
        if cell is not None:
            self.system.drain(cell.events)
        self.cell = None
        try:
            yield
        finally:
            self.system.drain()
            self.cell = cell

    def _unseen(self, cell: CellFiles, events: Events) -> None:
        """Take in what the audit events did not show.

        Other programs work in the same folder: front ends open notebooks, shells their hidden files.
        """
        known = {*cell.reads, *cell.found, *cell.probes}
        if events.overflow:
            cell.external.append("more file events than could be watched")
        opened = {p for p in events.opened - events.changed if self.key(p) not in known and self._watched(p)}
        if any(path.endswith(".py") for path in opened):
            # Importing is seen elsewhere (R7), and may happen at any time in a repeat.
            opened -= {getattr(module, "__file__", None) or "" for module in list(sys.modules.values())}
        for path in sorted(opened):
            self.read(cell, path)
        for path in sorted(events.listed):
            key = self.key(path)
            if cell.external and key not in cell.listings and self.tracked(path + "/"):
                cell.listings[key] = self.listing(path, events)
        if cell.external or NATIVE & sys.modules.keys():
            for path in sorted(events.changed):
                key = self.key(path)
                if key not in cell.found and self._watched(path):
                    cell.changed.add(key)
                    if path in events.created:
                        cell.created.add(key)
                    self.written.add(key)

    def key(self, path: str) -> str:
        """The portable name of an absolute path."""
        if path == self.root:
            return "."
        if path.startswith(self.root + "/"):
            return path[len(self.root) + 1 :]
        return path

    def path(self, key: str) -> str:
        """The absolute path of a portable name."""
        return os.path.normpath(os.path.join(self.root, key))

    def state(self, path: str, *, content: bool = True, keep: bool = False) -> FileState:
        """What a path holds now; ``keep`` also stores the bytes."""
        with self.quiet():
            try:
                found = os.stat(path)
            except (OSError, ValueError):
                return ABSENT
            if stat.S_ISDIR(found.st_mode):
                return FileState("dir")
            if not stat.S_ISREG(found.st_mode):
                return FileState("file", "", 0, 0)
            digest = ""
            if keep:
                digest = self.store_file(path)
            elif content:
                digest = self.digest_file(path)
            return FileState("file", digest, found.st_size, stat.S_IMODE(found.st_mode) & 0o777)

    def listing(self, path: str, since: Events | None = None) -> str:
        """Digest of the names in a folder, without our own and the front end's; before ``since`` happened."""
        with self.quiet():
            try:
                names = os.listdir(path)
            except OSError:
                return "absent"
            if since is not None:
                inside = {p for p in since.changed - since.created if os.path.dirname(p) == path}
                names = [name for name in names if os.path.join(path, name) not in since.created]
                names += [os.path.basename(p) for p in inside if not os.path.lexists(p)]
            kept = [
                name
                for name in sorted(names)
                if name not in _NEVER_LISTED and os.path.join(path, name) not in self.ignored
            ]
        return hash_parts(*kept)

    def ignore(self, folder: str) -> None:
        """Leave a folder alone from now on: it is no state of the notebook."""
        if folder not in self.ignored:
            self.ignored.add(folder)
            self.ignored_roots = (*self.ignored_roots, folder.rstrip("/") + "/")

    def tracked(self, path: str) -> bool:
        """Whether a path is state of the notebook at all."""
        return not (
            (path.startswith(_OUTSIDE) and not path.startswith(self.root + "/"))
            or path in self.ignored
            or any(part in _NEVER_LISTED for part in path.split("/"))
            or path.startswith(self.ignored_roots)
            or is_library_path(path + "/")
            or path.startswith("/tmp/ipykernel_")
            or path == "/"
        )

    def _watched(self, path: str) -> bool:
        """Whether an event counts that no call of the cell's code explains."""
        name = os.path.basename(path)
        return not name.startswith(".") and not name.endswith((".ipynb", "~")) and self.tracked(path)

    def quiet(self) -> _Quiet:
        """Our own work raises no events."""
        return _Quiet(self._busy)

    def is_quiet(self) -> bool:
        """Whether this thread is doing our own work."""
        return bool(getattr(self._busy, "depth", 0))

    def active(self) -> CellFiles | None:
        """The cell being recorded, if the running code is the user's own (R7)."""
        cell = self.cell
        if cell is None or self.is_quiet():
            return None
        frame: FrameType | None = sys._getframe(1)
        others = False
        while frame is not None:
            name = frame.f_code.co_filename
            if ends_search(name):
                return None
            if not name.startswith("<frozen") and self.is_user_frame(frame):
                return cell
            others = others or _is_of_others(name)
            frame = frame.f_back
        # `pool.map(shutil.copy, ...)`: a thread with libraries only on its stack, not ours or an engine's.
        return None if others or threading.get_ident() == self.thread else cell

    def _of_magic(self) -> CellFiles | None:
        """The cell being recorded, if it waits in ``%%bash`` or the like, whose thread starts the child."""
        if self.cell is None or self.is_quiet():
            return None
        frame = sys._current_frames().get(self.thread)
        while frame is not None:
            if frame.f_code.co_filename.endswith("IPython/core/magics/script.py"):
                return self.cell
            frame = frame.f_back
        return None

    def absolute(self, raw: Any, dir_fd: Any = None) -> str | None:
        """A path argument as an absolute path, None for descriptors and odd things."""
        if isinstance(raw, int) or raw is None:
            return None
        try:
            text = os.fsdecode(raw)
        except TypeError:
            return None
        if isinstance(dir_fd, int) and dir_fd >= 0 and not os.path.isabs(text):
            try:
                text = os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), text)
            except OSError:
                return None
        return os.path.abspath(text)

    def read(self, cell: CellFiles, path: str) -> None:
        """The cell reads a path's content."""
        key = self.key(path)
        if key in cell.reads or key in cell.found or not self.tracked(path):
            return
        state = self.state(path)
        if state.kind == "dir":
            cell.probes.setdefault(key, state)
        else:
            cell.reads[key] = state

    def probe(self, cell: CellFiles, path: str) -> None:
        """The cell asks whether a path exists, and what it is."""
        key = self.key(path)
        if key in cell.probes or key in cell.reads or key in cell.found or not self.tracked(path):
            return
        state = self.state(path, content=False)
        cell.probes[key] = state

    def write(self, cell: CellFiles, path: str) -> None:
        """The cell is about to change a path: keep what it held (the pre-image)."""
        key = self.key(path)
        if key in cell.found or not self.tracked(path):
            return
        known = cell.reads.get(key)
        state = self.state(path, keep=True)
        cell.found[key] = known if known is not None and known.kind == "absent" else state
        self.written.add(key)

    def on_event(self, event: str, args: tuple[Any, ...]) -> None:
        """One audit event."""
        handler = _EVENTS.get(event)
        if handler is not None:
            cell = self.active()
            if cell is not None:
                with self.quiet():
                    handler(self, cell, args)
        elif event in _SPAWN or event == "socket.connect":
            cell = self.active() or self._of_magic()
            if cell is not None:
                with self.quiet():
                    self._external(cell, event, args)

    def _external(self, cell: CellFiles, event: str, args: tuple[Any, ...]) -> None:
        if event == "socket.connect":
            cell.external.append("a network connection")
            return
        words: list[str] = []
        for arg in args:
            if isinstance(arg, str | bytes):
                words += os.fsdecode(arg).split()
            elif isinstance(arg, list | tuple):
                for item in arg:
                    if isinstance(item, str | bytes):
                        words += os.fsdecode(item).split()
        cell.external.append("a child process")
        cell.children = True
        for word in words:
            path = os.path.abspath(word.strip("'\";|&<>()"))
            if os.path.isfile(path):
                self.read(cell, path)
        if cell.tree is None:
            self.system.drain(cell.events)
            cell.tree = self.scan()
            self._keep_small(cell, cell.tree)
            self.system.drain()  # our own reading

    def _keep_small(self, cell: CellFiles, tree: dict[str, tuple[int, ...]]) -> None:
        left = _KEPT_AT_MOST
        for key, (size, *_) in tree.items():
            path = self.path(key)
            if size > _SMALL or size > left or key in cell.found or not self._watched(path):
                continue
            if len(cell.kept) == _FILES_AT_MOST:
                return
            left -= size
            cell.kept[key] = self.state(path, keep=True)

    def scan(self) -> dict[str, tuple[int, ...]]:
        """Signatures of all files below the notebook's folder, for children that write unseen."""
        found: dict[str, tuple[int, ...]] = {}
        for folder, names, files in os.walk(self.root):
            names[:] = [
                n for n in names if n not in _NEVER_LISTED and os.path.join(folder, n) not in self.ignored
            ]
            for name in files:
                path = os.path.join(folder, name)
                if path in self.ignored:
                    continue
                try:
                    info = os.lstat(path)
                except OSError:
                    continue
                found[self.key(path)] = (info.st_size, info.st_mtime_ns, info.st_ino)
                if len(found) > _TREE_LIMIT:
                    return found
        return found


class _Quiet:
    def __init__(self, busy: threading.local) -> None:
        self.busy = busy

    def __enter__(self) -> None:
        self.busy.depth = getattr(self.busy, "depth", 0) + 1

    def __exit__(self, *exc: object) -> None:
        self.busy.depth -= 1


def _open(watch: FileWatch, cell: CellFiles, args: tuple[Any, ...]) -> None:
    path = watch.absolute(args[0])
    if path is None:
        return
    mode, flags = args[1], args[2] if len(args) > 2 and isinstance(args[2], int) else 0
    if isinstance(mode, str):
        writes = any(letter in mode for letter in "wax+")
        reads = "r" in mode or "a" in mode or ("+" in mode and "w" not in mode and "x" not in mode)
        exclusive = "x" in mode
    else:
        access = flags & os.O_ACCMODE
        writes = access != os.O_RDONLY or bool(flags & os.O_TRUNC)
        reads = (access != os.O_WRONLY and not flags & os.O_TRUNC) or bool(flags & os.O_APPEND)
        exclusive = bool(flags & os.O_EXCL)
    if exclusive:
        watch.probe(cell, path)
    if reads:
        watch.read(cell, path)
    if writes:
        watch.write(cell, path)


def _removed(watch: FileWatch, cell: CellFiles, args: tuple[Any, ...]) -> None:
    path = watch.absolute(args[0], args[1] if len(args) > 1 else None)
    if path is not None:
        watch.probe(cell, path)
        watch.write(cell, path)


def _made(watch: FileWatch, cell: CellFiles, args: tuple[Any, ...]) -> None:
    path = watch.absolute(args[0], args[2] if len(args) > 2 else None)
    if path is not None:
        watch.probe(cell, path)
        watch.write(cell, path)


def _moved(watch: FileWatch, cell: CellFiles, args: tuple[Any, ...]) -> None:
    source, target = watch.absolute(args[0], args[2] if len(args) > 2 else None), watch.absolute(args[1])
    if source is None or target is None:
        return
    below = [source]
    if os.path.isdir(source):
        below += [os.path.join(folder, name) for folder, _, files in os.walk(source) for name in files]
    for path in below:
        watch.read(cell, path)
        watch.write(cell, path)
        watch.write(cell, target + path[len(source) :])


def _linked(watch: FileWatch, cell: CellFiles, args: tuple[Any, ...]) -> None:
    source, target = watch.absolute(args[0]), watch.absolute(args[1])
    if source is not None:
        watch.read(cell, source)
    if target is not None:
        watch.probe(cell, target)
        watch.write(cell, target)


def _changed(watch: FileWatch, cell: CellFiles, args: tuple[Any, ...]) -> None:
    path = watch.absolute(args[0])
    if path is not None:
        watch.read(cell, path)
        watch.write(cell, path)


def _dated(watch: FileWatch, cell: CellFiles, args: tuple[Any, ...]) -> None:
    """``Path.touch`` gives a file that is there another time, and makes one that is not."""
    path = watch.absolute(args[0])
    if path is not None:
        watch.probe(cell, path)


def _listed(watch: FileWatch, cell: CellFiles, args: tuple[Any, ...]) -> None:
    raw = args[0] if args and args[0] is not None else "."
    path = watch.absolute(raw)
    if path is None:
        return
    key = watch.key(path)
    if key not in cell.listings and watch.tracked(path + "/") and not is_library_path(path + "/"):
        cell.listings[key] = watch.listing(path)


def _database(watch: FileWatch, cell: CellFiles, args: tuple[Any, ...]) -> None:
    """SQLite opens its file in C, and may write to it as long as the connection lives."""
    raw = os.fsdecode(args[0]) if args and isinstance(args[0], str | bytes | os.PathLike) else ""
    if raw.startswith("file:"):
        raw = urllib.parse.unquote(urllib.parse.urlsplit(raw).path)
    path = watch.absolute(raw) if raw and raw != ":memory:" else None
    if path is not None:
        for one in (path, path + "-wal"):
            watch.read(cell, one)
            watch.write(cell, one)


_EVENTS: dict[str, Callable[[FileWatch, CellFiles, tuple[Any, ...]], None]] = {
    "open": _open,
    "os.remove": _removed,
    "os.rmdir": _removed,
    "os.mkdir": _made,
    "os.rename": _moved,
    "os.link": _linked,
    "os.symlink": _linked,
    "os.truncate": _changed,
    "os.chmod": _changed,
    "os.utime": _dated,
    "os.listdir": _listed,
    "os.scandir": _listed,
    "sqlite3.connect": _database,
}

_WATCHED = frozenset(_EVENTS) | _SPAWN | {"socket.connect"}
_WATCHES: list[FileWatch] = []
_PROBES: dict[str, Any] = {}
"""The functions of ``os`` behind the wrapped ones."""
_HOOKED: list[bool] = []
"""Whether this process has the audit hook, which nothing can take out again."""


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if event not in _WATCHED:  # `id` is an event too
        return
    for watch in _WATCHES:
        if watch.cell is not None:
            watch.on_event(event, args)


def _install(watch: FileWatch) -> None:
    """Audit hooks cannot be removed: one is added per process, and the newest watch is asked."""
    if not _HOOKED:
        sys.addaudithook(_hook)
        _HOOKED.append(True)
    if not _PROBES:
        _wrap_probes()
    _WATCHES[:] = [watch]


def _wrap_probes() -> None:
    """``os.stat``, ``os.lstat`` and ``os.access`` raise no audit event."""
    for name in ("stat", "lstat", "access"):
        _PROBES[name] = getattr(os, name)
        setattr(os, name, _probing(_PROBES[name]))
    os.supports_dir_fd.update({os.stat, os.lstat, os.access})
    os.supports_follow_symlinks.update({os.stat, os.access})
    os.supports_fd.add(os.stat)


def _unwrap_probes() -> None:
    for name, original in _PROBES.items():
        wrapper = getattr(os, name)
        if getattr(wrapper, "__wrapped__", None) is original:
            setattr(os, name, original)
        for table in (os.supports_dir_fd, os.supports_follow_symlinks, os.supports_fd):
            table.discard(wrapper)
    _PROBES.clear()


def _probing(original: Any) -> Any:
    def wrapper(path: Any, *args: Any, **kwargs: Any) -> Any:
        for watch in _WATCHES:
            if watch.cell is None or watch.is_quiet():
                continue
            cell = watch.active()
            if cell is None:
                continue
            with watch.quiet():
                found = watch.absolute(path, kwargs.get("dir_fd"))
                if found is not None:
                    watch.probe(cell, found)
        return original(path, *args, **kwargs)

    wrapper.__name__ = wrapper.__qualname__ = original.__name__
    wrapper.__module__ = "os"
    wrapper.__wrapped__ = original  # type: ignore[attr-defined]
    wrapper.__doc__ = original.__doc__
    return wrapper
