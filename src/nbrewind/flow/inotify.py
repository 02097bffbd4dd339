"""What the operating system saw below the notebook's folder: opens and changes by C code and children (R6).

Python's audit events end where Python does: pyarrow, HDF5 and every child process open files
unseen.  Linux tells of them whoever does it.  Elsewhere, on file systems without such events and
beyond the limits below, ``available`` is false or ``overflow`` is set, and only the audit events remain.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

_MODIFY, _OPEN, _MOVED_FROM, _MOVED_TO = 0x2, 0x20, 0x40, 0x80
_CREATE, _DELETE, _OVERFLOW, _IGNORED, _ISDIR = 0x100, 0x200, 0x4000, 0x8000, 0x40000000
_ONLY_FOLDERS, _NO_LINKS = 0x1000000, 0x2000000
_WANTED = _MODIFY | _OPEN | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _ONLY_FOLDERS | _NO_LINKS
_CHANGE = _MODIFY | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
_HEAD = struct.Struct("iIII")
_MOST_READ = 1 << 16
_MOST_EVENT = _HEAD.size + 256
"""Bytes of the longest event: its name has up to 255 and ends with a zero."""
MOST_FOLDERS = 2000
"""Folders watched at most; every one costs the kernel about a kilobyte."""
MOST_SECONDS = 0.3
"""What finding them may take, on a slow network for one."""


@dataclass(slots=True)
class Events:
    """What happened since the last look, by absolute path."""

    opened: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    """Files made, removed, renamed or written, and folders made or removed."""
    created: set[str] = field(default_factory=set)
    """Those of them that were not there before."""
    listed: set[str] = field(default_factory=set)
    """Folders that were opened to be read."""
    overflow: bool = False
    """Whether some events were lost."""


class Inotify:
    """Watches a folder and all below it."""

    def __init__(self, root: str, skip: Callable[[str], bool]) -> None:
        self.root = root
        self.skip = skip
        self.folders: dict[int, str] = {}
        self.available = False
        self._pid = os.getpid()
        if sys.platform != "linux":
            return
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = int(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        if self._descriptor >= 0:
            self.available = True
            self.watch(root)

    def close(self) -> None:
        """Watch nothing any more."""
        if self.available and os.getpid() == self._pid:
            self.available = False
            os.close(self._descriptor)

    def watch(self, top: str) -> None:
        """Watch a folder and those below it, as far as the limits go."""
        deadline = time.monotonic() + MOST_SECONDS
        for folder, names, _ in os.walk(top):
            names[:] = [name for name in names if not self.skip(os.path.join(folder, name))]
            if len(self.folders) >= MOST_FOLDERS or time.monotonic() > deadline:
                return
            mark = int(self._libc.inotify_add_watch(self._descriptor, os.fsencode(folder), _WANTED))
            if mark >= 0:
                self.folders[mark] = folder

    def drain(self, earlier: Events | None = None) -> Events:
        """Take all events that there are, after ``earlier`` ones."""
        found = earlier if earlier is not None else Events()
        if not self.available or os.getpid() != self._pid:
            return found
        grown = False
        full = True
        while full and (data := self._read()):
            # A read ends before an event that does not fit: what leaves room for any has taken them all.
            full = len(data) > _MOST_READ - _MOST_EVENT
            offset = 0
            while offset < len(data):
                mark, mask, _, length = _HEAD.unpack_from(data, offset)
                offset += _HEAD.size
                name = os.fsdecode(data[offset : offset + length].rstrip(b"\0"))
                offset += length
                grown |= self._one(mark, mask, name, found)
        if grown:
            self.watch(self.root)
        return found

    def _read(self) -> bytes:
        try:
            return os.read(self._descriptor, _MOST_READ)
        except BlockingIOError:
            return b""

    def _one(self, mark: int, mask: int, name: str, found: Events) -> bool:
        """Sort one event; whether the tree of folders changed."""
        if mask & _OVERFLOW:
            found.overflow = True
            return True
        folder = self.folders.get(mark)
        if mask & _IGNORED:
            self.folders.pop(mark, None)
        if folder is None or mask & _IGNORED:
            return False
        path = os.path.join(folder, name) if name else folder
        if mask & _ISDIR and mask & _OPEN:
            found.listed.add(path)
        if mask & _CHANGE:
            if mask & _CREATE and path not in found.changed:
                found.created.add(path)
            found.changed.add(path)
            if mask & _ISDIR and mask & (_CREATE | _MOVED_TO):
                self._made(path, found)
            return bool(mask & _ISDIR)
        elif mask & _OPEN and not mask & _ISDIR:
            found.opened.add(path)
        return False

    def _made(self, folder: str, found: Events) -> None:
        """A new folder is watched too late to tell of what was put into it at once."""
        for parent, folders, files in os.walk(folder):
            new = {os.path.join(parent, name) for name in (*folders, *files)} - found.changed
            found.created |= new
            found.changed |= new
