"""The canonical digest of a value: a typed walk that numbers shared mutable nodes (R2).

Equal digests mean observationally equal values, in any process, whatever the pickle
bytes, hash seed, file names or line numbers.  Only *identity-bearing* (mutable) nodes
get numbers; strings, numbers, tuples and the like count by value.  What cannot be
stored is an *opaque* node (R4): the walk goes on behind it, since an opaque value joins
everything that it can reach.
"""

from __future__ import annotations

import copyreg
import enum
import gc
import struct
import sys
import weakref
from collections.abc import Callable, Iterable, Mapping
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FrameType,
    FunctionType,
    MethodType,
    ModuleType,
    TracebackType,
)
from typing import Any, Protocol

from nbrewind import rules
from nbrewind.errors import NotStorable
from nbrewind.flow import classes, codecs, columns, losses, nans, singles
from nbrewind.flow import code as codes
from nbrewind.flow.dicts import held_elsewhere
from nbrewind.flow.names import is_local_module, is_own_class, package_of, reference
from nbrewind.flow.namespace import MainModule
from nbrewind.flow.room import deep, unwarned
from nbrewind.flow.still import own_dict
from nbrewind.flow.world import CLOSED
from nbrewind.model import Digest, Root


class World(Protocol):
    """What a walk needs to know of the notebook's process."""

    reloads: Mapping[str, str]
    """Modules that a cell loaded again, and by which: their objects are others than before."""

    def class_root(self, cls: type) -> Root:
        """The root of a class that the notebook made (R9)."""

    def handle(self, obj: Any) -> str | None:
        """The identity of a registered handle (client, pool), else None (R4)."""

    def has_handles(self, cls: type) -> bool:
        """Whether an instance of a class may be a handle."""

    def is_namespace(self, mapping: Any) -> bool:
        """Whether ``mapping`` is the user's namespace."""


class Walk:
    """The result of walking one root: digest material, nodes met, what stands in the way."""

    __slots__ = (
        "borrowed",
        "buf",
        "code",
        "deps",
        "derived",
        "finaliser",
        "keep",
        "known",
        "lent",
        "marked",
        "memo",
        "nodes",
        "ones",
        "opaque",
        "runs",
        "sets",
        "shared",
        "singletons",
        "weak",
        "world",
    )

    def __init__(self, world: World | None = None, keep: list[Any] | None = None) -> None:
        self.world = world
        self.buf = bytearray()
        self.memo: dict[int, int] = {}
        self.nodes: list[int] = []
        self.deps: set[Root] = set()
        self.opaque: dict[str, None] = {}
        """Reasons why the value cannot be stored, in the order met."""
        self.derived = False
        """Whether part of it can be stored but not digested (a figure)."""
        self.code = False
        """Whether functions are part of it: made again they are other objects."""
        self.finaliser = False
        self.weak = False
        """Whether a weak reference is part of it: the end of what it refers to can be seen."""
        self.marked = False
        """Whether a NaN or what the process has one of is part of it: which one, its image has to tell."""
        self.ones = singles.table()
        """Places of what the process has one of, by address."""
        self.sets: list[Any] = []
        self.keep: list[Any] = keep if keep is not None else []
        """Temporaries of reduce calls, alive over all walks of a pass: a reused id fakes sharing."""
        self.known: dict[int, Digest] = {}
        """Digests of values that have no identity, by address."""
        self.lent: list[tuple[Any, int]] = []
        """Memory that can be changed in place: an array or bytearray over it, and the node that owns it."""
        self.borrowed: list[tuple[int, int]] = []
        """Memory that other libraries hold and that may be lent: address and size."""
        self.runs: dict[int, columns.Run] = {}
        """Long lists and dicts by address: they may be stored in parts."""
        self.shared: set[int] = set()
        """Numbers of the nodes that were met more than once."""
        self.singletons: set[int] = set()
        """Addresses of packages' singletons, which are no nodes while nobody changes them."""

    def digest(self) -> Digest:
        """The content digest of everything visited so far."""
        return codes.hash_bytes(bytes(self.buf))

    def number(self, obj: Any) -> bool:
        """Number an identity-bearing node; False (and a back-reference) if it was met before."""
        return self.mark(id(obj))

    def mark(self, key: int) -> bool:
        """Number a node by its address."""
        index = self.memo.get(key)
        if index is not None:
            self.shared.add(index)
            self.buf += b"R%d;" % index
            return False
        self.memo[key] = len(self.nodes)
        self.nodes.append(key)
        return True

    def visit(self, obj: Any) -> None:
        """Add one value to the digest."""
        cls = type(obj)
        handler = _HANDLERS.get(cls)
        if handler is None:
            handler = _resolve(cls)
        handler(self, obj)

    def borrow(self, address: int, size: int) -> None:
        """Meet memory whose owner cannot be asked for; an array met in this pass may be it (R14)."""
        if size:
            self.borrowed.append((address, size))

    def text(self, tag: bytes, value: str) -> None:
        """Add a tagged string that is no value of its own (a name)."""
        raw = value.encode("utf-8", "surrogatepass")
        self.buf += b"%s%d:" % (tag, len(raw))
        self.buf += raw

    def stop(self, obj: Any, reason: str) -> None:
        """Meet an opaque node: remember why, and join all that it can reach."""
        if not self.number(obj):
            return
        self.buf += b"?"
        self.opaque.setdefault(reason)
        if rules.on("R4"):
            self.reach(obj)

    def reach(self, obj: Any) -> None:
        """Number every mutable object behind ``obj``: what the collector sees, and arrays' memory (R4)."""
        from nbrewind.flow import kinds

        seen: set[int] = {id(obj)}
        queue = [obj]
        while queue:
            current = queue.pop()
            children = gc.get_referents(current)
            if isinstance(current, weakref.ReferenceType):
                children = [*children, current()]
            else:
                children = [*children, *kinds.untold(self, current), *codecs.untold(self, current)]
            for child in children:
                if id(child) in seen or isinstance(child, _BOUNDARY):
                    continue
                if isinstance(child, dict) and self._foreign_dict(child):
                    continue
                if self.world is not None and self.world.handle(child) is not None:
                    continue
                if self.world is not None and losses.only_one(child):
                    self.singletons |= losses.singletons(child)
                    continue
                seen.add(id(child))
                self.keep.append(child)
                if type(child) not in _ATOMS and id(child) not in self.memo:
                    self.memo[id(child)] = len(self.nodes)
                    self.nodes.append(id(child))
                queue.append(child)
                if isinstance(child, FunctionType):
                    self._function_deps(child)
                elif self.world is not None and is_own_class(type(child)):
                    self.deps.add(self.world.class_root(type(child)))

    def _foreign_dict(self, mapping: dict[Any, Any]) -> bool:
        if self.world is not None and self.world.is_namespace(mapping):
            return True
        return "__name__" in mapping and "__builtins__" in mapping

    def _function_deps(self, func: FunctionType) -> None:
        module = getattr(func, "__module__", None)
        if isinstance(module, str) and module != "__main__":
            self.module_dep(module)

    def code_deps(self, code: CodeType) -> None:
        """Depend on what the code imports when it runs: loaded by then, no import shows (R7)."""
        for name in codes.imports(code):
            package = package_of(name)
            self.deps.add("lib:" + package)
            if package not in sys.stdlib_module_names:
                self.deps.add("mod:" + name)

    def handle(self, obj: Any, identity: str) -> None:
        """Meet a registered handle: a leaf that joins nothing (R4)."""
        self.text(b"H", identity)
        self.deps.add(f"handle:{type(obj).__qualname__}{CLOSED if identity.endswith(CLOSED) else ''}")

    def module_dep(self, module_name: str) -> None:
        """Depend on a module: a local one by content, any by what cells set on it (R8)."""
        if is_local_module(module_name):
            self.deps.add("mod:" + module_name)
        package = package_of(module_name)
        if package not in ("builtins", "__main__"):
            self.deps.add("lib:" + package)
        if self.world is not None and module_name in self.world.reloads:
            self.text(b"g", self.world.reloads[module_name])


_BOUNDARY = (type, ModuleType, CodeType, FrameType, TracebackType)
_ATOMS = frozenset(
    {int, float, complex, bool, str, bytes, type(None), type(Ellipsis), tuple, frozenset, range}
)

Handler = Callable[[Walk, Any], None]


def content_digest(value: Any) -> Digest:
    """The content digest of a value outside any notebook; its classes count by content.

    Raises:
        NotStorable: some part has no content (a generator, a connection, a held lock).
    """
    walk = Walk(None)
    with deep():
        walk.visit(value)
    if walk.opaque or walk.derived:
        raise NotStorable(next(iter(walk.opaque), "its content cannot be compared"))
    return walk.digest()


def _none(walk: Walk, obj: Any) -> None:
    walk.buf += b"N"


def _bool(walk: Walk, obj: Any) -> None:
    walk.buf += b"T" if obj else b"F"


def _int(walk: Walk, obj: int) -> None:
    raw = obj.to_bytes((obj.bit_length() + 8) // 8, "little", signed=True)
    walk.buf += b"i%d:" % len(raw)
    walk.buf += raw


_NAN = struct.pack("<d", float("nan"))


def _float(walk: Walk, obj: float) -> None:
    if obj == obj:
        walk.buf += b"f"
        walk.buf += struct.pack("<d", obj)
        return
    walk.marked = True
    place = nans.name(obj)
    if place:
        walk.text(b"F", place)
    elif walk.number(obj):
        walk.buf += b"f"
        walk.buf += _NAN


def _complex(walk: Walk, obj: complex) -> None:
    walk.buf += b"c"
    for part in (obj.real, obj.imag):
        walk.buf += _NAN if part != part else struct.pack("<d", part)


def _str(walk: Walk, obj: str) -> None:
    raw = obj.encode("utf-8", "surrogatepass")
    walk.buf += b"s%d:" % len(raw)
    walk.buf += raw


def _bytes(walk: Walk, obj: bytes) -> None:
    walk.buf += b"b%d:" % len(obj)
    walk.buf += obj


def _bytearray(walk: Walk, obj: bytearray) -> None:
    if walk.number(obj):
        walk.lent.append((obj, id(obj)))
        walk.buf += b"y%d:" % len(obj)
        walk.buf += obj


def _tuple(walk: Walk, obj: tuple[Any, ...]) -> None:
    walk.buf += b"(%d:" % len(obj)
    if len(obj) >= columns.LONG:
        columns.elements(walk, list(obj))
        return
    for item in obj:
        walk.visit(item)


def _list(walk: Walk, obj: list[Any]) -> None:
    if id(obj) in walk.ones:
        one_of_the_process(walk, walk.ones[id(obj)])
        return
    if not walk.number(obj):
        return
    walk.buf += b"[%d:" % len(obj)
    if len(obj) >= columns.LONG:
        columns.container(walk, obj)
        return
    handlers = _HANDLERS
    for item in obj:
        handler = handlers.get(type(item))
        if handler is None:
            handler = _resolve(type(item))
        handler(walk, item)


def one_of_the_process(walk: Walk, place: str) -> None:
    """Meet what the process has one of: by place, whatever it holds now."""
    walk.marked = True
    walk.text(b"1", place)
    if singles.module_of(place):
        walk.module_dep(singles.module_of(place))


def _dict(walk: Walk, obj: dict[Any, Any]) -> None:
    place = singles.place(obj) if "__spec__" in obj or id(obj) in walk.ones else ""
    if place:
        one_of_the_process(walk, place)
        return
    if not walk.number(obj):
        return
    if walk.world is not None and walk.world.is_namespace(obj):
        walk.buf += b"G"
        return
    if len(obj) >= columns.LONG:
        walk.buf += b"{%d:" % len(obj)
        columns.container(walk, obj)
        return
    _pairs(walk, b"{", obj)


def _pairs(walk: Walk, tag: bytes, mapping: dict[Any, Any]) -> None:
    walk.buf += b"%s%d:" % (tag, len(mapping))
    handlers = _HANDLERS
    for key, value in list(mapping.items()):
        handler = handlers.get(type(key)) or _resolve(type(key))
        handler(walk, key)
        handler = handlers.get(type(value)) or _resolve(type(value))
        handler(walk, value)


def seed_pinned() -> bool:
    """Whether this process hashes strings the same way as every other of ours (R13)."""
    return not sys.flags.hash_randomization


def _set_items(walk: Walk, obj: Iterable[Any]) -> list[Any]:
    """Elements in an order that belongs to the value.

    With the hash seed pinned the iteration order of elements hashed by value is a
    property of the set that a cell can see (R14).  Elements hashed by address have no
    order that another process could repeat; they are sorted by content.
    """
    items = list(obj)
    by_value = all(type(item) in _VALUE_HASHED for item in items)
    if by_value and (seed_pinned() or all(type(item) in (int, bool) for item in items)):
        return items
    keyed = []
    for item in items:
        inner = Walk(walk.world, walk.keep)
        inner.visit(item)
        keyed.append((bytes(inner.buf), item))
    keyed.sort(key=lambda pair: pair[0])
    return [item for _, item in keyed]


_VALUE_HASHED = frozenset({int, bool, float, complex, str, bytes, type(None)})


def _set(walk: Walk, obj: set[Any]) -> None:
    if not walk.number(obj):
        return
    walk.sets.append(obj)
    walk.buf += b"<%d:" % len(obj)
    _members(walk, obj)


def _members(walk: Walk, obj: Iterable[Any]) -> None:
    items = _set_items(walk, obj)
    if len(items) >= columns.LONG:
        columns.elements(walk, items)
        return
    for item in items:
        walk.visit(item)


def _frozenset(walk: Walk, obj: frozenset[Any]) -> None:
    walk.sets.append(obj)
    walk.buf += b"z%d:" % len(obj)
    _members(walk, obj)


def _cell(walk: Walk, obj: CellType) -> None:
    if not walk.number(obj):
        return
    walk.buf += b"C"
    try:
        contents = obj.cell_contents
    except ValueError:
        walk.buf += b"_"
        return
    walk.visit(contents)


def _code(walk: Walk, obj: CodeType) -> None:
    walk.text(b"K", codes.code_digest(obj))
    walk.code_deps(obj)


def _named(walk: Walk, obj: Any) -> bool:
    found = reference(obj)
    if found is None:
        return False
    walk.text(b"@", f"{found[0]}:{found[1]}")
    walk.module_dep(found[0])
    return True


def _function(walk: Walk, obj: FunctionType) -> None:
    if _named(walk, obj) or not walk.number(obj):
        return
    walk.code = True
    walk.text(b"D", codes.code_digest(obj.__code__))
    walk.code_deps(obj.__code__)
    walk.text(b"q", obj.__qualname__)
    walk.text(b"n", obj.__name__)
    walk.visit(obj.__module__)
    walk.visit(obj.__defaults__)
    attributes(walk, obj.__kwdefaults__)
    walk.visit(obj.__closure__ or ())
    attributes(walk, obj.__dict__)
    attributes(walk, obj.__annotations__)
    walk.visit(obj.__doc__)
    if not (walk.world is not None and walk.world.is_namespace(obj.__globals__)):
        walk.text(b"g", str(obj.__globals__.get("__name__")))
        walk._function_deps(obj)


def attributes(walk: Walk, mapping: dict[str, Any] | None) -> None:
    """Add the dict of an object: a part of it, unless something else refers to the dict too."""
    if mapping is not None and held_elsewhere(mapping):
        walk.buf += b"&"
        walk.visit(mapping)
    else:
        _pairs(walk, b"{", mapping or {})


def _builtin(walk: Walk, obj: BuiltinFunctionType) -> None:
    owner = obj.__self__
    if owner is None or isinstance(owner, ModuleType):
        if not _named(walk, obj):
            walk.text(b"@", f"{getattr(owner, '__name__', obj.__module__)}:{obj.__qualname__}")
        return
    if _named(walk, obj):
        return
    walk.text(b"m", obj.__name__)
    walk.visit(owner)


def _method(walk: Walk, obj: MethodType) -> None:
    owner = obj.__self__
    if isinstance(owner, type) and not is_own_class(owner) and getattr(owner, obj.__name__, None) == obj:
        walk.text(b"m", obj.__name__)  # a class method of a package is known by name, like its class
        walk.visit(owner)
        return
    if _named(walk, obj):
        return
    walk.buf += b"M"
    walk.visit(obj.__func__)
    walk.visit(owner)


def made_by_hand(name: str) -> str:
    """The reason why a module that no import made cannot be stored."""
    return f"module {name!r} was made by hand and has no file"


def _module(walk: Walk, obj: ModuleType | MainModule) -> None:
    name: str = obj.__name__
    if sys.modules.get(name) is not obj or (
        getattr(obj, "__spec__", None) is None and name not in ("__main__", "builtins")
    ):
        walk.stop(obj, made_by_hand(name))
        for value in vars(obj).values():
            if type(value) not in _ATOMS and not isinstance(value, _BOUNDARY):
                walk.visit(value)
        return
    if name == "builtins":
        walk.deps.add("lib:builtins")  # who holds it may look at what cells put there
    walk.text(b"@", name)
    if name != "__main__":
        walk.module_dep(name)


def _class(walk: Walk, obj: type) -> None:
    if _named(walk, obj):
        return
    if not is_own_class(obj):
        walk.text(b"@", f"{obj.__module__}:{obj.__qualname__}")
        return
    if walk.world is not None:
        root = walk.world.class_root(obj)
        walk.deps.add(root)
        walk.text(b"T", root)
        return
    if walk.number(obj):
        class_content(walk, obj)


def class_content(walk: Walk, cls: type) -> None:
    """Add the content of a notebook class: name, metaclass, bases and dict."""
    walk.text(b"T", cls.__qualname__)
    walk.text(b"m", str(cls.__module__))
    walk.visit(type(cls))
    walk.visit(cls.__bases__)
    items = classes.class_items(cls)
    walk.buf += b"%d:" % len(items)
    for name, value in items:
        walk.text(b"n", name)
        walk.visit(value)
    abstract: Any = getattr(cls, "__abstractmethods__", ())
    for name in sorted(abstract):
        walk.text(b"a", name)
    for name, state in classes.member_state(cls) if issubclass(cls, enum.Enum) else ():
        walk.text(b"n", name)
        _pairs(walk, b"{", state)


def _property(walk: Walk, obj: property) -> None:
    if walk.number(obj):
        walk.buf += b"P"
        for part in (obj.fget, obj.fset, obj.fdel, obj.__doc__):
            walk.visit(part)


def _wrapper(walk: Walk, obj: Any) -> None:
    if walk.number(obj):
        walk.text(b"W", type(obj).__name__)
        walk.visit(obj.__func__)


def _weakref(walk: Walk, obj: weakref.ref[Any]) -> None:
    if not walk.number(obj):
        return
    if getattr(obj, "__callback__", None) is not None:
        walk.opaque.setdefault("a weak reference with a callback")
        walk.finaliser = True
    walk.weak = True
    walk.buf += b"w"
    walk.visit(obj())


def proxied(proxy: Any) -> Any:
    """What a weak proxy stands for; None where that is gone or cannot be found."""
    try:
        target = proxy.__init__.__self__
    except (ReferenceError, AttributeError):
        return None
    return target if any(one is proxy for one in weakref.getweakrefs(target)) else None


def _weak_proxy(walk: Walk, obj: Any) -> None:
    if not walk.number(obj):
        return
    walk.weak = True
    target = proxied(obj)
    if target is None:
        walk.opaque.setdefault("a weak proxy of what cannot be found")
    walk.buf += b"x"
    walk.visit(target)


def _memoryview(walk: Walk, obj: memoryview) -> None:
    if not walk.number(obj):
        return
    walk.text(b"v", f"{obj.format} {obj.shape} {obj.strides} {obj.readonly}")
    whole = obj.nbytes == memoryview(obj.obj).nbytes and obj.contiguous and obj.format == "B"
    if not whole or not isinstance(obj.obj, bytearray | bytes):
        walk.opaque.setdefault("a memoryview of part of a buffer")
    walk.visit(obj.obj)


def reduction(obj: Any) -> Any:
    """What an object's own reduce says, but for reducers that the notebook registered: they may lose state.

    Raises:
        Exception: whatever the object's code raises.
    """
    registered = copyreg.dispatch_table.get(type(obj))
    if registered is None or getattr(registered, "__module__", "") == "__main__":
        return obj.__reduce_ex__(4)
    return registered(obj)


def _reduced(walk: Walk, obj: Any) -> None:
    """Any other object: what its own reduce says, as pickle would store it."""
    reduced(walk, obj)


def reduced(walk: Walk, obj: Any) -> bool:
    """As ``_reduced``; False where the object's own reduce told no state, as types written in C often do."""
    if walk.world is not None:
        handle = walk.world.handle(obj)
        if handle is not None:
            walk.handle(obj, handle)
            return True
        if losses.only_one(obj):
            _singleton(walk, obj)
            return True
    if not walk.number(obj):
        return True
    try:
        with unwarned():
            value = reduction(obj)
    except Exception as error:  # noqa: BLE001 - user code may raise anything; the reason is reported
        walk.opaque.setdefault(f"a {type(obj).__name__} cannot be stored ({short(error)})")
        walk.reach(obj)
        return True
    if isinstance(value, str):
        walk.text(b"@", f"{type(obj).__module__}:{value}")
        return True
    if len(value) > 2 and type(value[2]) is dict and value[2] is own_dict(obj):
        # Its dict stays as long as it does, and must not seem to have another holder.
        walk.keep.append(value[:2])
        walk.keep.append(value[3:])
    else:
        walk.keep.append(value)
    if walk.world is not None and losses.suspect(type(obj)):
        value = (*value[:3], *(None if part is None else list(part) for part in value[3:5]), *value[5:])
        walk.keep.append(value)
        lost = losses.found(walk, obj, value)
        if lost:
            walk.opaque.setdefault(lost)
            walk.reach(obj)
    walk.buf += b"O"
    walk.visit(value[0])
    walk.visit(value[1])
    state = value[2] if len(value) > 2 else None
    walk.visit(state)
    for position in (3, 4):
        if len(value) > position and value[position] is not None:
            listed = list(value[position])
            walk.keep.append(listed)
            walk.buf += b"%d:" % len(listed)
            for item in listed:
                walk.visit(item)
    return state is not None


def _singleton(walk: Walk, obj: Any) -> None:
    """A package's only one of its kind: no node, as nothing can be shared through it."""
    walk.singletons |= losses.singletons(obj)
    made = reduction(obj)
    walk.keep.append(made)
    walk.text(b"1", type(obj).__qualname__)
    walk.visit(made[0])
    walk.visit(made[1])
    for name, value in losses.attributes(obj).items():
        walk.text(b"n", name)
        walk.visit(value)


def short(error: BaseException) -> str:
    """The first line of what an exception says."""
    text = str(error).strip().splitlines()
    return (text[0] if text else type(error).__name__)[:160]


def _resolve(cls: type) -> Handler:
    """Find and remember the handler of a type met for the first time."""
    from nbrewind.flow import kinds

    known = _OWN_HANDLERS.get(cls)
    if known is not None:
        return known
    handler = codecs.handler(cls) or _general(cls)
    # A strong reference would keep the notebook's own classes alive for ever.
    if kinds.is_instance_kind(cls):
        _OWN_HANDLERS[cls] = handler
    else:
        _HANDLERS[cls] = handler
    return handler


def by_general_rule(walk: Walk, obj: Any) -> None:
    """Add a value as if its type had no codec."""
    _general(type(obj))(walk, obj)


def _general(cls: type) -> Handler:
    """The handler of a type that has no codec."""
    from nbrewind.flow import kinds

    handler: Handler | None = kinds.special(cls)
    if handler is None:
        if issubclass(cls, type):
            handler = _class
        elif issubclass(cls, ModuleType | MainModule):
            handler = _module
        elif kinds.is_instance_kind(cls):
            handler = kinds.instance
        else:
            handler = _reduced
    return handler


def _forget() -> None:
    _OWN_HANDLERS.clear()
    for cls in _HANDLERS.keys() - _BUILT_IN:
        del _HANDLERS[cls]


codecs.when_changed.append(_forget)
_OWN_HANDLERS: weakref.WeakKeyDictionary[type, Handler] = weakref.WeakKeyDictionary()


_HANDLERS: dict[type, Handler] = {
    type(None): _none,
    bool: _bool,
    int: _int,
    float: _float,
    complex: _complex,
    str: _str,
    bytes: _bytes,
    bytearray: _bytearray,
    tuple: _tuple,
    list: _list,
    dict: _dict,
    set: _set,
    frozenset: _frozenset,
    CellType: _cell,
    CodeType: _code,
    FunctionType: _function,
    BuiltinFunctionType: _builtin,
    MethodType: _method,
    ModuleType: _module,
    type: _class,
    property: _property,
    classmethod: _wrapper,
    staticmethod: _wrapper,
    weakref.ReferenceType: _weakref,
    weakref.ProxyType: _weak_proxy,
    weakref.CallableProxyType: _weak_proxy,
    memoryview: _memoryview,
}
_BUILT_IN = frozenset(_HANDLERS)
