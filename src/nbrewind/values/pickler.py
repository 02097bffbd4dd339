"""How a component becomes bytes: one pickle-5 stream per component, ``{root: value}``.

Arrays go out of band as buffers of their own; functions go as the text of their cell;
notebook classes as references to their identity.  Formats: docs/format.md, "Images".
"""

from __future__ import annotations

import copyreg
import enum
import io
import itertools
import pickle
import sys
import types
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from nbrewind.errors import NotStorable
from nbrewind.flow import codecs, columns, kinds, nans, singles
from nbrewind.flow import digest as walks
from nbrewind.flow.names import shared_generator
from nbrewind.flow.namespace import MainModule
from nbrewind.flow.room import deep, unwarned
from nbrewind.model import Digest
from nbrewind.values import arrays, builders, codeobjects, instances, iterators
from nbrewind.values.parts import Columns, Part, Parts, Stored, by_column
from nbrewind.values.worlds import DumpWorld, Reducer

SMALL_BUFFER = 4096


@dataclass(slots=True)
class Dump:
    """A component as bytes: the stream and the buffers that it refers to, in order."""

    stream: bytes
    buffers: list[Buffer] = field(default_factory=list)


@dataclass(slots=True)
class Buffer:
    """One out-of-band buffer: its bytes, or where they are in the store already."""

    data: memoryview
    blocks: list[Digest] | None = None
    part: tuple[type, Digest] | None = None
    """The kind and the content of the part of a long container that it is."""


def dump(
    roots: Mapping[str, Any], world: DumpWorld, stored: Stored | None = None, *, marked: bool = False
) -> Dump:
    """Pickle one component; ``roots`` may hold ``Parts``: only those that are not ``stored`` are pickled.

    ``marked`` where a NaN, or what the process has one of, is among the values: which one, asking about each
    object tells, and takes time.

    Raises:
        NotStorable: some value cannot be stored; the message is the reason.
    """
    output = io.BytesIO()
    buffers: list[Buffer] = []
    parts: dict[int, tuple[pickle.PickleBuffer, Buffer]] = {}

    def out_of_band(buffer: pickle.PickleBuffer) -> bool:
        if id(buffer) in parts:
            buffers.append(parts[id(buffer)][1])
            return False
        raw = buffer.raw()
        if raw.nbytes < SMALL_BUFFER:
            return True
        buffers.append(Buffer(raw))
        return False

    kind = _MarkingPickler if marked else _Pickler
    pickler = kind(output, protocol=5, buffer_callback=out_of_band)
    pickler.world = world
    pickler.bodies = {id(value): root for root, value in roots.items() if root.startswith("cls:")}
    pickler.dispatch_table = _library_reducers()
    pickler.parts, pickler.stored = parts, stored
    try:
        with unwarned(), deep():
            pickler.dump(dict(roots))
    except NotStorable:
        raise
    except RecursionError as error:
        raise NotStorable("nested too deeply to be stored") from error
    except Exception as error:
        raise NotStorable(f"{type(error).__name__}: {str(error)[:160]}") from error
    return Dump(output.getvalue(), buffers)


def _library_reducers() -> dict[type, Any]:
    """``copyreg``'s table without what the notebook registered: its reducers may lose state."""
    table = copyreg.dispatch_table
    return {cls: reduce for cls, reduce in table.items() if getattr(reduce, "__module__", "") != "__main__"}


class _Pickler(pickle.Pickler):
    world: DumpWorld
    bodies: dict[int, str]
    """Classes that are content of this image, by id: others are stored as their roots.

    A body stands where its class is first met, so that instances in its own attributes (a singleton,
    a registry) find it made.
    """

    parts: dict[int, tuple[pickle.PickleBuffer, Buffer]]
    """Parts of long containers, by the address of what stands for them in the stream."""
    stored: Stored | None

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is Parts:
            maker = builders.make_dict if obj.kind is dict else builders.make_list
            return maker, tuple(self._part(obj.kind, part) for part in obj.parts)
        if type(obj) is Columns:
            return builders.make_instances, (obj.cls, obj.names, obj.columns)
        root = self.bodies.get(id(obj))
        if root is not None:
            return codeobjects.class_body(obj, root)
        reducer = _REDUCERS.get(type(obj))
        if reducer is None:
            reducer = _find(type(obj))
        return reducer(self.world, obj)

    def _part(self, kind: type, part: Part) -> Any:
        """Elements that are pickled with the rest, or what stands for those that are pickled apart."""
        if not part.digest:
            return part.values
        blocks = self.stored.find(kind, part.digest) if self.stored is not None else None
        data = b"" if blocks is not None else self._apart(part)
        # A thread may have changed it since it was walked: then these bytes are not what the digest says.
        sound = blocks is not None or columns.digest_again(self.world, part.values) == part.digest
        buffer = pickle.PickleBuffer(data)
        self.parts[id(buffer)] = (
            buffer,
            Buffer(memoryview(data), blocks, (kind, part.digest) if sound else None),
        )
        return buffer

    def _apart(self, part: Part) -> bytes:
        output = io.BytesIO()
        pickler = type(self)(output, protocol=5)
        pickler.world, pickler.bodies, pickler.parts, pickler.stored = self.world, self.bodies, {}, None
        pickler.dispatch_table = self.dispatch_table
        pickler.dump(tuple(by_column(values, instances.is_plain) for values in part.values))
        return output.getvalue()


class _MarkingPickler(_Pickler):
    """Tells NaNs and what the process has one of by the place where they are kept, or by a number."""

    def persistent_id(self, obj: Any) -> str | int | None:
        """Called for every object."""
        if type(obj) is not float:
            return singles.place(obj) or None
        if obj == obj:
            return None
        numbers: dict[int, int] = self.__dict__.setdefault("numbers", {})
        return nans.name(obj) or numbers.setdefault(id(obj), len(numbers))


def keeps_order(items: Any) -> bool:
    """Whether plain pickling rebuilds a set that iterates as ``items`` does."""
    wanted = list(items)
    if not all(type(item) in walks._VALUE_HASHED for item in wanted):
        return True
    rebuilt: set[Any] = set()
    for item in wanted:
        rebuilt.add(item)
    return list(rebuilt) == wanted


def _default(world: DumpWorld, obj: Any) -> Any:
    return NotImplemented


def _weakref(world: DumpWorld, obj: weakref.ref[Any]) -> Any:
    return builders.make_weakref, (obj(),)


def _weak_proxy(world: DumpWorld, obj: Any) -> Any:
    return weakref.proxy, (walks.proxied(obj),)


def _property(world: DumpWorld, obj: property) -> Any:
    return property, (obj.fget, obj.fset, obj.fdel, obj.__doc__)


def _wrapped(world: DumpWorld, obj: Any) -> Any:
    return type(obj), (obj.__func__,)


def _lock(world: DumpWorld, obj: Any) -> Any:
    import threading

    maker: Any = threading.RLock if type(obj).__name__ == "RLock" else threading.Lock
    return builders.make_lock, ("RLock" if maker is threading.RLock else "Lock",)


def _enum_member(world: DumpWorld, obj: enum.Enum) -> Any:
    if obj._name_ is None or obj._name_ not in type(obj).__members__:
        return NotImplemented
    return builders.enum_member, (type(obj), obj._name_)


def _namespace(world: DumpWorld, obj: Any) -> Any:
    if world.is_namespace(obj):
        return builders.namespace, ()
    return NotImplemented


def _file(world: DumpWorld, obj: Any) -> Any:
    if kinds.is_closed_file(obj):
        return builders.make_closed_file, (type(obj).__name__, obj.name, str(getattr(obj, "mode", "r")))
    return NotImplemented


def _proxy(world: DumpWorld, obj: types.MappingProxyType[Any, Any]) -> Any:
    place = kinds.constant(obj)
    if place is not None:
        return builders.load_reference, place
    return builders.make_proxy, (kinds.shown_by(obj),)


def _environment(world: DumpWorld, obj: Any) -> Any:
    place = singles.table().get(id(obj))
    return NotImplemented if place is None else (builders.one_of_the_process, (place,))


def _generator(world: DumpWorld, obj: Any) -> Any:
    place = shared_generator(obj)
    return instances.handle_or_default(world, obj) if place is None else (builders.load_reference, place)


def _coded(codec: codecs.Codec, world: DumpWorld, obj: Any) -> Any:
    """A value whose type has a codec: the codec's state, and who rebuilds from it."""
    handle = instances.handle_of(world, obj)
    if handle is not NotImplemented:
        return handle
    reason = codec.cannot_store(obj)
    if reason:
        raise NotStorable(reason)
    state = codec.state(obj)
    if state is NotImplemented:
        return _general(type(obj))(world, obj)
    named = (codec.name, codec.version, type(obj))
    if codecs.fills(codec):
        return builders.blank_value, named, (*named, state), None, None, builders.fill_value
    return builders.rebuild_value, (*named, state)


def _find(cls: type) -> Reducer:
    """The reducer of a type, which is remembered."""
    codec = codecs.find(cls)
    reducer = _REDUCERS[cls] = _general(cls) if codec is None else partial(_coded, codec)
    return reducer


def _forget() -> None:
    for cls in _REDUCERS.keys() - _BUILT_IN:
        del _REDUCERS[cls]


codecs.when_changed.append(_forget)


def _general(cls: type) -> Reducer:
    """The reducer of a type that has no codec."""
    numpy = sys.modules.get("numpy")
    name = kinds.dotted(cls)
    reducer: Reducer
    if issubclass(cls, type):
        reducer = codeobjects.class_
    elif issubclass(cls, enum.Enum):
        reducer = _enum_member
    elif issubclass(cls, ModuleType | MainModule):
        reducer = codeobjects.module
    elif name in ("numpy.random.mtrand.RandomState", "random.Random"):
        reducer = _generator
    elif numpy is not None and issubclass(cls, numpy.ndarray):
        reducer = arrays.array
    elif numpy is not None and issubclass(cls, numpy.void):
        reducer = arrays.row
    elif numpy is not None and issubclass(cls, numpy.dtype):
        reducer = arrays.dtype
    elif issubclass(cls, BaseException) and not kinds.is_instance_kind(cls):
        reducer = instances.exception
    elif cls.__module__ == "_io":
        reducer = _file
    elif cls in iterators.KINDS:
        reducer = iterators.iterator
    elif name == "os._Environ":
        reducer = _environment
    elif name in kinds._LOCKS:
        reducer = _lock
    elif kinds._is_block(cls):
        reducer = arrays.block
    elif cls.__name__ == "BlockValuesRefs":
        reducer = arrays.block_refs
    elif issubclass(cls, dict) and name == "nbrewind.flow.namespace.Namespace":
        reducer = _namespace
    elif kinds.is_instance_kind(cls):
        return instances.instance
    else:
        reducer = instances.handle_or_default
    return reducer


_REDUCERS: dict[type, Reducer] = {
    FunctionType: codeobjects.function,
    CodeType: codeobjects.code,
    CellType: codeobjects.cell,
    type: codeobjects.class_,
    ModuleType: codeobjects.module,
    MethodType: codeobjects.method,
    BuiltinFunctionType: codeobjects.builtin,
    weakref.ReferenceType: _weakref,
    weakref.ProxyType: _weak_proxy,
    weakref.CallableProxyType: _weak_proxy,
    property: _property,
    itertools.chain: iterators.chain,
    classmethod: _wrapped,
    staticmethod: _wrapped,
    memoryview: arrays.memory,
    types.GenericAlias: _default,
    types.MappingProxyType: _proxy,
}


_BUILT_IN = frozenset(_REDUCERS)
