"""NumPy arrays that own mapped memory, as the originals owned theirs.

An array over somebody else's buffer differs from one that owns its memory: ``base``,
``flags.owndata``, ``resize``, ``sys.getsizeof``.  NumPy lets the allocator of each array be
chosen (NEP 49, NumPy 1.22), so that a restored array owns its mapping: its memory is freed by
``munmap``.  The C library's own ``syscall`` function does that, called with the number as its
context: no Python runs when an array ends, not even while the interpreter ends.
"""

from __future__ import annotations

import ctypes
import platform
import sys
import threading
from typing import Any

from nbrewind.store import mapping

_MUNMAP = {"x86_64": 11, "aarch64": 215}.get(platform.machine())
"""The number of the system call, which the context of the allocator holds."""

_SET_HANDLER, _FEATURE_VERSION = 304, 211
"""Places in NumPy's table of functions, which are part of its stable binary interface."""
_NEP_49 = 0x0F

_MALLOC = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_CALLOC = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t)
_REALLOC = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


_capsule: Any = ctypes.pythonapi.PyCapsule_New
_capsule.restype = ctypes.py_object
_capsule.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
_pointer: Any = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype = ctypes.c_void_p
_pointer.argtypes = (ctypes.py_object, ctypes.c_char_p)


class _Handler(ctypes.Structure):
    """``PyDataMem_Handler``."""

    _fields_ = (
        ("name", ctypes.c_char * 127),
        ("version", ctypes.c_uint8),
        ("context", ctypes.c_void_p),
        ("malloc", _MALLOC),
        ("calloc", _CALLOC),
        ("realloc", _REALLOC),
        ("free", ctypes.c_void_p),
    )


class _Allocator:
    """Gives each array the region that it is made for."""

    def __init__(self) -> None:
        self.next: mapping.Region | None = None
        self.sizes: dict[int, int] = {}
        """Bytes by address, for arrays that are resized."""
        self.handler = _Handler(
            b"nbrewind",
            1,
            _MUNMAP,
            _MALLOC(self._malloc),
            _CALLOC(lambda context, count, size: None),
            _REALLOC(self._realloc),
            ctypes.cast(ctypes.CDLL(None).syscall, ctypes.c_void_p),
        )
        self.capsule = _capsule(ctypes.addressof(self.handler), b"mem_handler", None)
        for kept in (self.handler, self):  # arrays that outlive this module use it
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))

    def _malloc(self, context: int, size: int) -> int | None:
        region, self.next = self.next, None
        if region is None or region.size != size:
            return None
        address = region.give_up()
        self.sizes[address] = size
        return address

    def _realloc(self, context: int, address: int, size: int) -> int | None:
        try:
            region = mapping.Region.empty(size)
        except OSError:
            return None
        before = self.sizes.pop(address)
        new = region.give_up()
        ctypes.memmove(new, address, min(before, size))
        mapping.unmap(address, before)
        self.sizes[new] = size
        return new


_LOCK = threading.Lock()
_allocator: _Allocator | None = None


def array(buffer: object, dtype: Any, shape: tuple[int, ...], order: str) -> Any:
    """An array that takes over the mapped memory under a buffer; None where none can."""
    region = mapping.region_of(buffer)
    if region is None or _MUNMAP is None:
        return None
    numpy = sys.modules["numpy"]
    table = _table(numpy)
    if table is None:
        return None
    set_handler: Any = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(table[_SET_HANDLER])
    global _allocator
    with _LOCK:
        if _allocator is None:
            _allocator = _Allocator()
        _allocator.next = region
        before = set_handler(_allocator.capsule)
        try:
            return numpy.empty(shape, dtype, order)
        except MemoryError:
            return None  # it wants another number of bytes than there are
        finally:
            set_handler(before)
            _allocator.next = None


def _table(numpy: Any) -> Any:
    """NumPy's functions for extensions, where their table is as long as we need it."""
    core = getattr(numpy, "_core", None) or numpy.core
    table = ctypes.cast(_pointer(core._multiarray_umath._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))
    version = ctypes.CFUNCTYPE(ctypes.c_uint)(table[_FEATURE_VERSION])()
    return table if version >= _NEP_49 else None
