"""What can be referred to by name: objects that every process finds in an imported module."""

from __future__ import annotations

import sys
import sysconfig
from functools import lru_cache
from pathlib import Path
from types import MethodDescriptorType, MethodType, ModuleType, WrapperDescriptorType
from typing import Any

BASELINES: dict[str, dict[str, Any]] = {}
"""Attributes of modules as they were before the notebook could patch them (R8)."""

LOADED: dict[str, bytes] = {}
"""Local modules -> the text that was loaded: the file may be another one by now."""

_ABSENT = object()


def take_baseline(module: ModuleType) -> None:
    """Remember a module's attributes, once, before cells can set any."""
    name = getattr(module, "__name__", "")
    if name and name not in BASELINES:
        BASELINES[name] = dict(vars(module))


def retake_baselines(package: str) -> None:
    """Our own hooks in a package are no patches of the notebook."""
    for name in list(BASELINES):
        module = sys.modules.get(name)
        if name.partition(".")[0] == package and module is not None:
            BASELINES[name] = dict(vars(module))


_GENERATORS = {
    "numpy.random.mtrand.RandomState": ("numpy.random.mtrand", "_rand"),
    "random.Random": ("random", "_inst"),
}


def shared_generator(obj: Any) -> tuple[str, str] | None:
    """Where a library keeps the random generator that everybody shares, if ``obj`` is that one.

    Models that are given no generator of their own hold it; its state is an ambient item.
    """
    place = _GENERATORS.get(f"{getattr(type(obj), '__module__', '')}.{type(obj).__qualname__}")
    if place is None or getattr(sys.modules.get(place[0]), place[1], None) is not obj:
        return None
    return place


def lookup(module_name: str, qualname: str) -> Any:
    """The object that ``module.qualname`` names in an unpatched process.

    Raises:
        LookupError: there is no such module or attribute.
    """
    module = sys.modules.get(module_name)
    if module is None or "<" in qualname:
        raise LookupError(f"{module_name}.{qualname}")
    first, *rest = qualname.split(".")
    baseline = BASELINES.get(module_name)
    value = baseline.get(first, _ABSENT) if baseline is not None else _ABSENT
    if value is _ABSENT:
        value = getattr(module, first, _ABSENT)
    for part in rest:
        if value is _ABSENT:
            break
        value = getattr(value, part, _ABSENT)
    if value is _ABSENT:
        raise LookupError(f"{module_name}.{qualname}")
    return value


def reference(obj: Any) -> tuple[str, str] | None:
    """``(module, qualname)`` under which ``obj`` itself is importable, else None.

    Names in ``__main__`` are the notebook's own and never references.
    """
    qualname = getattr(obj, "__qualname__", None) or getattr(obj, "__name__", None)
    if not isinstance(qualname, str):
        return None
    module_name = getattr(obj, "__module__", None)
    if module_name == "__main__":
        return None
    if not isinstance(module_name, str):
        # NumPy's ufuncs and some C functions know no module of their own.
        module_name = _search(obj, qualname)
        if module_name is None:
            return None
    try:
        if lookup(module_name, qualname) is obj:
            return _in_public(obj, module_name, qualname), qualname
    except LookupError:
        pass  # it may stand there under another name
    if module_name not in sys.modules:
        package = _shown_by(obj, module_name, qualname)
        return None if package is None else (package, qualname)
    other = _other_name(obj, module_name) if isinstance(obj, type | MethodType) else None
    return None if other is None else (module_name, other)


_HEAP, _IMMUTABLE = 1 << 9, 1 << 8


def is_own_class(cls: type) -> bool:
    """Whether no other process can import a class: a cell made it, or Python code that the cell called.

    Extension modules make classes without a name that leads to them, too (``_thread.lock``, what Rust code
    keeps to itself); their instances have content that Python does not see.
    """
    if not cls.__flags__ & _HEAP or cls.__flags__ & _IMMUTABLE or reference(cls) is not None:
        return False
    return not any(
        isinstance(value, MethodDescriptorType | WrapperDescriptorType) and value.__objclass__ is cls
        for value in cls.__dict__.values()
    )


def _other_name(obj: type | MethodType, module_name: str) -> str | None:
    """The name of what a library keeps under another one (``functools._CacheInfo``, ``calendar.week``)."""
    module = sys.modules.get(module_name)
    path = getattr(module, "__file__", None)
    if module is None or not isinstance(path, str) or not is_library_path(path):
        return None
    table = BASELINES.get(module_name) or vars(module)
    return next((name for name, value in list(table.items()) if value is obj), None)


def _in_public(obj: Any, module_name: str, name: str) -> str:
    """The module of the standard library that shows what a private part of it keeps (``pathlib._local``).

    Which parts there are changes with Python's version (R13).
    """
    package, _, part = module_name.rpartition(".")
    if part[:1] == "_" and package in sys.stdlib_module_names and package in sys.modules:
        return package if vars(sys.modules[package]).get(name) is obj else module_name
    return module_name


def _shown_by(obj: Any, module_name: str, name: str) -> str | None:
    """The package that has what says it is of a module which nobody has imported yet (``numpy.recarray``)."""
    while "." in module_name:
        module_name = module_name.rpartition(".")[0]
        package = sys.modules.get(module_name)
        if package is not None and vars(package).get(name) is obj:
            return module_name
    return None


def _search(obj: Any, name: str) -> str | None:
    for module_name in ("numpy", "builtins", "math", "operator", "itertools"):
        module = sys.modules.get(module_name)
        if module is not None and getattr(module, name, None) is obj:
            return module_name
    return None


@lru_cache(maxsize=1)
def library_roots() -> tuple[str, ...]:
    """Folders whose modules are known by version, not by content (R13)."""
    paths = {sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")}
    paths |= {str(Path(p).resolve()) for p in paths if p}
    paths |= {p for p in sys.path if p.endswith(("site-packages", "dist-packages"))}
    paths |= {str(Path(__file__).resolve().parents[1])}
    return tuple(sorted(str(p).rstrip("/") + "/" for p in paths if p))


def is_library_path(path: str) -> bool:
    """Whether a source file belongs to the interpreter or to installed packages."""
    return path.startswith(library_roots())


@lru_cache(maxsize=8192)
def is_user_file(path: str) -> bool:
    """Whether a code object's file is neither the interpreter's, a package's nor made of a string."""
    return not path.startswith("<") and not is_library_path(path)


@lru_cache(maxsize=8192)
def _local_file(name: str, path: str) -> bool:
    return bool(path) and path.endswith(".py") and not is_library_path(str(Path(path).absolute()))


def is_local_module(name: str) -> bool:
    """Whether an imported module is the user's own helper file (R7)."""
    module = sys.modules.get(name)
    path = getattr(module, "__file__", None)
    return name != "__main__" and isinstance(path, str) and _local_file(name, path)


def package_of(module_name: str) -> str:
    """The top-level package of a module."""
    return module_name.partition(".")[0]
