"""A description of a kernel's user namespace, made inside that kernel; standard library only.

The text of this module is executed in a dictionary of its own inside a plain kernel and inside one of
ours; what it returns is compared outside.  It shares no code with the package on purpose: a walker that
is blind on one spot would be blind on both sides.  The result is JSON: atoms by value, everything with an
identity as a node ``["@", number]``, so that sharing between all names is visible and cycles end.
Numbers are arbitrary; the comparison looks for a one-to-one map between two descriptions.
"""

import hashlib
import inspect
import io
import json
import re
import sys
import types
import weakref
from collections import OrderedDict, defaultdict

SKIP_NAMES = re.compile(
    r"(_+|_\d+|_i+|_i\d+|_ih|_oh|_dh|_exit_code|In|Out|exit|quit|get_ipython|open|__\w+__)\Z"
)
CLASS_NOISE = {
    "__dict__",
    "__weakref__",
    "__slotnames__",
    "__abstractmethods__",
    "_abc_impl",
    "__static_attributes__",
    "__firstlineno__",
    "__annotations_cache__",
}
PLAIN_VALUES = ("datetime", "decimal", "_decimal", "fractions", "uuid", "pathlib", "pathlib._local")
ENGINES = {"mini_tasks"}
ADDRESS = re.compile(r"0x[0-9a-fA-F]{6,}")
ATOMS = (type(None), bool, int, str, bytes, float, complex, type(Ellipsis), type(NotImplemented))


class Walk:
    """One walk over many values: numbers nodes, collects memory extents of buffers."""

    def __init__(self, root):
        self.root = root
        self.numbers = {}
        self.nodes = []
        self.keep = []
        self.extents = []

    # -- entry ---------------------------------------------------------------------------------
    def value(self, obj):
        kind = type(obj)
        if kind in ATOMS:
            return self.atom(obj)
        if kind is tuple:
            return ["tuple"] + [self.value(x) for x in obj]
        if kind is frozenset:
            return ["frozenset"] + self.unordered(obj)
        if kind in (weakref.ProxyType, weakref.CallableProxyType):
            # Whatever is asked of one is asked of what it stands for, which may be gone.
            return ["proxy", self.value(proxied(obj))]
        named = self.importable(obj)
        if named is not None:
            return named
        if kind in (range, slice, types.GenericAlias, types.UnionType):
            return [kind.__name__, self.text(repr(obj))]
        if id(obj) in self.numbers:
            return ["@", self.numbers[id(obj)]]
        plain = self.by_value(obj)
        if plain is not None:
            return plain
        number = len(self.nodes)
        self.numbers[id(obj)] = number
        self.keep.append(obj)
        self.nodes.append(None)
        self.nodes[number] = self.node(obj)
        return ["@", number]

    def text(self, value):
        if self.root:
            value = value.replace(self.root, "<root>")
        value = ADDRESS.sub("0x<address>", value) if " at 0x" in value else value
        return ascii(value) if len(value) < 2000 else "sha:" + digest(value.encode("utf-8", "surrogatepass"))

    def atom(self, obj):
        kind = type(obj)
        if kind is float:
            return ["float", "nan" if obj != obj else obj.hex()]
        if kind is complex:
            return ["complex", self.atom(obj.real), self.atom(obj.imag)]
        if kind is str:
            return ["str", self.text(obj)]
        if kind is bytes:
            return ["bytes", obj.hex() if len(obj) < 500 else "sha:" + digest(obj)]
        if kind is int:
            return ["int", hex(obj)]
        return [kind.__name__, repr(obj)]

    def unordered(self, obj):
        # Hashes of atoms are pinned, so their order is a fact; that of objects hangs on addresses.
        parts = [self.value(x) for x in obj]
        if all(type(x) in ATOMS or type(x) is tuple for x in obj):
            return parts
        return sorted(parts, key=json.dumps)

    def local(self, module):
        path = getattr(module, "__file__", None) or ""
        return bool(self.root) and path.startswith(self.root)

    def importable(self, obj):
        """Things known by a name that any process can import: described by that name."""
        if isinstance(obj, types.ModuleType) or type(obj).__name__ == "MainModule":
            return ["module", obj.__name__]
        if not isinstance(obj, type | types.FunctionType | types.BuiltinFunctionType):
            return None
        if isinstance(obj, types.BuiltinFunctionType):
            owner = obj.__self__
            if owner is not None and not isinstance(owner, types.ModuleType | type):
                return None
            return ["builtin", getattr(owner, "__name__", "") or "", obj.__qualname__]
        name, module = obj.__qualname__, sys.modules.get(obj.__module__ or "")
        if module is None or obj.__module__ == "__main__":
            return None
        # An adapter's hook in front of an engine's function stands for the function: known by name.
        if isinstance(obj, types.FunctionType) and self.local(module) and obj.__module__ not in ENGINES:
            return None
        found = module
        for part in name.split("."):
            found = inspect.getattr_static(found, part, None)
        if isinstance(found, staticmethod | classmethod):
            found = found.__func__
        return ["global", obj.__module__, name] if found is obj else None

    # -- immutable things of the field ------------------------------------------------------------
    def by_value(self, obj):
        np, pd = sys.modules.get("numpy"), sys.modules.get("pandas")
        if np is not None and hasattr(np, "generic"):
            if isinstance(obj, np.generic) and not isinstance(obj, np.object_):
                return ["npscalar", str(obj.dtype), obj.tobytes().hex()]
            if isinstance(obj, np.dtype):
                return ["dtype", repr(obj)]
            if isinstance(obj, np.ufunc):
                return ["ufunc", obj.__name__]
        if pd is not None and hasattr(pd, "Timestamp"):
            if isinstance(obj, pd.Timestamp | pd.Timedelta | pd.Period) or obj is pd.NaT or obj is pd.NA:
                return ["pandas", type(obj).__name__, repr(obj)]
            if isinstance(obj, pd.api.extensions.ExtensionDtype):
                return ["dtype", type(obj).__name__, repr(obj)]
        if type(obj).__module__ in PLAIN_VALUES and type(obj).__hash__ is not object.__hash__:
            # Which equal ones are one object is left open (docs/guarantee.md), as it is of numbers and texts.
            return ["value", type(obj).__module__, type(obj).__name__, repr(obj)]
        if isinstance(obj, re.Pattern):
            # Equal patterns are handed out by a bounded cache: one object or two hangs on what it forgot.
            return ["pattern", self.value(obj.pattern), obj.flags]
        if any((c.__module__, c.__name__) == ("sympy.core.basic", "Basic") for c in type(obj).__mro__):
            # Equal expressions are handed out by bounded caches: one object or two hangs on what those forgot.
            return ["sympy", self.instance(obj)]
        if isinstance(obj, tuple | str | bytes | int | float | frozenset) and not attributes(obj):
            if isinstance(obj, tuple):
                return ["sub", self.value(type(obj))] + [self.value(x) for x in tuple.__iter__(obj)]
            if type(obj).__module__.startswith("numpy"):
                return None
            for base in (str, bytes, int, float):
                if isinstance(obj, base):
                    return ["sub", self.value(type(obj)), self.atom(base(obj))]
        return None

    # -- nodes -------------------------------------------------------------------------------------
    def node(self, obj):
        for test, form in FORMS:
            if test(obj):
                return form(self, obj)
        return self.instance(obj)

    def pairs(self, mapping):
        return [[self.value(k), self.value(v)] for k, v in list(type(mapping).items(mapping))]

    def code(self, code):
        parts = [self.code(c) if isinstance(c, types.CodeType) else self.value(c) for c in code.co_consts]
        return [
            "code",
            code.co_name,
            digest(code.co_code),
            parts,
            list(code.co_names),
            list(code.co_varnames),
            list(code.co_freevars),
            list(code.co_cellvars),
            code.co_flags,
            [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount],
        ]

    def function(self, obj):
        return [
            "function",
            obj.__qualname__,
            obj.__module__,
            self.code(obj.__code__),
            self.value(obj.__defaults__),
            self.pairs(obj.__kwdefaults__ or {}),
            [self.value(cell) for cell in obj.__closure__ or ()],
            self.pairs(obj.__dict__),
            self.value(obj.__doc__),
            self.pairs(obj.__annotations__),
        ]

    def cell(self, obj):
        try:
            return ["cell", self.value(obj.cell_contents)]
        except ValueError:
            return ["cell"]

    def klass(self, obj):
        members = [
            [name, self.value(value)]
            for name, value in vars(obj).items()
            if name not in CLASS_NOISE and (name, value) != ("__doc__", None)
        ]
        if is_enum(obj):
            # What the enum module adds to a class, and in which order, is its own affair.
            members.sort(key=lambda member: member[0])
        return [
            "class",
            obj.__qualname__,
            self.value(type(obj)),
            [self.value(b) for b in obj.__bases__],
            members,
        ]

    def generator(self, obj):
        frame = getattr(obj, "gi_frame", None) or getattr(obj, "cr_frame", None)
        return [type(obj).__name__, obj.__qualname__, frame.f_lasti if frame is not None else "finished"]

    def file(self, obj):
        name = getattr(obj, "name", "")
        return [
            "file",
            type(obj).__name__,
            self.text(str(name).rpartition("/")[2]),
            str(getattr(obj, "mode", "")),
            bool(obj.closed),
        ]

    def error(self, obj):
        return [
            "exception",
            self.value(type(obj)),
            self.value(obj.args),
            self.pairs(attributes(obj)),
            self.value(obj.__cause__),
            self.value(obj.__context__),
            obj.__suppress_context__,
            obj.__traceback__ is not None,
        ]

    def ndarray(self, obj):
        import numpy as np

        flags = [bool(obj.flags.writeable), bool(obj.flags.c_contiguous), bool(obj.flags.f_contiguous)]
        head = ["ndarray", self.value(type(obj)), repr(obj.dtype), list(obj.shape), list(obj.strides), flags]
        if obj.dtype.hasobject:
            head.append([self.value(x) for x in obj.ravel(order="K").tolist()])
        else:
            head.append(digest(np.ascontiguousarray(obj).tobytes()))
        if obj.size and obj.nbytes:
            bounds = getattr(np.lib, "array_utils", np).byte_bounds(obj)
            head.append(self.memory(*bounds))
        if type(obj) is not np.ndarray:
            head.append(self.pairs({k: v for k, v in attributes(obj).items() if k[:1] != "_"}))
        return head

    def memory(self, low, high):
        place = ["mem", len(self.extents), 0]
        self.extents.append((low, high, place))
        return place

    def buffer(self, obj):
        content = bytes(obj)
        head = [type(obj).__name__, content.hex() if len(content) < 500 else digest(content)]
        if isinstance(obj, memoryview):
            head += [obj.format, list(obj.shape or ()), list(obj.strides or ()), obj.readonly]
        np = sys.modules.get("numpy")
        if content and np is not None:
            low = np.frombuffer(obj, dtype="u1").__array_interface__["data"][0]
            head.append(self.memory(low, low + len(content)))
        elif isinstance(obj, memoryview):
            head.append(self.value(obj.obj))
        return head

    def frame(self, obj):
        columns = [self.series_values(obj.iloc[:, i]) for i in range(obj.shape[1])]
        return [
            "frame",
            self.value(type(obj)),
            self.value(obj.columns),
            self.value(obj.index),
            columns,
            self.pairs(obj.attrs),
        ]

    def series(self, obj):
        return [
            "series",
            self.value(type(obj)),
            self.value(obj.name),
            self.value(obj.index),
            self.series_values(obj),
        ]

    def series_values(self, obj):
        kind = repr(obj.dtype)
        if (
            obj.dtype.kind in "biufcmM"
            and hasattr(obj.dtype, "itemsize")
            and "numpy" in type(obj.dtype).__module__
        ):
            return [kind, len(obj), digest(obj.to_numpy().tobytes())]
        return [kind, [self.value(x) for x in obj.tolist()]]

    def index(self, obj):
        kind = repr(obj.dtype)
        return [
            "index",
            type(obj).__name__,
            kind,
            [self.value(x) for x in obj.names],
            [self.value(x) for x in obj.tolist()],
            str(getattr(obj, "freq", "")),
        ]

    def figure(self, obj):
        kind = type(obj).__name__
        head = ["artist", kind]
        if hasattr(obj, "get_xlabel"):
            head += [obj.get_title(), obj.get_xlabel(), [self.value(x) for x in obj.lines]]
        elif kind == "Figure":
            head.append([self.value(x) for x in obj.axes])
        elif kind == "Line2D":
            head += [
                [_number(x) for x in obj.get_xdata()],
                [_number(x) for x in obj.get_ydata()],
                obj.get_label(),
            ]
        return head

    def future(self, obj):
        head = ["future", type(obj).__name__, obj.done(), obj.cancelled()]
        if obj.done() and not obj.cancelled():
            problem = obj.exception()
            head += [self.value(problem), None if problem else self.value(obj.result())]
        return head

    def cached(self, obj):
        return ["lru_cache", list(obj.cache_info()), self.value(obj.__wrapped__)]

    def weak_mapping(self, obj):
        return ["weakmap", type(obj).__name__, self.pairs(dict(type(obj).items(obj)))]

    def partial(self, obj):
        return ["partial", self.value(obj.func), self.value(obj.args), self.pairs(obj.keywords)]

    def instance(self, obj):
        kind = type(obj)
        head = ["instance", self.value(kind)]
        own = "__main__" in {c.__module__ for c in kind.__mro__} or kind.__module__ not in sys.modules
        content = self.builtin_content(obj)
        if own or content is not None:
            head += [content, self.pairs(attributes(obj)), self.slots(obj)]
            # Asked of the object, the author's `__getattr__` might run, and raise what it likes.
            factory = obj.default_factory if isinstance(obj, defaultdict) else None
            return head if factory is None else head + [self.value(factory)]
        if kind.__module__.split(".")[0] in (
            "threading",
            "_thread",
            "concurrent",
            "contextvars",
            "_contextvars",
        ):
            return head
        try:
            reduced = obj.__reduce_ex__(4)
        except Exception as problem:
            return head + ["opaque", type(problem).__name__]
        self.keep.append(reduced)
        if isinstance(reduced, str):
            return head + [reduced]
        parts = list(reduced[:3])
        if kind.__module__.startswith("xarray.") and len(parts) > 2 and isinstance(parts[2], tuple):
            # Looking at attributes that nobody has set makes an empty dictionary of them; accessors are kept.
            looked = ("_attrs", "_encoding")
            slots = {k: None if k in looked and not v else v for k, v in parts[2][1].items() if k != "_cache"}
            parts[2] = (parts[2][0], slots)
            self.keep.append(parts[2])
        if kind in (io.StringIO, io.BytesIO) and not vars(obj) and len(parts) > 2:
            parts[2] = (*parts[2][:-1], None)  # likewise: asking for them makes a dictionary
            self.keep.append(parts[2])
        head += [self.value(x) for x in parts]
        if len(reduced) > 3 and reduced[3] is not None:
            items = list(reduced[3])
            self.keep.append(items)
            head.append([self.value(x) for x in items])
        if len(reduced) > 4 and reduced[4] is not None:
            head.append([[self.value(k), self.value(v)] for k, v in reduced[4]])
        return head

    def builtin_content(self, obj):
        if isinstance(obj, dict):
            return [[self.value(k), self.value(v)] for k, v in list(_items(obj))]
        if isinstance(obj, list):
            return [self.value(x) for x in list(list.__iter__(obj))]
        if isinstance(obj, tuple):
            return [self.value(x) for x in tuple.__iter__(obj)]
        if isinstance(obj, set | frozenset):
            return self.unordered(obj)
        for base in (str, bytes, int, float):
            if isinstance(obj, base):
                return self.atom(base(obj))
        return None

    def slots(self, obj):
        found = []
        for kind in type(obj).__mro__:
            names = kind.__dict__.get("__slots__", ())
            for name in (names,) if isinstance(names, str) else names:
                if name in ("__dict__", "__weakref__"):
                    continue
                hidden = name.startswith("__") and not name.endswith("__")
                member = kind.__dict__.get(f"_{kind.__name__.lstrip('_')}{name}" if hidden else name)
                try:
                    found.append([name, self.value(type(member).__get__(member, obj, kind))])
                except AttributeError:
                    found.append([name])
        return found

    def settle(self):
        """Turns addresses into groups of overlapping extents and offsets inside each."""
        group, end = -1, -1
        base = 0
        for low, high, place in sorted(self.extents, key=lambda e: (e[0], e[1])):
            if low >= end:
                group, base, end = group + 1, low, high
            end = max(end, high)
            place[1], place[2] = group, low - base


def digest(data):
    return hashlib.sha256(data).hexdigest()[:24]


def is_enum(kind):
    enum = sys.modules.get("enum")
    return enum is not None and isinstance(kind, enum.EnumMeta)


def attributes(obj):
    try:
        return object.__getattribute__(obj, "__dict__")
    except AttributeError:
        return {}


def proxied(proxy):
    try:
        return proxy.__init__.__self__
    except (ReferenceError, AttributeError):
        return None


def of_module(*prefixes):
    return lambda obj: type(obj).__module__.split(".")[0] in prefixes


def of_numpy(obj):
    np = sys.modules.get("numpy")
    return np is not None and hasattr(np, "ndarray") and isinstance(obj, np.ndarray)


def of_pandas(kind):
    def test(obj):
        pd = sys.modules.get("pandas")
        return pd is not None and hasattr(pd, kind) and isinstance(obj, getattr(pd, kind))

    return test


def is_a(*kinds):
    return lambda obj: isinstance(obj, kinds)


def exactly(*kinds):
    return lambda obj: type(obj) in kinds


def named(*names):
    return lambda obj: type(obj).__module__ + "." + type(obj).__qualname__ in names


FORMS = [
    (exactly(list), lambda w, o: ["list"] + [w.value(x) for x in list(o)]),
    (exactly(dict), lambda w, o: ["dict"] + w.pairs(o)),
    (exactly(set), lambda w, o: ["set"] + w.unordered(o)),
    (exactly(bytearray, memoryview), Walk.buffer),
    (exactly(types.FunctionType), Walk.function),
    (exactly(types.BuiltinFunctionType), lambda w, o: ["builtin_method", o.__name__, w.value(o.__self__)]),
    (exactly(types.MethodType), lambda w, o: ["method", w.value(o.__func__), w.value(o.__self__)]),
    (exactly(types.CellType), Walk.cell),
    (exactly(types.CodeType), Walk.code),
    (exactly(types.MappingProxyType), lambda w, o: ["proxy"] + w.pairs(o)),
    (exactly(property), lambda w, o: ["property", w.value(o.fget), w.value(o.fset), w.value(o.fdel)]),
    (exactly(staticmethod, classmethod), lambda w, o: [type(o).__name__, w.value(o.__func__)]),
    (
        exactly(
            types.MemberDescriptorType,
            types.GetSetDescriptorType,
            types.WrapperDescriptorType,
            types.MethodDescriptorType,
            types.MethodWrapperType,
            types.ClassMethodDescriptorType,
        ),
        lambda w, o: ["descriptor", o.__name__],
    ),
    (is_a(type), Walk.klass),
    (is_a(types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType), Walk.generator),
    (is_a(BaseException), Walk.error),
    (named("functools.partial"), Walk.partial),
    (named("functools._lru_cache_wrapper"), Walk.cached),
    (named("weakref.ReferenceType", "builtins.ReferenceType"), lambda w, o: ["weakref", w.value(o())]),
    (named("weakref.WeakValueDictionary", "weakref.WeakKeyDictionary"), Walk.weak_mapping),
    (named("weakref.finalize"), lambda w, o: ["finalize", o.alive]),
    (named("_asyncio.Task", "_asyncio.Future", "asyncio.tasks.Task", "asyncio.futures.Future"), Walk.future),
    # What an executor gives is of a subclass here (docs/engines.md, "Known limits").
    (named("concurrent.futures._base.Future"), Walk.future),
    (
        lambda o: (
            hasattr(type(o), "readable")
            and type(o).__module__ == "_io"
            and hasattr(o, "fileno")
            and type(o).__name__ not in ("StringIO", "BytesIO")
        ),
        Walk.file,
    ),
    (named("IPython.core.display_functions.DisplayHandle"), lambda w, o: ["display_handle"]),
    # What every kernel has one of, with its sockets and threads behind it.
    (named("ipykernel.iostream.OutStream"), lambda w, o: ["stream", o.name]),
    (named("ipykernel.zmqshell.ZMQInteractiveShell"), lambda w, o: ["shell"]),
    (named("logging.Logger", "logging.RootLogger"), lambda w, o: ["logger", o.name, o.level]),
    (named("threading.Thread"), lambda w, o: ["thread", o.is_alive(), o.daemon]),
    (of_numpy, Walk.ndarray),
    (of_pandas("DataFrame"), Walk.frame),
    (of_pandas("Series"), Walk.series),
    (of_pandas("Index"), Walk.index),
    (of_module("matplotlib"), Walk.figure),
]


def ambient(root, seeded):
    """Facts of the process that cells can change; random states only where the notebook seeds them."""
    import decimal
    import os

    relative = os.path.relpath(os.path.realpath(os.getcwd()), os.path.realpath(root or "."))
    facts = {
        "cwd": relative,
        "decimal": decimal.getcontext().prec,
        "recursion": sys.getrecursionlimit(),
        "path": [p for p in sys.path if p and not os.path.isabs(p)],
    }
    if "random" in seeded and "random" in sys.modules:
        facts["random"] = digest(repr(sys.modules["random"].getstate()).encode())
    np = sys.modules.get("numpy")
    if "numpy" in seeded and np is not None:
        facts["numpy"] = digest(repr(np.random.get_state()).encode())
    return facts


def describe(root="", seeded=()):
    """The user namespace of this kernel as JSON text."""
    import os

    from IPython import get_ipython

    limit = sys.getrecursionlimit()
    facts = ambient(root, seeded)
    walk = Walk(os.path.realpath(root) if root else "")
    space = get_ipython().user_ns
    names = {}
    sys.setrecursionlimit(max(limit, 20000))
    try:
        for name in sorted(n for n in list(space) if isinstance(n, str)):
            if SKIP_NAMES.match(name):
                continue
            try:
                value = space[name]
            except Exception as problem:
                names[name] = ["unavailable", f"{type(problem).__name__}: {problem}"]
            else:
                names[name] = walk.value(value)
        results = {}
        for number in sorted(n for n in list(space.get("Out", {})) if isinstance(n, int)):
            results[f"Out[{number}]"] = walk.value(space["Out"][number])
        for name in ("_", "__", "___"):
            results[name] = walk.value(space.get(name, ""))
    finally:
        sys.setrecursionlimit(limit)
    walk.settle()
    return json.dumps({"names": names, "results": results, "nodes": walk.nodes, "ambient": facts})


def _number(value: object) -> object:
    """A place on an axis; periods and texts stand there too."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value)


def _items(mapping: dict) -> object:
    """An OrderedDict has an order of its own, and the one of the dict below it does not show."""
    return OrderedDict.items(mapping) if isinstance(mapping, OrderedDict) else dict.items(mapping)
