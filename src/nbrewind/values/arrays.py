"""How arrays, their views, and pandas' blocks are stored: memory out of band, views over what owns it."""

from __future__ import annotations

import pickle
import sys
from typing import Any

from nbrewind.errors import NotStorable
from nbrewind.flow import kinds, rows
from nbrewind.flow.dicts import held_elsewhere
from nbrewind.flow.still import own_dict
from nbrewind.values import builders
from nbrewind.values.worlds import DumpWorld


def memory(world: DumpWorld, obj: memoryview) -> Any:
    """A view of memory by what it views."""
    return memoryview, (obj.obj,)


def block(world: DumpWorld, obj: Any) -> Any:
    """A block of pandas' with those that share its memory."""
    reduced = obj.__reduce__()
    return reduced[0], reduced[1], obj.refs, None, None, builders.set_block


def block_refs(world: DumpWorld, obj: Any) -> Any:
    """The register of blocks that share memory."""
    return builders.make_block_refs, ()


def _fortran(array: Any) -> tuple[int, ...]:
    """The strides of an array of this shape in Fortran order."""
    found, step = [], array.itemsize
    for length in array.shape:
        found.append(step)
        step *= length
    return tuple(found)


def array(world: DumpWorld, obj: Any) -> Any:
    """A NumPy array: its memory, or a view of what owns that."""
    numpy = sys.modules["numpy"]
    if type(obj) is not numpy.ndarray:
        plain = numpy.ndarray.view(obj, numpy.ndarray)
        if obj.base is None:
            plain = plain.copy(order="K")  # a view would have this very object for its owner
        attributes = own_dict(obj) or {}
        if held_elsewhere(attributes):
            raise NotStorable(f"something else holds the dict of attributes of a {type(obj).__name__}")
        attributes = dict(attributes)
        return builders.as_subclass, (plain, type(obj), attributes, kinds.slot_values(obj))
    root, exporter = kinds.root_buffer(obj)
    writeable = bool(obj.flags.num & kinds.WRITEABLE)
    if exporter is not None and not isinstance(exporter, bytes | bytearray):
        if root.flags.writeable:
            raise NotStorable(f"an array over the memory of a {type(exporter).__name__}")
        obj = numpy.array(obj)
        root = obj
    elif obj is not root or exporter is not None:
        owner = root if exporter is None else exporter
        start = root.__array_interface__["data"][0]
        offset = obj.__array_interface__["data"][0] - start
        if exporter is not None:
            base = numpy.frombuffer(exporter, dtype="u1").__array_interface__["data"][0]
            offset = obj.__array_interface__["data"][0] - base
        place = (owner, obj.dtype, obj.shape, obj.strides, offset, writeable)
        return builders.make_view, (*place, True) if obj.flags.num & kinds.WARNS else place
    flags = obj.flags
    order = "C" if flags.c_contiguous else "F" if flags.f_contiguous else "A"
    if flags.c_contiguous and flags.f_contiguous and obj.size and obj.strides == _fortran(obj):
        order = "F"  # both where axes have length 1, and yet one can see how it was made
    if obj.dtype.hasobject or obj.dtype.kind == "T":
        kept = "C" if order == "A" else order
        flat = (obj if kept == "C" else obj.T).reshape(-1).tolist()
        made = (obj.dtype, obj.shape, kept)
        return (
            builders.make_object_array,
            made,
            (flat, kept, writeable),
            None,
            None,
            builders.set_object_array,
        )
    if order == "A":
        obj, order = obj.copy(order="C"), "C"
    data = obj if order == "C" else obj.T
    raw = pickle.PickleBuffer(data.reshape(-1).view("u1"))
    return builders.make_array, (raw, obj.dtype, obj.shape, order, writeable)


def row(world: DumpWorld, obj: Any) -> Any:
    """A row of a structured array, which is over the array's memory."""
    place = rows.index(obj)
    if place is not None:
        return builders.row_of, (obj.base, place)
    return NotImplemented


def dtype(world: DumpWorld, obj: Any) -> Any:
    """A dtype; of most there is one, and one whose byte order was given looks another way than that."""
    numpy = sys.modules["numpy"]
    if obj.isbuiltin == 1:
        for name in (obj.str, obj.char):
            if numpy.dtype(name) is obj:
                return numpy.dtype, (name,)
    if obj.byteorder in "<>" and obj.isnative and obj.type is not numpy.void:
        return builders.ordered_dtype, (obj.newbyteorder("="), obj.byteorder)
    return NotImplemented


def memory_reduction(obj: Any) -> Any:
    """How arrays and pandas' blocks are stored so that they own their memory again when loaded.

    ``NotImplemented`` for all other objects.  For the task log, whose results must come back
    as the engine would have delivered them.
    """
    numpy = sys.modules.get("numpy")
    if numpy is not None and type(obj) is numpy.ndarray:
        return array(_NOWHERE, obj)
    if kinds._is_block(type(obj)):
        return block(_NOWHERE, obj)
    if type(obj).__name__ == "BlockValuesRefs":
        return block_refs(_NOWHERE, obj)
    return NotImplemented


_NOWHERE: Any = None
"""Reducers of memory ask no world."""
