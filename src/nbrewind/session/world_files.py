"""The start world, and files brought to the state (R6)."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from nbrewind import rules
from nbrewind.errors import MissingObject, StoreError
from nbrewind.flow.ambient import EVERY_NAME, names_of
from nbrewind.flow.code import hash_parts
from nbrewind.flow.environment import installed_agrees
from nbrewind.flow.files import _NEVER_LISTED
from nbrewind.model import ABSENT, FileState, Run
from nbrewind.store import Store

YOUNG = 2_000_000_000
"""Nanoseconds: a file changed more recently may change again without a new signature (R6)."""


class StartWorld:
    """Answers for paths that the state does not know: as this run found them.

    A path whose present content is what this notebook itself last left there counts as
    what its first toucher found; every other path counts as it is on disk.
    """

    def __init__(
        self, root: Path, run: Run, digest_file: Callable[[str], str], environment: dict[str, str]
    ) -> None:
        self.root = str(root)
        self.found = dict(run.found)
        self.left = dict(run.left)
        self.described = dict(run.inputs)
        self.digest_file = digest_file
        self.environment = environment
        self.ignored: set[str] = set()
        self.environment_rule = "compatible"

    def absolute(self, key: str) -> str:
        """The path behind a portable name."""
        return os.path.normpath(os.path.join(self.root, key))

    def disk(self, key: str, *, content: bool = True) -> FileState:
        """What is on disk now."""
        path = self.absolute(key)
        try:
            info = os.stat(path)
        except (OSError, ValueError):
            return ABSENT
        if stat.S_ISDIR(info.st_mode):
            return FileState("dir")
        digest = self.digest_file(path) if content and stat.S_ISREG(info.st_mode) else ""
        return FileState("file", digest, info.st_size, stat.S_IMODE(info.st_mode) & 0o777)

    def file(self, path: str, *, content: bool) -> FileState:
        """What a path held in the start world."""
        left = self.left.get(path)
        if left is None or not rules.on("R6"):
            now = self.disk(path, content=content)
            return self.described.get(path, now) if now.kind == "absent" else now
        now = self.disk(path)
        return self.found[path] if equal(now, left) else now

    def lacking(self, touched: Iterable[str]) -> list[str]:
        """What to say of inputs that a cell wanted, and that a package only described."""
        return [
            f"it needs {key} ({self.described[key].size} bytes), which the package describes and does not "
            "hold: put it there, or see data/data.yml of the package for where to get it"
            for key in touched
            if key in self.described and self.disk(key, content=False).kind == "absent"
        ]

    def listing(self, path: str, files: dict[str, FileState]) -> str:
        """Digest of a folder's names, leftovers taken out and the state's files laid over it."""
        folder = self.absolute(path)
        try:
            names = set(os.listdir(folder))
        except OSError:
            names = set()
        prefix = "" if path == "." else path + "/"
        overlay: dict[str, FileState] = {}
        for key in (*self.described, *self.left):
            if key not in files:
                overlay[key] = self.file(key, content=False)
        overlay.update(files)
        for key, state in overlay.items():
            if not key.startswith(prefix) or (prefix == "" and key.startswith("/")):
                continue
            name = key[len(prefix) :]
            if "/" in name:
                if state.kind != "absent":
                    names.add(name.partition("/")[0])
            elif state.kind == "absent":
                names.discard(name)
            else:
                names.add(name)
        if not names and not os.path.isdir(folder):
            return "absent"
        kept = [
            n for n in sorted(names) if n not in _NEVER_LISTED and os.path.join(folder, n) not in self.ignored
        ]
        return hash_parts(*kept)

    def package(self, name: str, recorded: str) -> bool:
        """Whether an installed package agrees with a recorded version (R13)."""
        return installed_agrees(name, recorded, self.environment_rule)

    def variable(self, key: str) -> str:
        """Digest of an environment variable at the start of this kernel."""
        if key == "env:" + EVERY_NAME:
            return hash_parts(names_of(self.environment))
        value = self.environment.get(key[4:])
        return "absent" if value is None else hash_parts(value)


def equal(one: FileState, other: FileState) -> bool:
    """Whether two states are the same content (permissions do not count)."""
    return one.kind == other.kind and one.digest == other.digest


class FileLayer:
    """Brings the disk to the state's files, losing nothing that the store does not hold."""

    def __init__(self, start: StartWorld, store: Store) -> None:
        self.start = start
        self.store = store
        self.moved: dict[str, FileState] = {}
        """Leftovers of the last run that were moved aside."""
        self.notes: list[str] = []
        """What could not be restored."""
        self.kept: list[str] = []
        """What was replaced, and where it is kept."""
        self.lost: set[str] = set()
        """Paths that the store cannot bring to the state, since it has lost the content."""
        self._signatures: dict[str, tuple[FileState, tuple[int, int, int]]] = {}
        """What a path held when its signature was taken; young signatures are not kept."""

    def lay_down(self, files: dict[str, FileState]) -> None:
        """Make every path of the state, and every leftover, what it is in the state."""
        for key, wanted in self._in_order(files):
            self.put(key, wanted)
        if not rules.on("R6"):
            return
        aside = {key: found for key in self.start.left if (found := self._aside(key, files)) is not None}
        for key, found in self._in_order(aside):
            self.moved[key] = self.start.left[key]
            self.put(key, found)

    def _aside(self, key: str, files: dict[str, FileState]) -> FileState | None:
        """What a leftover's path held in the start world, None where it stays as it is."""
        found, left = self.start.found[key], self.start.left[key]
        if key in files or key in self.moved or equal(found, left):
            return None
        return found if equal(self.start.disk(key), left) else None

    @staticmethod
    def _in_order(files: dict[str, FileState]) -> list[tuple[str, FileState]]:
        """Folders first and from the top; removals last and from the bottom."""
        there = sorted(
            ((k, s) for k, s in files.items() if s.kind != "absent"), key=lambda p: (p[1].kind != "dir", p[0])
        )
        gone = sorted(((k, s) for k, s in files.items() if s.kind == "absent"), reverse=True)
        return there + gone

    def put_all(self, files: dict[str, FileState]) -> None:
        """Make every path of the state what it is there; leftovers stay."""
        for key, state in self._in_order(files):
            self.put(key, state)

    def put_back(self, files: dict[str, FileState]) -> None:
        """Leftovers that the run never reached stay where they were."""
        back = {key: left for key, left in self.moved.items() if key not in files}
        for key, left in self._in_order(back):
            self.put(key, left)
        self.moved.clear()

    def put(self, key: str, wanted: FileState) -> None:
        """Make one path what it should be; what the store does not hold is kept there first."""
        path = self.start.absolute(key)
        known = self._signatures.get(key)
        if known is not None and equal(known[0], wanted) and known[1] == _signature(path):
            return
        now = self.start.disk(key)
        if equal(now, wanted) and (wanted.kind != "file" or not wanted.mode or now.mode == wanted.mode):
            self.remember(key, wanted)
            self.lost.discard(key)
            return
        try:
            self._replace(path, now, wanted)
        except (OSError, StoreError) as error:
            self.notes.append(f"{key} could not be restored ({error})")
            if isinstance(error, MissingObject):
                self.lost.add(key)
            return
        self.lost.discard(key)
        self.remember(key, wanted)

    def _replace(self, path: str, now: FileState, wanted: FileState) -> None:
        if now.kind == "file":
            self._keep(path)
        if wanted.kind == "absent":
            if now.kind == "dir":
                with contextlib.suppress(OSError):  # a folder with other people's files stays
                    os.rmdir(path)
            elif now.kind == "file":
                os.remove(path)
            return
        os.makedirs(path if wanted.kind == "dir" else os.path.dirname(path), exist_ok=True)
        if wanted.kind == "file":
            if not wanted.digest:
                raise StoreError("the store does not hold its content")
            if _open_here(path):
                # Whoever holds it open (a log handler) must go on with the same file.
                _overwrite(path, self.store.get(wanted.digest))
                _log_on(path)
            else:
                self.store.copy_out(wanted.digest, path, wanted.mode or 0o644)

    def _keep(self, path: str) -> None:
        """What is about to be replaced is kept; what nobody else holds is named."""
        held = self.store.has(self.store.digest_file(path))
        digest = self.store.put_file(path)
        if held:
            return
        place = self.store.set_aside(path) if self.store.readonly else self.store.objects.loose.path(digest)
        self.kept.append(f"what {path} held is kept in {place}")

    def remember(self, key: str, state: FileState) -> None:
        """A path holds ``state`` now: no need to look again while its signature stays."""
        signature = _signature(self.start.absolute(key))
        if time.time_ns() - signature[1] > YOUNG:
            self._signatures[key] = (state, signature)
        else:
            self._signatures.pop(key, None)

    def untouched(self, key: str) -> bool:
        """Whether a path has the signature that it had when it was last looked at."""
        known = self._signatures.get(key)
        return known is not None and known[1] == _signature(self.start.absolute(key))


def _open_here(path: str) -> bool:
    """Whether this process has a file open, where the platform tells."""
    try:
        wanted = os.stat(path)
        descriptors = os.listdir("/proc/self/fd")
    except OSError:
        return False
    for descriptor in descriptors:
        try:
            found = os.fstat(int(descriptor))
        except OSError:
            continue  # the one that listed them
        if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
            return True
    return False


def _overwrite(path: str, content: bytes) -> None:
    with open(path, "r+b") as file:
        file.write(content)
        file.truncate()


def _log_on(path: str) -> None:
    """Log handlers go on at the end of what was laid down."""
    for reference in list(logging._handlerList):  # type: ignore[attr-defined]
        handler = reference()
        if isinstance(handler, logging.FileHandler) and handler.baseFilename == path and handler.stream:
            with contextlib.suppress(OSError, ValueError):  # closed, or no place to go to
                handler.stream.seek(0, os.SEEK_END)


def _signature(path: str) -> tuple[int, int, int]:
    try:
        info = os.stat(path)
    except (OSError, ValueError):
        return (0, 0, 0)
    return (info.st_size, info.st_mtime_ns, info.st_ino)
