"""Types that need a word of their own in the walk: arrays, instances, live objects.

``special`` maps a type to a handler; libraries are looked up in ``sys.modules`` only,
so nothing is imported for the notebook's sake.
"""

from __future__ import annotations

import enum
import functools
import gc
import logging
import sys
import weakref
from collections import OrderedDict
from pathlib import PurePath
from types import FunctionType, MappingProxyType
from typing import Any
from weakref import WeakKeyDictionary

from nbrewind.flow import classes, columns, lending, logs, rows
from nbrewind.flow import digest as walks
from nbrewind.flow.buffers import buffer_digest
from nbrewind.flow.names import is_local_module, is_own_class, reference, shared_generator
from nbrewind.flow.still import own_dict

_HEAP = 1 << 9
_IMMUTABLE_MODULES = frozenset({"datetime", "decimal", "fractions", "uuid", "zoneinfo", "re", "_decimal"})
_MUTABLE = frozenset({"decimal.Context", "re.Scanner"})
"""Types of these modules that can be changed all the same."""
_IMMUTABLE = frozenset(
    {
        "numpy.dtype",
        "pandas._libs.tslibs.timestamps.Timestamp",
        "pandas._libs.tslibs.timedeltas.Timedelta",
        "pandas._libs.tslibs.period.Period",
        "pandas._libs.tslibs.nattype.NaTType",
        "pandas._libs.missing.NAType",
        "builtins.range",
        "builtins.slice",
        "builtins.ellipsis",
        "builtins.NotImplementedType",
        "types.GenericAlias",
        "types.UnionType",
    }
)
_OPAQUE = {
    "generator": "a generator keeps a running frame",
    "coroutine": "a coroutine keeps a running frame",
    "async_generator": "an async generator keeps a running frame",
    "_lru_cache_wrapper": "an lru_cache keeps hidden content",
    "ContextVar": "a ContextVar keeps its value in the context",
    "Context": "a Context keeps hidden values",
    "finalize": "weakref.finalize registers a callback outside the namespace",
    "frame": "a frame is part of a running program",
    "traceback": "a traceback is part of a running program",
    "Thread": "a thread is part of the process",
    "ThreadPoolExecutor": "a pool is part of the process",
    "ProcessPoolExecutor": "a pool is part of the process",
}
WRITEABLE, WARNS = 1 << 10, 1 << 31
"""Bits of an array's flags: it can be written to; the first time that it is, NumPy warns."""
_LOCKS = frozenset({"_thread.lock", "_thread.RLock"})


def dotted(cls: type) -> str:
    """``module.qualname`` of a type."""
    return f"{_module(cls)}.{cls.__qualname__}"


def _module(cls: type) -> Any:
    """A type's module; types that SWIG makes have none."""
    return getattr(cls, "__module__", "")


def _in_module(cls: type, prefix: str | tuple[str, ...]) -> bool:
    """Whether a type's module has one of the prefixes; classes made at run time may have no module."""
    module = _module(cls)
    return isinstance(module, str) and module.startswith(prefix)


_KNOWN: WeakKeyDictionary[type, bool] = WeakKeyDictionary()


def is_instance_kind(cls: type) -> bool:
    """Whether instances of ``cls`` are walked attribute by attribute: the notebook's and its helpers'.

    Their own ``__reduce__`` and ``__getstate__`` are not asked, since they may lose state.
    """
    known = _KNOWN.get(cls)
    if known is None:
        known = is_own_class(cls) or _is_local_class(cls)
        _KNOWN[cls] = known
    return known


def _is_local_class(cls: type) -> bool:
    """A class of a helper module; where it says itself what it is reduced to, it may be one of its kind."""
    if not is_local_module(str(_module(cls))) or issubclass(cls, type | enum.Enum):
        return False
    reducers = ("__reduce__", "__reduce_ex__")
    return not any(
        isinstance(parent.__dict__.get(name), FunctionType) for parent in cls.__mro__ for name in reducers
    )


def special(cls: type) -> walks.Handler | None:
    """The handler of a type that the general rules would get wrong, else None."""
    name = dotted(cls)
    immutable = _module(cls) in _IMMUTABLE_MODULES and name not in _MUTABLE
    if name in _IMMUTABLE or immutable or name.startswith("numpy.dtypes."):
        return _by_value
    if _module(cls) in ("pathlib", "pathlib._local") and issubclass(cls, PurePath):
        return _path
    if cls.__name__ in _OPAQUE and _module(cls) in _OPAQUE_MODULES:
        return _opaque(_OPAQUE[cls.__name__])
    if issubclass(cls, weakref.ReferenceType):
        return walks._weakref
    if cls is MappingProxyType:
        return _proxy
    if name in _LOCKS:
        return _lock
    if issubclass(cls, enum.Enum):
        return _enum_member
    if issubclass(cls, BaseException) and not is_instance_kind(cls):
        return _exception
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        if issubclass(cls, numpy.void):
            return rows.row
        if issubclass(cls, numpy.generic):
            return _by_value
        if issubclass(cls, numpy.ndarray):
            return _array
    if name == "os._Environ":
        return _environment
    if name in ("logging.Logger", "logging.RootLogger"):
        return _logger
    if issubclass(cls, logging.Handler):
        return _log_handler
    if name in ("numpy.random.mtrand.RandomState", "random.Random"):
        return _generator
    if _in_module(cls, ("matplotlib.", "mpl_toolkits.")) and not is_instance_kind(cls):
        return _derived
    if _in_module(cls, "pandas._libs.internals") and cls.__name__ == "BlockValuesRefs":
        return _block_refs
    if _is_block(cls):
        return _block
    if _module(cls) in ("_io", "io") and cls.__name__ not in ("StringIO", "BytesIO"):
        return _file
    if issubclass(cls, functools.partial):
        return None
    return None


_OPAQUE_MODULES = frozenset(
    {
        "builtins",
        "functools",
        "_contextvars",
        "contextvars",
        "weakref",
        "types",
        "threading",
        "concurrent.futures.thread",
        "concurrent.futures.process",
    }
)


def _is_block(cls: type) -> bool:
    internals = sys.modules.get("pandas._libs.internals")
    return internals is not None and issubclass(cls, internals.Block)


def _opaque(reason: str) -> walks.Handler:
    def handler(walk: walks.Walk, obj: Any) -> None:
        found = reference(obj) if hasattr(obj, "__qualname__") else None
        if found is not None:
            walk.text(b"@", f"{found[0]}:{found[1]}")
            walk.module_dep(found[0])
            return
        handle = walk.world.handle(obj) if walk.world is not None else None
        if handle is not None:
            walk.handle(obj, handle)
            return
        if reason.endswith("running frame"):
            walk.finaliser = True
        walk.stop(obj, reason)
        if isinstance(obj, weakref.finalize):
            walk.finaliser = True
            for part in obj.peek() or ():
                walk.visit(part)

    return handler


def shown_by(proxy: MappingProxyType[Any, Any]) -> Any:
    """The mapping behind a read-only view; None if it is a class's, which nothing else leads to."""
    (mapping,) = gc.get_referents(proxy)
    return None if "__module__" in mapping and "__doc__" in mapping else mapping


def constant(obj: Any) -> tuple[str, str] | None:
    """The place of a mapping that all dataclasses share: sharing it joins nothing."""
    module = sys.modules.get("dataclasses")
    shared = module is not None and obj is vars(module).get("_EMPTY_METADATA")
    return ("dataclasses", "_EMPTY_METADATA") if shared else None


def _proxy(walk: walks.Walk, obj: MappingProxyType[Any, Any]) -> None:
    place = constant(obj)
    if place is not None:
        walk.text(b"@", ":".join(place))
        return
    mapping = shown_by(obj)
    if mapping is None:
        walk.stop(obj, "a mappingproxy shows the attributes of a class")
    elif walk.number(obj):
        walk.buf += b"p"
        walk.visit(mapping)


def _generator(walk: walks.Walk, obj: Any) -> None:
    place = shared_generator(obj)
    if place is None:
        walks._reduced(walk, obj)
    else:
        walk.text(b"@", ":".join(place))
        walk.module_dep(place[0])


def _path(walk: walks.Walk, obj: Any) -> None:
    """A path by its text: the module of its class and what it is pickled by change with Python's version."""
    walk.text(b"I", f"pathlib.{type(obj).__name__}")
    walk.text(b"s", str(obj))


def _by_value(walk: walks.Walk, obj: Any) -> None:
    walk.text(b"I", dotted(type(obj)))
    try:
        value = walks.reduction(obj)
    except Exception as error:  # noqa: BLE001 - a type's own code; a re.Match cannot be pickled
        walk.stop(obj, f"a {type(obj).__name__} cannot be stored ({error})")
        return
    walk.keep.append(value)
    if isinstance(value, str):
        walk.text(b"@", value)
        return
    for part in value[1:]:
        if isinstance(part, dict):
            walks._pairs(walk, b"{", part)
        else:
            walk.visit(part)


def _lock(walk: walks.Walk, obj: Any) -> None:
    if "unlocked" not in repr(obj):
        walk.stop(obj, "a lock is held")
    elif walk.number(obj):
        walk.text(b"l", dotted(type(obj)))


def _environment(walk: walks.Walk, obj: Any) -> None:
    if id(obj) in walk.ones:
        walks.one_of_the_process(walk, walk.ones[id(obj)])
    else:
        walks._reduced(walk, obj)


def _log_handler(walk: walks.Walk, obj: Any) -> None:
    """One that loggers use is part of the process: what a copy of it would get, nobody logs."""
    if any(obj is handler for handler in logs.in_use()):
        walk.opaque.setdefault("a handler that loggers use")
    if is_instance_kind(type(obj)):
        instance(walk, obj)
    else:
        walks._reduced(walk, obj)


def _logger(walk: walks.Walk, obj: Any) -> None:
    walk.text(b"L", obj.name)
    walk.deps.add("lib:logging")


def is_closed_file(obj: Any) -> bool:
    """Whether an object is a closed file that a recipe makes again without opening anything."""
    known = type(obj).__name__ in ("TextIOWrapper", "BufferedReader", "BufferedWriter")
    described = isinstance(getattr(obj, "name", None), str) and isinstance(getattr(obj, "mode", None), str)
    return known and bool(obj.closed) and described


def _file(walk: walks.Walk, obj: Any) -> None:
    if getattr(obj, "closed", True):
        if walk.number(obj):
            walk.text(b"x", f"{dotted(type(obj))} {getattr(obj, 'name', '')} {getattr(obj, 'mode', '')}")
            if not is_closed_file(obj):
                walk.opaque.setdefault("a closed stream without a name")
        return
    mode = str(getattr(obj, "mode", "r"))
    if any(letter in mode for letter in "wax+"):
        walk.finaliser = True
    walk.stop(obj, f"an open file ({getattr(obj, 'name', '?')!s})")


def _exception(walk: walks.Walk, obj: BaseException) -> None:
    if obj.__traceback__ is not None:
        if walk.number(obj):
            walk.buf += b"?"
            walk.opaque.setdefault("an exception with its traceback")
            for arg in obj.args:
                walk.visit(arg)
            _behind(walk, obj)
        return
    known = id(obj) in walk.memo
    walks._reduced(walk, obj)
    if not known:
        _behind(walk, obj)


def _behind(walk: walks.Walk, obj: BaseException) -> None:
    """What an exception came from: its pickle leaves that out."""
    behind = came_from(obj)
    if behind is not None:
        walk.buf += b"<1" if behind[2] else b"<0"
        walk.visit(behind[0])
        walk.visit(behind[1])


def came_from(obj: BaseException) -> tuple[Any, Any, bool] | None:
    """Cause, context, and whether the context is hidden; None where an exception came from nothing."""
    if obj.__cause__ is None and obj.__context__ is None and not obj.__suppress_context__:
        return None
    return obj.__cause__, obj.__context__, obj.__suppress_context__


def _enum_member(walk: walks.Walk, obj: enum.Enum) -> None:
    walk.buf += b"E"
    walk.visit(type(obj))
    name: Any = obj._name_
    if name is None:
        walk.visit(obj._value_)
    else:
        walk.text(b"n", str(name))


def _derived(walk: walks.Walk, obj: Any) -> None:
    """Storable but not digestible: version by derivation, image by pickle (R4)."""
    if walk.number(obj):
        walk.buf += b"~"
        walk.derived = True
        walk.deps.add("lib:matplotlib")
        walk.reach(obj)


def _block_refs(walk: walks.Walk, obj: Any) -> None:
    if walk.number(obj):
        walk.buf += b"r"


def _block(walk: walks.Walk, obj: Any) -> None:
    """A pandas block, with the copy-on-write references that its own reduce forgets (R14)."""
    if walk.number(obj):
        value = obj.__reduce__()
        walk.keep.append(value)
        walk.buf += b"k"
        walk.visit(type(obj))
        walk.visit(value[1])
        walk.visit(obj.refs)


def root_buffer(array: Any) -> tuple[Any, Any]:
    """``(root array, exporter)`` of an array: what owns its memory (R2, R14).

    The exporter is None where the root owns its memory, else the foreign object.
    """
    numpy = sys.modules["numpy"]
    root, exporter = array, array.base
    while isinstance(exporter, numpy.ndarray) or type(exporter).__name__ == "DummyArray":
        # What `as_strided` puts between a view and its array has that array for its base.
        if isinstance(exporter, numpy.ndarray):
            root = exporter
        exporter = exporter.base
    if isinstance(exporter, memoryview):
        exporter = exporter.obj
    return root, exporter


def untold(walk: walks.Walk, obj: Any) -> list[Any]:
    """What NumPy's arrays and iterators refer to, and do not tell the collector."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return []
    if isinstance(obj, numpy.ndarray):
        return _behind_array(walk, obj)
    if isinstance(obj, numpy.flatiter | numpy.void):
        return [obj.base]
    if isinstance(obj, numpy.broadcast):
        return list(obj.iters)
    if isinstance(obj, numpy.nditer):
        try:
            return list(obj.operands)
        except ValueError:  # it is closed
            return []
    return []


def _behind_array(walk: walks.Walk, array: Any) -> list[Any]:
    """What an array refers to, its own memory met as :func:`_array` would meet it."""
    ndarray = sys.modules["numpy"].ndarray
    root, exporter = root_buffer(array)
    if exporter is not None:
        walk.borrow(*lending.extent(array))
    elif type(root) is ndarray:
        walk.lent.append((root, id(root)))
    elif id(root) + 1 not in walk.memo:
        walk.mark(id(root) + 1)
        walk.lent.append((root, id(root) + 1))
    found = [root] if type(root) is ndarray else []
    if array.dtype.hasobject:
        plain = array if type(array) is ndarray else ndarray.view(array, ndarray)
        found += plain.ravel(order="K").tolist()
    return found if exporter is None else [*found, exporter]


def _array(walk: walks.Walk, obj: Any) -> None:
    walk.deps.add("lib:numpy")
    root, exporter = root_buffer(obj)
    if exporter is not None and not isinstance(exporter, bytes | bytearray):
        if root.flags.writeable:
            known = id(obj) in walk.memo
            walk.stop(obj, f"an array over the memory of a {type(exporter).__name__}")
            if not known:
                walk.visit(exporter)
            return
        walk.borrow(*lending.extent(obj))
        if walk.number(obj):
            walk.buf += b"a"
            _array_content(walk, obj)
        return
    if not walk.number(obj):
        return
    numpy = sys.modules["numpy"]
    plain_root = type(root) is numpy.ndarray
    if type(obj) is not numpy.ndarray:
        value = obj.__reduce_ex__(2)
        walk.keep.append(value)
        walk.visit(type(obj))
        walk.visit(value[1])
        walk.visit(value[2][:3] if isinstance(value[2], tuple) else value[2])
        walks.attributes(walk, own_dict(obj))
        _slots(walk, obj)
    writeable = bool(obj.flags.num & WRITEABLE)  # asking by name warns about what `broadcast_arrays` gave
    if obj is root and exporter is None and plain_root:
        walk.lent.append((obj, id(obj)))
        walk.buf += b"A1" if writeable else b"A0"
        _array_content(walk, obj)
        return
    walk.buf += b"V2" if obj.flags.num & WARNS else b"V1" if writeable else b"V0"
    offset = obj.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    walk.text(b"v", f"{obj.dtype!r} {obj.shape} {obj.strides} {offset}")
    if not plain_root:
        _memory(walk, root)
    elif obj is not root:
        walk.visit(root)
    if exporter is not None:
        walk.visit(exporter)


def _memory(walk: walks.Walk, root: Any) -> None:
    """The memory that an array of a subclass owns, as if a plain array owned it: once restored, one does."""
    beside = id(root) + 1
    if walk.mark(beside):
        walk.lent.append((root, beside))
        walk.buf += b"A1" if root.flags.writeable else b"A0"
        _array_content(walk, root)


def _array_content(walk: walks.Walk, obj: Any) -> None:
    flags = obj.flags
    order = "C" if flags.c_contiguous else "F" if flags.f_contiguous else "A"
    walk.text(b"v", f"{obj.dtype!r} {obj.shape} {order}")
    ndarray = sys.modules["numpy"].ndarray
    plain = obj if type(obj) is ndarray else ndarray.view(obj, ndarray)
    if obj.dtype.hasobject or obj.dtype.kind == "T":
        items = plain.ravel(order="K").tolist()
        if len(items) >= columns.LONG:
            columns.elements(walk, items)
            return
        for item in items:
            walk.visit(item)
        return
    flat = plain if order == "C" else plain.T if order == "F" else plain.copy(order="C")
    data = memoryview(flat.reshape(-1).view("u1")) if flat.size else memoryview(b"")
    walk.text(b"d", buffer_digest(data))


_PAYLOADS: tuple[type, ...] = (tuple, str, int, float, complex, bytes, frozenset)


def _watched(obj: Any) -> bool:
    try:
        found = weakref.getweakrefs(obj)
        # A proxy would ask the object itself for the attribute.
        return any(issubclass(type(ref), weakref.ref) and ref.__callback__ is not None for ref in found)
    except TypeError:
        return False


def look_for_watchers(walk: walks.Walk, obj: Any) -> None:
    """A callback that waits for the end of an object is state outside of it."""
    if _watched(obj):
        walk.finaliser = True
        walk.opaque.setdefault(f"a callback outside the namespace watches a {type(obj).__name__}")


def payload_base(cls: type) -> type | None:
    """The builtin type that a notebook class extends, or None for plain objects."""
    for base in (dict, list, set, bytearray, *_PAYLOADS, BaseException):
        if issubclass(cls, base):
            return base
    return None


def foreign_base(cls: type) -> bool:
    """Whether instances carry state of an importable class written in C or with own reduce."""
    base = payload_base(cls)
    for parent in cls.__mro__:
        if is_instance_kind(parent) or parent is object:
            continue
        if base is not None and issubclass(base, parent):
            continue
        if base is BaseException and issubclass(parent, BaseException):
            continue
        if parent.__dict__.get("__reduce__") or parent.__dict__.get("__reduce_ex__"):
            return True
        if not parent.__flags__ & _HEAP:
            return True
    return False


def foreign_parent(cls: type) -> type:
    """The first class above a notebook's class that is none of the notebook's."""
    return next(parent for parent in cls.__mro__ if not is_instance_kind(parent))


def slot_values(obj: Any) -> dict[str, Any]:
    """Values held in the ``__slots__`` of an instance, by attribute name."""
    found: dict[str, Any] = {}
    for cls in type(obj).__mro__:
        for name in classes.slot_names(cls):
            if name in ("__dict__", "__weakref__"):
                continue
            mangled = (
                f"_{cls.__name__.lstrip('_')}{name}"
                if name.startswith("__") and not name.endswith("__")
                else name
            )
            descriptor = cls.__dict__.get(mangled)
            if descriptor is None:
                continue
            try:
                found[mangled] = descriptor.__get__(obj, cls)
            except AttributeError:
                continue
    return found


def instance(walk: walks.Walk, obj: Any) -> None:
    """An instance of a notebook class: its class by identity, its attributes by content."""
    cls = type(obj)
    if walk.world is not None:
        handle = walk.world.handle(obj)
        if handle is not None:
            walk.handle(obj, handle)
            return
    if foreign_base(cls):
        walk.visit(cls)
        if not walks.reduced(walk, obj):
            walks.attributes(walk, own_dict(obj))
            _slots(walk, obj)
        return
    if not walk.number(obj):
        return
    walk.buf += b"o"
    walk.visit(cls)
    if hasattr(cls, "__del__"):
        walk.finaliser = True
    look_for_watchers(walk, obj)
    base = payload_base(cls)
    if base is dict:
        # An OrderedDict keeps an order of its own beside the dict's.
        items = OrderedDict.items if isinstance(obj, OrderedDict) else dict.items
        walks._pairs(walk, b"{", dict(items(obj)))
    elif base is list:
        walk.visit(tuple(list.__iter__(obj)))
    elif base is set:
        walk.sets.append(obj)
        for item in walks._set_items(walk, set.__iter__(obj)):
            walk.visit(item)
    elif base is BaseException:
        walk.visit(obj.args)
        if obj.__traceback__ is not None:
            walk.opaque.setdefault("an exception with its traceback")
        _behind(walk, obj)
    elif base is not None:
        plain = base.__new__(base, obj)
        walk.keep.append(plain)
        walk.visit(plain)
    walks.attributes(walk, own_dict(obj))
    _slots(walk, obj)


def _slots(walk: walks.Walk, obj: Any) -> None:
    slots = slot_values(obj)
    if slots:
        walk.keep.append(slots)
        walks._pairs(walk, b"|", slots)
