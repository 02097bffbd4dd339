"""Pillow's images: pickling loads a lazy one and drops what its file format added."""

from __future__ import annotations

import ctypes
from typing import Any

from PIL import Image as images

from nbrewind.flow.codecs import Codec

_NOT_CONTENT = frozenset({"_im", "im", "fp", "_fp", "map", "png", "pyaccess", "_exclusive_fp"})
_ANYWHERE = (0, 1 << 62)


class _ArrowArray(ctypes.Structure):
    """The head of the Arrow C data interface, which is stable."""

    _fields_ = [
        ("length", ctypes.c_int64),
        ("null_count", ctypes.c_int64),
        ("offset", ctypes.c_int64),
        ("n_buffers", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ]


def _address(image: Any) -> tuple[int, int]:
    """Where the pixels of a read-only image are; anywhere if Pillow does not tell."""
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    try:
        capsules = image.__arrow_c_array__()
        found = _ArrowArray.from_address(pointer(capsules[1], b"arrow_array") or 0)
    except (AttributeError, ValueError, MemoryError, TypeError):
        return _ANYWHERE
    if found.n_children or found.n_buffers != 2 or not found.buffers[1]:
        return _ANYWHERE
    return int(found.buffers[1]), max(int(found.length), 1)


class Image(Codec):
    """Images, and those that were read from a file."""

    name = "PIL.Image"
    types = (images.Image,)
    subclasses = True

    def cannot_store(self, value: Any) -> str:
        """An open file is read later."""
        held = vars(value)
        later = [held.get("fp"), held.get("map"), held.get("_fp") if held.get("is_animated") else None]
        if any(file is not None and not getattr(file, "closed", False) for file in later):
            return "an image that reads its open file when it is used"
        return ""

    def memory(self, value: Any) -> Any:
        """Made by ``fromarray`` or ``frombuffer``: the pixels may be those of an array."""
        return [_address(value)] if getattr(value, "readonly", 0) else []

    def state(self, value: Any) -> Any:
        """Attributes, pixels and palette."""
        held = {name: part for name, part in vars(value).items() if name not in _NOT_CONTENT}
        held |= {name: 0 for name in ("readonly", "_readonly") if name in held}
        core = value.im
        palette = core.getpalettemode() if value.mode in ("P", "PA") else None
        colours = core.getpalette(palette, palette) if palette else None
        return held, value.mode, value.size, value.tobytes(), palette, colours

    def fill(self, value: Any, state: Any) -> None:
        """New pixels with the old content."""
        held, mode, size, pixels, palette, colours = state
        vars(value).update(held)
        core = images.core.new(mode, size)
        if palette:
            core.putpalette(palette, palette, colours)
        vars(value)["_im" if hasattr(images.Image, "im") else "im"] = core
        if pixels:
            value.frombytes(pixels)
