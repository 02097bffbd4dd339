"""Private mappings of parts of files as one writable buffer: nothing is copied before it is changed.

The parts may lie anywhere, in several files: their pages are mapped side by side over a
reserved range of addresses.  What does not begin on a page is read into it.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.mmap.restype = ctypes.c_void_p
_LIBC.mmap.argtypes = (
    ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long,
)  # fmt: skip
_LIBC.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)

_FIXED = 0x10
_FAILED = ctypes.c_void_p(-1).value
_WRITABLE = mmap.PROT_READ | mmap.PROT_WRITE

SUPPORTED = os.uname().sysname == "Linux" and ctypes.sizeof(ctypes.c_void_p) == 8


@dataclass(frozen=True, slots=True)
class Part:
    """Some bytes of an open file."""

    descriptor: int
    offset: int
    length: int


class Region:
    """Memory of its own that begins as the bytes of some parts; ends with the last buffer over it."""

    def __init__(self, parts: Sequence[Part], size: int = 0) -> None:
        """Map the parts; at least ``size`` bytes.

        Raises:
            OSError: there is no memory, or a part cannot be read.
        """
        self.size = max(size, sum(part.length for part in parts))
        self.address = _mapped(None, self.size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
        self._end = weakref.finalize(self, _LIBC.munmap, self.address, self.size)
        self._end.atexit = False
        position = 0
        for part in _joined(parts):
            self._fill(position, part)
            position += part.length

    @classmethod
    def empty(cls, size: int) -> Region:
        """Zeros.

        Raises:
            OSError: there is no memory.
        """
        return cls([], size)

    def buffer(self) -> memoryview:
        """A writable view, which keeps the memory."""
        array: Any = (ctypes.c_ubyte * self.size).from_address(self.address)
        array.region = self
        return memoryview(array).cast("B")

    def give_up(self) -> int:
        """The address, for somebody who unmaps the memory in time."""
        self._end.detach()
        return self.address

    def _fill(self, position: int, part: Part) -> None:
        whole = part.length // mmap.PAGESIZE * mmap.PAGESIZE
        if part.offset % mmap.PAGESIZE or position % mmap.PAGESIZE:
            whole = 0
        if whole:
            flags = mmap.MAP_PRIVATE | _FIXED
            _mapped(self.address + position, whole, flags, part.descriptor, part.offset)
        if whole < part.length:
            _read_into(self.address + position + whole, part, whole)


def unmap(address: int, size: int) -> None:
    """End memory that somebody took over."""
    _LIBC.munmap(address, size)


def region_of(buffer: object) -> Region | None:
    """The region under a buffer that is the whole of it."""
    if isinstance(buffer, memoryview):
        found = getattr(buffer.obj, "region", None)
        if isinstance(found, Region) and buffer.nbytes == found.size:
            return found
    return None


def _joined(parts: Sequence[Part]) -> list[Part]:
    """Parts that follow on each other in a file are one."""
    joined: list[Part] = []
    for part in parts:
        last = joined[-1] if joined else None
        if last and (last.descriptor, last.offset + last.length) == (part.descriptor, part.offset):
            joined[-1] = Part(last.descriptor, last.offset, last.length + part.length)
        else:
            joined.append(part)
    return joined


def _mapped(address: int | None, length: int, flags: int, descriptor: int, offset: int) -> int:
    found = _LIBC.mmap(address, length, _WRITABLE, flags, descriptor, offset)
    if found == _FAILED:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return int(found)


def _read_into(address: int, part: Part, start: int) -> None:
    target = memoryview((ctypes.c_ubyte * (part.length - start)).from_address(address)).cast("B")
    done = 0
    while done < target.nbytes:
        read = os.preadv(part.descriptor, [target[done:]], part.offset + start + done)
        if not read:
            raise OSError("a file ends too early")
        done += read
