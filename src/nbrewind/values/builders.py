"""What an image calls when it is loaded: the stable names of the image format.

Every function here is named inside pickles (docs/format.md, "Images"), so names and
meanings are part of the format.  They build functions, classes, instances and arrays
anew; none runs a decorator, a metaclass or ``__init_subclass__`` again (R9).
"""

from __future__ import annotations

import array
import ast
import builtins
import enum
import importlib
import io
import itertools
import linecache
import marshal
import pickle
import sys
import types
import weakref
from collections.abc import Callable, Iterable, Sequence
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any, Protocol

from nbrewind.errors import NotStorable
from nbrewind.flow import code as codes
from nbrewind.flow import codecs, nans, singles
from nbrewind.flow.names import lookup
from nbrewind.values import owned


class LoadContext(Protocol):
    """The process into which an image is loaded."""

    @property
    def namespace(self) -> dict[str, Any]:
        """The user's namespace."""

    def class_of(self, root: str) -> type:
        """The one class object of an identity, loading its image if need be (R9)."""

    def existing_class(self, root: str) -> type | None:
        """The class object of an identity if this process holds one."""

    def register_class(self, root: str, cls: type) -> None:
        """Make ``cls`` the object of an identity."""

    def rebuild_handle(self, identity: str, kind: str, recipe: Any) -> Any:
        """The one handle object of an identity, unconnected until used (R4)."""


_CONTEXT: list[LoadContext] = []


def push(context: LoadContext) -> None:
    """Make ``context`` the one that loads resolve against."""
    _CONTEXT.append(context)


def pop() -> None:
    """End the innermost load."""
    _CONTEXT.pop()


def current() -> LoadContext:
    """The context of the load under way.

    Raises:
        NotStorable: an image is loaded outside of a kernel or session.
    """
    if not _CONTEXT:
        raise NotStorable("this value belongs to a notebook and can be loaded only in its kernel")
    return _CONTEXT[-1]


def load_reference(module: str, qualname: str) -> Any:
    """An importable object, as it was before any patch (R8)."""
    if module not in sys.modules:
        importlib.import_module(module)
    try:
        return lookup(module, qualname)
    except LookupError as error:
        raise NotStorable(f"{module}.{qualname} is not there any more") from error


def load_module(name: str) -> ModuleType:
    """A module by name."""
    if name == "__main__":
        return sys.modules["__main__"]
    return importlib.import_module(name)


def namespace() -> dict[str, Any]:
    """The user's namespace itself."""
    return current().namespace


def load_class(root: str) -> type:
    """A notebook class by identity."""
    return current().class_of(root)


def load_handle(identity: str, kind: str, recipe: Any) -> Any:
    """A registered handle by identity (R4)."""
    return current().rebuild_handle(identity, kind, recipe)


def empty_cell() -> CellType:
    """A closure cell; functions bring the contents with their state."""
    return CellType()


_COMPILED: dict[tuple[str, str, int], list[CodeType]] = {}


def compile_source(filename: str, source: str, flags: int) -> list[CodeType]:
    """All code objects of a cell, in order, compiled as the notebook compiled it.

    IPython compiles a cell statement by statement, which shows in the instructions: a name
    that the same unit imports is called in another way.
    """
    key = (filename, source, flags)
    found = _COMPILED.get(key)
    if found is None:
        found = []
        for statement in ast.parse(source).body:
            unit = compile(
                ast.Module([statement], []),
                filename,
                "exec",
                flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
                dont_inherit=True,
            )
            found += codes.codes_of(unit)
        _COMPILED[key] = found
    return found


def locate(code: CodeType) -> int:
    """Ordinal of ``code`` among the equal-named codes that begin on its line, -1 if not found."""
    source = codes.source_of_file(code.co_filename)
    if not source:
        return -1
    try:
        candidates = _matching(
            code.co_filename, source, codes.future_flags(code), code.co_qualname, code.co_firstlineno
        )
    except (SyntaxError, ValueError):
        return -1
    for ordinal, candidate in enumerate(candidates):
        if candidate == code and list(candidate.co_positions()) == list(code.co_positions()):
            return ordinal
    return -1


def _matching(filename: str, source: str, flags: int, qualname: str, line: int) -> list[CodeType]:
    return [
        code
        for code in compile_source(filename, source, flags)
        if code.co_qualname == qualname and code.co_firstlineno == line
    ]


def source_code(filename: str, source: str, flags: int, qualname: str, line: int, ordinal: int) -> CodeType:
    """A code object compiled again from the text of the cell that made it."""
    if not linecache.getlines(filename):
        linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    found = _matching(filename, source, flags, qualname, line)
    if ordinal >= len(found):
        raise NotStorable(f"{qualname} is not found in its source under this Python")
    return found[ordinal]


def marshal_code(version: tuple[int, int], data: bytes) -> CodeType:
    """A code object without source: bound to Python's minor version."""
    if tuple(version) != sys.version_info[:2]:
        raise NotStorable(f"code without source of Python {version[0]}.{version[1]}")
    loaded = marshal.loads(data)
    assert isinstance(loaded, CodeType)
    return loaded


def make_function(code: CodeType, name: str, module: str | None, cells: tuple[CellType, ...]) -> FunctionType:
    """A function linked to the live namespace (or to its module's globals)."""
    if module is None:
        scope = current().namespace
    else:
        scope = vars(load_module(module))
    return FunctionType(code, scope, name, None, cells)


_UNSET = "nbrewind:unset"


def set_function(func: FunctionType, state: dict[str, Any]) -> None:
    """Fill in a function made by ``make_function``: what may refer back to it."""
    for cell, contents in zip(func.__closure__ or (), state["cells"], strict=True):
        if not (isinstance(contents, str) and contents == _UNSET):
            cell.cell_contents = contents
    func.__defaults__ = state["defaults"]
    func.__kwdefaults__ = state["kwdefaults"]
    func.__annotations__ = state["annotations"]
    func.__qualname__ = state["qualname"]
    func.__module__ = state["module"]
    func.__doc__ = state["doc"]
    if state.get("shared"):  # images of older versions do not tell
        func.__dict__ = state["dict"]
    else:
        func.__dict__.update(state["dict"])


def make_class(
    root: str, metaclass: type, name: str, bases: tuple[type, ...], namespace: dict[str, Any]
) -> type:
    """The skeleton of a notebook class, or the process's object of that identity to refill.

    ``type.__new__`` is called past the metaclass's own ``__new__`` and ``__init__``, and with
    ``__init_subclass__`` muted, since both ran when the cell did.
    """
    context = current()
    known = context.existing_class(root)
    if known is not None:
        return known
    maker: Any = metaclass
    while maker.__new__ is not type.__new__ and _is_python_new(maker):
        maker = maker.__mro__[1]
    with _muted_init_subclass(bases):
        made: type
        if maker.__new__ is type.__new__:
            made = type.__new__(metaclass, name, bases, dict(namespace))
        else:
            made = maker.__new__(metaclass, name, bases, dict(namespace))
    context.register_class(root, made)
    return made


def _is_python_new(metaclass: type) -> bool:
    new = metaclass.__dict__.get("__new__")
    func = new.__func__ if isinstance(new, staticmethod) else new
    return new is None or (isinstance(func, FunctionType) and metaclass.__module__ == "__main__")


class _muted_init_subclass:
    """``__init_subclass__`` of notebook bases and of ``Generic`` does nothing while a class is made again."""

    def __init__(self, bases: tuple[type, ...]) -> None:
        self.muted: list[tuple[type, Any]] = []
        seen = {parent for base in bases for parent in base.__mro__}
        for parent in seen:
            if parent.__module__ in ("__main__", "typing") and "__init_subclass__" in parent.__dict__:
                self.muted.append((parent, parent.__dict__["__init_subclass__"]))

    def __enter__(self) -> None:
        for parent, _ in self.muted:
            type.__setattr__(parent, "__init_subclass__", classmethod(lambda cls, **kwargs: None))

    def __exit__(self, *exc: object) -> None:
        for parent, original in self.muted:
            type.__setattr__(parent, "__init_subclass__", original)


def set_class(cls: type, state: dict[str, Any]) -> None:
    """Bring a class to a version: exactly the recorded entries, in the recorded order."""
    wanted: list[tuple[str, Any]] = state["items"]
    names = {name for name, _ in wanted}
    keep = {"__dict__", "__weakref__", "__doc__", "__slots__", "__module__", "__qualname__", *state["slots"]}
    for name in [n for n in cls.__dict__ if n not in names and n not in keep and n not in state["noise"]]:
        type.__delattr__(cls, name)
    present = [name for name in cls.__dict__ if name in names]
    in_order = present == [name for name, _ in wanted][: len(present)]
    for name, value in wanted:
        if name in ("__slots__", "__qualname__"):
            continue
        if not in_order and name in cls.__dict__ and name not in ("__doc__", "__module__", "__hash__"):
            type.__delattr__(cls, name)
        type.__setattr__(cls, name, value)
    _set_places(cls, state)
    _in_order(cls, state.get("order", ()))
    cls.__qualname__ = state["qualname"]
    if state["abstract"] is not None:
        cls.__abstractmethods__ = frozenset(state["abstract"])  # type: ignore[attr-defined]


def _set_places(cls: type, state: dict[str, Any]) -> None:
    """What the compiler noted of a class, where this Python's compiler notes it too."""
    if sys.version_info >= (3, 13):
        for name, value in state.get("places", {}).items():
            type.__setattr__(cls, name, value)


_FIXED = frozenset({"__doc__", "__module__", "__hash__", "__slots__"})
"""Entries of classes that stay where they are: deleting them changes more than their place."""


def _in_order(cls: type, order: Sequence[str]) -> None:
    """Give entries their places: slots come after the body of the class, and before what it got later."""
    wanted = [name for name in order if name not in _FIXED and name in cls.__dict__]
    known = set(wanted)
    present = [name for name in cls.__dict__ if name in known]
    right = 0
    while right < len(wanted) and present[right] == wanted[right]:
        right += 1
    for name in wanted[right:]:
        value = cls.__dict__[name]
        type.__delattr__(cls, name)
        type.__setattr__(cls, name, value)


def make_enum(
    root: str,
    metaclass: type,
    name: str,
    bases: tuple[type, ...],
    qualname: str,
    module: str,
    members: list[tuple[str, Any]],
    items: list[tuple[str, Any]],
    own: dict[str, Any] | None = None,
) -> type:
    """An enumeration of the notebook; its members are made once per identity.

    ``own`` has its ``boundary``; where its author makes or fills the members, also the ``parts`` that each
    is made of, since none of that code may run again.  ``items`` are empty but in images of older versions.
    """
    context = current()
    known = context.existing_class(root)
    if known is not None:
        return known
    own = own or {}
    scope: Any = enum.EnumType.__prepare__(name, bases)
    scope["__module__"] = module
    scope["__qualname__"] = qualname
    if "parts" in own:
        pieces = list(zip([value for _, value in members], own["parts"], strict=True))
        scope["__new__"] = lambda cls, place: _member(cls, *pieces[place])
        scope["__init__"] = lambda self, place: None
        members = [(key, place) for place, (key, _) in enumerate(members)]
    for key, value in [*(item for item in items if item[0] not in _NO_BODY), *members]:
        scope[key] = value
    maker: Any = enum.EnumType
    settings = {"boundary": own["boundary"]} if own.get("boundary") is not None else {}
    made: type = maker.__new__(metaclass, name, bases, scope, **settings)
    context.register_class(root, made)
    return made


_NO_BODY = frozenset({"__module__", "__qualname__", "_new_member_", "__new_member__"})
"""Entries of an enumeration that are not set by writing them into its body."""


def _member(cls: Any, value: Any, parts: tuple[Any, ...]) -> Any:
    member = cls._member_type_.__new__(cls, *parts)
    member._value_ = value
    return member


def set_enum(cls: type[enum.Enum], state: dict[str, Any]) -> None:
    """What the author put into an enumeration and its members, as class statements would have."""
    if "makers" in state:
        for key in ("__init__", "__new_member__"):
            if key in cls.__dict__:
                type.__delattr__(cls, key)
        for key, value in state["makers"].items():
            type.__setattr__(cls, key, value)
    for key, value in state["items"]:
        if key not in _NO_BODY:
            type.__setattr__(cls, key, value)
    _set_places(cls, state)
    _in_order(cls, state["order"])
    for name, kept in state["members"]:
        mine = vars(cls[name])
        made = dict(mine)
        mine.clear()
        mine.update((key, made.get(key) if value is None else value) for key, value in kept.items())


def make_namedtuple(
    root: str,
    name: str,
    fields: tuple[str, ...],
    defaults: tuple[Any, ...] | None,
    module: str,
    annotations: dict[str, Any] | None = None,
) -> type:
    """A named tuple class, from its fields."""
    import collections

    context = current()
    known = context.existing_class(root)
    if known is not None:
        return known
    factory: Any = collections.namedtuple
    made: type = factory(name, fields, defaults=defaults, module=module)
    if annotations:
        maker: Any = made.__new__
        maker.__annotations__ = annotations
    context.register_class(root, made)
    return made


def set_attributes(cls: type, items: list[tuple[str, Any]]) -> None:
    """Set a class's extra attributes."""
    for name, value in items:
        setattr(cls, name, value)


def make_instance(cls: type, base: type | None, payload: Any) -> Any:
    """An instance of a notebook class without running its ``__new__`` or ``__init__``."""
    if base is None:
        return object.__new__(cls)
    if base is BaseException:
        return BaseException.__new__(cls, *payload)
    maker: Any = base
    return maker.__new__(cls) if payload is None else maker.__new__(cls, payload)


def make_by_parent(cls: type, parent: type, args: tuple[Any, ...], called: bool) -> Any:
    """An instance as a class above the notebook's makes one; ``called`` where its pickle calls the class."""
    maker: Any = parent
    obj = maker.__new__(cls, *args)
    if called and maker.__init__ is not object.__init__:
        maker.__init__(obj, *args)
    return obj


def set_instance(obj: Any, state: dict[str, Any]) -> None:
    """Fill an instance's contents, attributes and slots, past its own ``__setattr__``."""
    if "pairs" in state:
        dict.update(obj, state["pairs"])
    if "items" in state:
        list.extend(obj, state["items"])
    if "members" in state:
        set.update(obj, state["members"])
    if "bytes" in state:
        bytearray.extend(obj, state["bytes"])
    if "args" in state:
        object.__setattr__(obj, "args", state["args"])
    if "behind" in state:
        set_behind(obj, state["behind"])
    if state.get("shared"):
        set_dict(obj, state["dict"])
    elif state.get("dict"):
        object.__getattribute__(obj, "__dict__").update(state["dict"])
    for name, value in state.get("slots", {}).items():
        object.__setattr__(obj, name, value)


def set_dict(obj: Any, attributes: dict[str, Any]) -> None:
    """Let an object keep its attributes in a dict that others have too."""
    object.__setattr__(obj, "__dict__", attributes)


def set_behind(error: BaseException, behind: tuple[Any, Any, bool]) -> None:
    """Set what an exception came from: its cause, its context, and whether that is shown."""
    error.__cause__, error.__context__, error.__suppress_context__ = behind


def set_exception(error: BaseException, state: tuple[Any, tuple[Any, Any, bool]]) -> None:
    """Fill in an exception of a package: its own state, and what it came from."""
    own, behind = state
    if own is not None:
        error.__setstate__(own)
    set_behind(error, behind)


def make_instances(cls: type, names: tuple[str, ...], columns: list[list[Any]]) -> list[Any]:
    """Instances of a notebook class that have nothing but these attributes, in this order."""
    names = tuple(map(sys.intern, names))
    made: list[Any] = [object.__new__(cls) for _ in columns[0]]
    for obj, values in zip(made, zip(*columns, strict=True), strict=True):
        obj.__dict__.update(zip(names, values, strict=True))
    return made


class _Unpickler(pickle.Unpickler):
    def persistent_load(self, pid: Any) -> Any:
        """What the process has one of, by its place; a NaN by its place or its number in the stream."""
        if isinstance(pid, str):
            return nans.named(pid) if pid in nans.PLACES else singles.at(pid)
        known: dict[int, float] = self.__dict__.setdefault("known", {})
        return known.setdefault(pid, float("nan"))


def one_of_the_process(place: str) -> Any:
    """What this process has at a place (``os.environ``)."""
    return singles.at(place)


def loads(stream: Any, buffers: Iterable[Any] = ()) -> Any:
    """What a stream of an image holds."""
    return _Unpickler(io.BytesIO(stream), buffers=buffers).load()


def make_list(*parts: Any) -> list[Any]:
    """A long list of its parts: each the elements themselves, or a pickle of them."""
    made: list[Any] = []
    for part in parts:
        made += _part(part)[0]
    return made


def make_dict(*parts: Any) -> dict[Any, Any]:
    """A long dict of its parts: each the keys and the values, or a pickle of both."""
    made: dict[Any, Any] = {}
    for part in parts:
        keys, values = _part(part)
        made.update(zip(keys, values, strict=True))
    return made


def _part(part: Any) -> Any:
    return part if isinstance(part, tuple) else loads(part)


def enum_member(cls: type[enum.Enum], name: str) -> Any:
    """A member of an enumeration."""
    return cls[name]


def _without_name() -> dict[str, type]:
    """Types of the interpreter that say ``builtins`` and are not there: ``types`` and values lead to them."""
    things = [vars(types).values(), map(type, (iter({}), iter({}.values()), iter({}.items()), iter(set())))]
    things += [map(type, (reversed({}), reversed({}.values()), reversed({}.items()), iter([]), iter(())))]
    things += [map(type, (reversed([]), iter(""), iter(b""), iter(range(0)), iter(lambda: 0, 0), {}.keys()))]
    things += [map(type, ({}.values(), {}.items()))]
    found = (one for group in things for one in group if isinstance(one, type))
    return {
        one.__name__: one
        for one in found
        if one.__module__ == "builtins" and getattr(builtins, one.__name__, None) is not one
    }


UNNAMED = _without_name()


def unnamed_type(name: str) -> type:
    """A type of the interpreter that no module holds under its name."""
    return UNNAMED[name]


def make_proxy(mapping: Any) -> Any:
    """A read-only view of a mapping."""
    return types.MappingProxyType(mapping)


def make_weakref(target: Any) -> weakref.ref[Any]:
    """A weak reference; to nothing when its target was dead."""
    if target is None:
        return weakref.ref(_Gone())
    return weakref.ref(target)


class _Gone:
    """What dead references pointed to."""


def make_array(data: Any, dtype: Any, shape: tuple[int, ...], order: str, writeable: bool) -> Any:
    """An array that owns its memory, so that views join through it alone."""
    import numpy as np

    mapped = owned.array(data, dtype, shape, order)
    if mapped is not None:
        mapped.flags.writeable = writeable
        return mapped
    made = np.empty(shape, dtype=dtype, order="C" if order == "C" else "F")
    if made.nbytes:
        target = made if order == "C" else made.T
        target.reshape(-1).view("u1")[:] = np.frombuffer(data, dtype="u1")
    made.flags.writeable = writeable
    return made


def make_object_array(dtype: Any, shape: tuple[int, ...], order: str) -> Any:
    """An array of objects, to be filled by ``set_object_array``."""
    import numpy as np

    return np.empty(shape, dtype=dtype, order="C" if order == "C" else "F")


def set_object_array(array: Any, state: tuple[list[Any], str, bool]) -> None:
    """Fill an array of objects in memory order."""
    items, order, writeable = state
    flat = (array if order == "C" else array.T).reshape(-1)
    for index, item in enumerate(items):
        flat[index] = item
    array.flags.writeable = writeable


def make_view(
    root: Any,
    dtype: Any,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    offset: int,
    writeable: bool,
    warns: bool = False,
) -> Any:
    """A view on the memory of its root (R2: a view and its base stay sharing)."""
    import numpy as np

    memory = root
    if isinstance(root, np.ndarray) and root.flags.f_contiguous and not root.flags.c_contiguous:
        memory = root.T
    # A view made before its base was locked can still be written to.
    locked = writeable and isinstance(root, np.ndarray) and not root.flags.writeable
    if locked:
        root.flags.writeable = True
        memory = root if memory is root else root.T
    made: Any = np.ndarray(shape, dtype, memory, offset, strides)
    if locked:
        root.flags.writeable = False
    if made.flags.writeable and not writeable:
        made.flags.writeable = False
    if warns:
        made.flags._warn_on_write = True
    return made


def row_of(array: Any, place: tuple[int, ...]) -> Any:
    """A row of a structured array, over the array's memory."""
    return array[place]


def ordered_dtype(dtype: Any, order: str) -> Any:
    """A dtype that names its byte order."""
    return dtype.newbyteorder(order)


def as_subclass(array: Any, cls: type, attributes: dict[str, Any], slots: dict[str, Any]) -> Any:
    """An instance of an ndarray subclass over the same memory, with the values of its ``__slots__``."""
    made = array.view(cls)
    if attributes:
        made.__dict__.update(attributes)
    for name, value in slots.items():
        object.__setattr__(made, name, value)
    return made


def set_block(block: Any, refs: Any) -> None:
    """Give a pandas block its copy-on-write references back (R14)."""
    if refs is not None:
        block.refs = refs
        refs.add_reference(block)


def make_block_refs() -> Any:
    """pandas' register of the blocks that share one memory."""
    return importlib.import_module("pandas._libs.internals").BlockValuesRefs()


def make_set(cls: type, items: list[Any]) -> Any:
    """A set built in the one insertion order that iterates as the original did (R14)."""
    made: set[Any] = set()
    for item in items:
        made.add(item)
    return made if cls is set else cls(made)


def make_lock(kind: str) -> Any:
    """A fresh, unlocked lock (R4: a safe recipe)."""
    import threading

    return threading.RLock() if kind == "RLock" else threading.Lock()


def make_closed_file(kind: str, name: str, mode: str) -> Any:
    """A closed file with the name and mode of another; the named path is not touched (R4)."""
    import io
    import os

    raw = io.FileIO(os.devnull, "w" if any(letter in mode for letter in "wax") else "r")
    raw.name = name
    buffer: Any = io.BufferedWriter(raw) if raw.writable() else io.BufferedReader(raw)
    made: Any = buffer
    if kind == "TextIOWrapper":
        made = io.TextIOWrapper(buffer)
        made.mode = mode
    made.close()
    return made


def make_exhausted(over: Any) -> Any:
    """An iterator that has come to its end."""
    made = iter(over)
    next(made, None)
    return made


def make_ended(kind: str) -> Any:
    """An iterator at its end, of a type that does not tell what it ran over."""
    made: Any = _ENDING[kind]()
    next(made, None)
    return made


_ENDING: dict[str, Callable[[], Any]] = {
    "callable_iterator": lambda: iter(int, 0),
    "list_reverseiterator": lambda: reversed([]),
    "reversed": lambda: reversed(()),
    "arrayiterator": lambda: iter(array.array("b")),
}


def make_spent_chain() -> Any:
    """A chain that has come to its end."""
    made: Any = itertools.chain()
    next(made, None)
    return made


def make_bound(func: Any, owner: Any) -> types.MethodType:
    """A bound method."""
    return types.MethodType(func, owner)


def _codec(name: str, version: int, cls: type) -> codecs.Codec:
    codec = codecs.find(cls)
    if codec is None or codec.name != name or codec.version != version:
        raise NotStorable(f"it was stored by version {version} of the codec {name}, which is not here")
    return codec


def rebuild_value(name: str, version: int, cls: type, state: Any) -> Any:
    """A value whose type has a codec, by the codec that stored it."""
    return _codec(name, version, cls).rebuild(cls, state)


def blank_value(name: str, version: int, cls: type) -> Any:
    """A value whose type has a codec, to be filled by ``fill_value``."""
    _codec(name, version, cls)
    maker: Any = cls
    return maker.__new__(cls)


def fill_value(value: Any, state: tuple[str, int, type, Any]) -> None:
    """Give a value its state, by the codec that stored it."""
    name, version, cls, content = state
    _codec(name, version, cls).fill(value, content)
