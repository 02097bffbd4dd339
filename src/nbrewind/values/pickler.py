"""How a component becomes bytes: one pickle-5 stream per component, ``{root: value}``.

Arrays go out of band as buffers of their own; functions go as the text of their cell;
notebook classes as references to their identity.  Formats: docs/format.md, "Images".
"""

from __future__ import annotations

import copyreg
import enum
import io
import itertools
import marshal
import pickle
import sys
import types
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Protocol

from nbrewind.errors import NotStorable
from nbrewind.flow import code as codes
from nbrewind.flow import codecs, columns, kinds, nans
from nbrewind.flow import digest as walks
from nbrewind.flow.dicts import held_elsewhere
from nbrewind.flow.names import is_own_class, reference, shared_generator
from nbrewind.flow.namespace import MainModule
from nbrewind.flow.room import deep, unwarned
from nbrewind.model import Digest
from nbrewind.values import builders
from nbrewind.values.parts import Columns, Part, Parts, Stored, by_column

SMALL_BUFFER = 4096


class DumpWorld(walks.World, Protocol):
    """What pickling needs to know of the notebook's process."""

    def handle_recipe(self, obj: Any) -> tuple[str, Any]:
        """``(kind, recipe)`` of a registered handle."""


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
    roots: Mapping[str, Any], world: DumpWorld, stored: Stored | None = None, *, with_nans: bool = False
) -> Dump:
    """Pickle one component; ``roots`` may hold ``Parts``: only those that are not ``stored`` are pickled.

    ``with_nans`` where a NaN is among the values: which one, asking about each object tells, and takes time.

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

    kind = _NanPickler if with_nans else _Pickler
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
            return _class_body(obj, root)
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
        pickler.dump(tuple(by_column(values, _is_plain) for values in part.values))
        return output.getvalue()


class _NanPickler(_Pickler):
    """Tells which NaN each one is, by the place where the process keeps it or by a number."""

    def persistent_id(self, obj: Any) -> str | int | None:
        """Called for every object."""
        if type(obj) is not float or obj == obj:
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


Reducer = Callable[[DumpWorld, Any], Any]


def _default(world: DumpWorld, obj: Any) -> Any:
    return NotImplemented


_OWN_GLOBALS = ("nbrewind.", "builtins", "copyreg", "_codecs")
"""Modules whose names pickle resolves itself: what the image format is made of."""


def _named(obj: Any) -> Any:
    """A reference by name, resolved against the baseline so that a patch does not change it (R8)."""
    found = reference(obj)
    if found is None:
        return None
    if found[0].startswith(_OWN_GLOBALS):
        return NotImplemented
    return builders.load_reference, found


def _function(world: DumpWorld, obj: FunctionType) -> Any:
    by_name = _named(obj)
    if by_name is not None:
        return by_name
    module: str | None = None
    if not world.is_namespace(obj.__globals__):
        module = obj.__globals__.get("__name__")
        owner = sys.modules.get(module) if isinstance(module, str) else None
        if owner is None or vars(owner) is not obj.__globals__:
            raise NotStorable(f"the function {obj.__qualname__} has globals of its own")
    attributes = obj.__dict__
    cells = obj.__closure__ or ()
    contents = []
    for cell in cells:
        try:
            contents.append(cell.cell_contents)
        except ValueError:
            contents.append(builders._UNSET)
    state = {
        "cells": contents,
        "defaults": obj.__defaults__,
        "kwdefaults": obj.__kwdefaults__,
        "annotations": _attributes(obj.__annotations__),
        "qualname": obj.__qualname__,
        "module": obj.__module__,
        "doc": obj.__doc__,
        "dict": _attributes(attributes),
        "shared": held_elsewhere(attributes),
    }
    args = (obj.__code__, obj.__name__, module, cells)
    return builders.make_function, args, state, None, None, builders.set_function


def _code(world: DumpWorld, obj: CodeType) -> Any:
    ordinal = builders.locate(obj)
    if ordinal < 0:
        return builders.marshal_code, (sys.version_info[:2], marshal.dumps(obj))
    source = codes.source_of_file(obj.co_filename)
    flags = codes.future_flags(obj)
    return builders.source_code, (
        obj.co_filename,
        source,
        flags,
        obj.co_qualname,
        obj.co_firstlineno,
        ordinal,
    )


def _cell(world: DumpWorld, obj: CellType) -> Any:
    return builders.empty_cell, ()


def _class(world: DumpWorld, obj: type) -> Any:
    by_name = _named(obj)
    if by_name is not None:
        return by_name
    if builders.UNNAMED.get(obj.__name__) is obj:
        return builders.unnamed_type, (obj.__name__,)
    if not is_own_class(obj):
        return NotImplemented
    return builders.load_class, (world.class_root(obj),)


def _class_body(cls: type, root: str) -> Any:
    if issubclass(cls, enum.Enum):
        items = [
            (name, value) for name, value in walks.class_items(cls) if (name, value) != ("__doc__", None)
        ]
        members = [(name, member._value_) for name, member in cls.__members__.items()]
        rest = [(name, value) for name, value in items if name not in cls.__members__]
        args = (root, type(cls), cls.__name__, cls.__bases__, cls.__qualname__, cls.__module__, members, rest)
        return builders.make_enum, args
    if issubclass(cls, tuple) and hasattr(cls, "_make") and cls.__bases__ == (tuple,):
        return _namedtuple(root, cls)
    slots = [name for name in cls.__dict__ if type(cls.__dict__[name]).__name__ == "member_descriptor"]
    items = walks.class_items(cls)
    # Placeholders give the entries their order; the state brings the values.
    named = {"__module__", "__doc__", "__slots__", *(name for name, _ in items)}
    scope: dict[str, Any] = {name: None for name in cls.__dict__ if name in named}
    scope |= {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
    for name in ("__slots__", "__doc__"):
        if name in cls.__dict__:
            scope[name] = cls.__dict__[name]
    abstract = cls.__dict__.get("__abstractmethods__")
    state = {
        "items": items,
        "qualname": cls.__qualname__,
        "slots": slots,
        "order": [name for name in cls.__dict__ if name in named or name in slots],
        "noise": sorted(walks.CLASS_NOISE),
        "abstract": None if abstract is None else sorted(abstract),
    }
    args2 = (root, type(cls), cls.__name__, cls.__bases__, scope)
    return builders.make_class, args2, state, None, None, builders.set_class


_NAMEDTUPLE_OWN = frozenset(
    {
        "__slots__",
        "_fields",
        "_field_defaults",
        "__new__",
        "_make",
        "_replace",
        "__replace__",
        "__repr__",
        "_asdict",
        "__getnewargs__",
        "__match_args__",
        "__module__",
        "__doc__",
    }
)


def _namedtuple(root: str, cls: Any) -> Any:
    fields = tuple(cls._fields)
    defaults = cls.__new__.__defaults__
    extra = [
        (name, value)
        for name, value in cls.__dict__.items()
        if name not in _NAMEDTUPLE_OWN and name not in fields and name not in walks.CLASS_NOISE
    ]
    extra.append(("__qualname__", cls.__qualname__))
    extra.append(("__doc__", cls.__doc__))
    annotations = dict(cls.__new__.__annotations__)
    args = (root, cls.__name__, fields, defaults, cls.__module__, annotations)
    return builders.make_namedtuple, args, extra, None, None, builders.set_attributes


def _module(world: DumpWorld, obj: ModuleType | MainModule) -> Any:
    if sys.modules.get(obj.__name__) is not obj:
        raise NotStorable(f"module {obj.__name__!r} was made by hand")
    return builders.load_module, (obj.__name__,)


def _method(world: DumpWorld, obj: MethodType) -> Any:
    return builders.make_bound, (obj.__func__, obj.__self__)


def _builtin(world: DumpWorld, obj: BuiltinFunctionType) -> Any:
    owner = obj.__self__
    if owner is None or isinstance(owner, ModuleType):
        by_name = _named(obj)
        if by_name is not None:
            return by_name
    return NotImplemented


def _weakref(world: DumpWorld, obj: weakref.ref[Any]) -> Any:
    return builders.make_weakref, (obj(),)


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


def _memoryview(world: DumpWorld, obj: memoryview) -> Any:
    return memoryview, (obj.obj,)


def _namespace(world: DumpWorld, obj: Any) -> Any:
    if world.is_namespace(obj):
        return builders.namespace, ()
    return NotImplemented


def _block(world: DumpWorld, obj: Any) -> Any:
    reduced = obj.__reduce__()
    return reduced[0], reduced[1], obj.refs, None, None, builders.set_block


def _block_refs(world: DumpWorld, obj: Any) -> Any:
    return builders.make_block_refs, ()


def _fortran(array: Any) -> tuple[int, ...]:
    """The strides of an array of this shape in Fortran order."""
    found, step = [], array.itemsize
    for length in array.shape:
        found.append(step)
        step *= length
    return tuple(found)


def _array(world: DumpWorld, obj: Any) -> Any:
    numpy = sys.modules["numpy"]
    if type(obj) is not numpy.ndarray:
        plain = numpy.ndarray.view(obj, numpy.ndarray)
        if obj.base is None:
            plain = plain.copy(order="K")  # a view would have this very object for its owner
        attributes = getattr(obj, "__dict__", None) or {}
        if held_elsewhere(attributes):
            raise NotStorable(f"something else holds the dict of attributes of a {type(obj).__name__}")
        attributes = dict(attributes)
        return builders.as_subclass, (plain, type(obj), attributes, kinds.slot_values(obj))
    root, exporter = kinds.root_buffer(obj)
    writeable = bool(obj.flags.writeable)
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
        return builders.make_view, (owner, obj.dtype, obj.shape, obj.strides, offset, writeable)
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


def memory_reduction(obj: Any) -> Any:
    """How arrays and pandas' blocks are stored so that they own their memory again when loaded.

    ``NotImplemented`` for all other objects.  For the task log, whose results must come back
    as the engine would have delivered them.
    """
    numpy = sys.modules.get("numpy")
    if numpy is not None and type(obj) is numpy.ndarray:
        return _array(_NOWHERE, obj)
    if kinds._is_block(type(obj)):
        return _block(_NOWHERE, obj)
    if type(obj).__name__ == "BlockValuesRefs":
        return _block_refs(_NOWHERE, obj)
    return NotImplemented


_NOWHERE: Any = None
"""Reducers of memory ask no world."""


def _instance(world: DumpWorld, obj: Any) -> Any:
    cls = type(obj)
    handle = world.handle(obj)
    if handle is not None:
        return (builders.load_handle, (handle, *world.handle_recipe(obj)))
    if _is_plain(cls):
        return _held(obj)
    if kinds.foreign_base(cls):
        return _foreign(obj, cls)
    base = kinds.payload_base(cls)
    payload: Any = None
    state = _own_state(obj)
    if base is dict:
        state["pairs"] = dict(dict.items(obj))
    elif base is list:
        state["items"] = list(list.__iter__(obj))
    elif base is set:
        state["members"] = list(set.__iter__(obj))
    elif base is bytearray:
        state["bytes"] = bytes(obj)
    elif base is BaseException:
        payload = ()
        state["args"] = obj.args
        behind = kinds.came_from(obj)
        if behind is not None:
            state["behind"] = behind
    elif base is not None:
        payload = base.__new__(base, obj)
    return builders.make_instance, (cls, base, payload), state, None, None, builders.set_instance


def _attributes(mapping: dict[str, Any]) -> dict[str, Any]:
    """A dict of an object as it is to be stored: itself where something else refers to it."""
    return mapping if held_elsewhere(mapping) else dict(mapping)


def _held(obj: Any) -> Any:
    """Pickle's own way; but an object whose dict has other holders takes the very dict that they have."""
    if not _by_default(type(obj)):
        return NotImplemented
    attributes = obj.__dict__
    if type(attributes) is not dict or not held_elsewhere(attributes):
        return NotImplemented
    reduced = obj.__reduce_ex__(5)
    if not isinstance(reduced, tuple) or len(reduced) < 3 or reduced[2] is not attributes:
        return NotImplemented
    if type(obj) is types.SimpleNamespace:
        raise NotStorable(f"something else holds the dict of attributes of a {type(obj).__name__}")
    return (*(*reduced, None, None)[:5], builders.set_dict)


def _exception(world: DumpWorld, obj: BaseException) -> Any:
    """An exception of Python or of a package, with what it came from."""
    behind = kinds.came_from(obj)
    if behind is None:
        return _handle_or_default(world, obj)
    make, args, state, items, pairs, setter = (*obj.__reduce_ex__(5), None, None, None, None)[:6]
    if items is not None or pairs is not None or setter is not None:
        raise NotStorable(f"a {type(obj).__name__} with a pickle of its own came from another exception")
    return make, args, (state, behind), None, None, builders.set_exception


_BY_DEFAULT: weakref.WeakKeyDictionary[type, bool] = weakref.WeakKeyDictionary()


def _by_default(cls: type) -> bool:
    """Whether the state of instances is their dict, by pickle's default; others may not even have one yet."""
    known = _BY_DEFAULT.get(cls)
    if known is None:
        members: Any = cls
        plain = (
            members.__reduce_ex__ is object.__reduce_ex__
            and members.__reduce__ is object.__reduce__
            and getattr(members, "__getstate__", None) is getattr(object, "__getstate__", None)
            and not hasattr(cls, "__setstate__")
        )
        known = _BY_DEFAULT[cls] = bool(cls.__dictoffset__) and (plain or cls is types.SimpleNamespace)
    return known


def _foreign(obj: Any, cls: type) -> Any:
    """An instance of a notebook class over a class of a package that has a pickle of its own.

    It is made by that class, past what the notebook's class does when one is made; and it keeps the
    attributes that pickles of types written in C leave out.
    """
    reduced = obj.__reduce_ex__(5)
    own = [vars(parent) for parent in cls.__mro__ if kinds.is_instance_kind(parent)]
    if not isinstance(reduced, tuple) or any(name in names for names in own for name in _PICKLING):
        return NotImplemented
    make, args, state, items, pairs, setter = (*reduced, None, None, None, None)[:6]
    parent = kinds.foreign_parent(cls)
    if make is cls:
        make, args = builders.make_by_parent, (cls, parent, args, True)
    elif make is copyreg.__newobj__ and args[0] is cls:  # type: ignore[attr-defined]
        make, args = builders.make_by_parent, (cls, parent, args[1:], False)
    if state is None:
        state, setter = _own_state(obj), builders.set_instance
    elif state is getattr(obj, "__dict__", None) and held_elsewhere(state):
        setter = builders.set_dict
    return make, args, state or None, items, pairs, setter if state else None


def _own_state(obj: Any) -> dict[str, Any]:
    """Attributes and slots of an instance."""
    state: dict[str, Any] = {}
    attributes = getattr(obj, "__dict__", None)
    if attributes is not None and held_elsewhere(attributes):
        state["dict"], state["shared"] = attributes, True
    elif attributes:
        state["dict"] = dict(attributes)
    slots = kinds.slot_values(obj)
    if slots:
        state["slots"] = slots
    return state


_PICKLING = (
    "__reduce__",
    "__reduce_ex__",
    "__getstate__",
    "__setstate__",
    "__getnewargs__",
    "__getnewargs_ex__",
)
_SPECIAL = (*_PICKLING, "__new__", "__slots__")
_PLAIN: weakref.WeakKeyDictionary[type, bool] = weakref.WeakKeyDictionary()


def _is_plain(cls: type) -> bool:
    """Whether pickle's own way (all in C) is exact: no method of the class takes part."""
    known = _PLAIN.get(cls)
    if known is None:
        known = (
            all(
                parent is object or not any(name in parent.__dict__ for name in _SPECIAL)
                for parent in cls.__mro__
            )
            and kinds.payload_base(cls) is None
            and not kinds.foreign_base(cls)
        )
        _PLAIN[cls] = known
    return known


_ITERATORS = frozenset(type(iter(kind())) for kind in (list, tuple, str, bytes, bytearray))


def _iterator(world: DumpWorld, obj: Any) -> Any:
    """An exhausted iterator has forgotten what it ran over; an iterator over nothing has not."""
    reduced = obj.__reduce__()
    if len(reduced) == 2 and reduced[0] is iter and len(reduced[1][0]) == 0:
        return builders.make_exhausted, (reduced[1][0],)
    return reduced


def _chain(world: DumpWorld, obj: Any) -> Any:
    """As ``_iterator``; later Pythons have no pickles of these at all."""
    if "__reduce__" not in itertools.chain.__dict__:
        return NotImplemented
    reduced = obj.__reduce__()
    return (builders.make_spent_chain, ()) if reduced[1:] == ((),) else reduced


def _file(world: DumpWorld, obj: Any) -> Any:
    if kinds.is_closed_file(obj):
        return builders.make_closed_file, (type(obj).__name__, obj.name, str(getattr(obj, "mode", "r")))
    return NotImplemented


def _handle(world: DumpWorld, obj: Any) -> Any:
    identity = world.handle(obj)
    if identity is None:
        return NotImplemented
    return (builders.load_handle, (identity, *world.handle_recipe(obj)))


def _handle_or_default(world: DumpWorld, obj: Any) -> Any:
    handle = _handle(world, obj)
    if handle is not NotImplemented:
        return handle
    if getattr(obj, "__module__", None) == "__main__" and isinstance(obj.__reduce_ex__(5), str):
        # Loading that would look the name up in the notebook, and load what it finds there: this.
        raise NotStorable(f"a {type(obj).__name__} is stored by its name in the notebook only")
    return _held(obj)


def _proxy(world: DumpWorld, obj: types.MappingProxyType[Any, Any]) -> Any:
    place = kinds.constant(obj)
    if place is not None:
        return builders.load_reference, place
    return builders.make_proxy, (kinds.shown_by(obj),)


def _generator(world: DumpWorld, obj: Any) -> Any:
    place = shared_generator(obj)
    return _handle_or_default(world, obj) if place is None else (builders.load_reference, place)


def _coded(codec: codecs.Codec, world: DumpWorld, obj: Any) -> Any:
    """A value whose type has a codec: the codec's state, and who rebuilds from it."""
    handle = _handle(world, obj)
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
        reducer = _class
    elif issubclass(cls, enum.Enum):
        reducer = _enum_member
    elif issubclass(cls, ModuleType | MainModule):
        reducer = _module
    elif name in ("numpy.random.mtrand.RandomState", "random.Random"):
        reducer = _generator
    elif numpy is not None and issubclass(cls, numpy.ndarray):
        reducer = _array
    elif issubclass(cls, BaseException) and not kinds.is_instance_kind(cls):
        reducer = _exception
    elif cls.__module__ == "_io":
        reducer = _file
    elif cls in _ITERATORS:
        reducer = _iterator
    elif name in kinds._LOCKS:
        reducer = _lock
    elif kinds._is_block(cls):
        reducer = _block
    elif cls.__name__ == "BlockValuesRefs":
        reducer = _block_refs
    elif issubclass(cls, dict) and name == "nbrewind.flow.namespace.Namespace":
        reducer = _namespace
    elif kinds.is_instance_kind(cls):
        return _instance
    else:
        reducer = _handle_or_default
    return reducer


_REDUCERS: dict[type, Reducer] = {
    FunctionType: _function,
    CodeType: _code,
    CellType: _cell,
    type: _class,
    ModuleType: _module,
    MethodType: _method,
    BuiltinFunctionType: _builtin,
    weakref.ReferenceType: _weakref,
    property: _property,
    itertools.chain: _chain,
    classmethod: _wrapped,
    staticmethod: _wrapped,
    memoryview: _memoryview,
    types.GenericAlias: _default,
    types.MappingProxyType: _proxy,
}
_BUILT_IN = frozenset(_REDUCERS)
