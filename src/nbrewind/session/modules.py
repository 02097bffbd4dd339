"""Modules as state (R7, R8): local helpers by content, patched attributes as roots."""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.util
import operator
import os
import sys
from collections.abc import Callable, Iterable
from functools import lru_cache
from types import ModuleType
from typing import Any

from nbrewind.flow.classes import CLASS_NOISE
from nbrewind.flow.code import hash_parts, source_of_file
from nbrewind.flow.names import BASELINES, LOADED, is_local_module, lookup, reference, take_baseline

FIGURES = "attr:matplotlib.pyplot:<figures>"
"""The root of pyplot's registry of open figures, which every reader of pyplot reads."""

_ABSENT = object()
_IGNORED = frozenset(
    {"__builtins__", "__file__", "__cached__", "__spec__", "__loader__", "__path__", "__warningregistry__"}
)

_HEAP = 1 << 9
_CLASSES: dict[str, dict[str, Any]] = {}
"""Attributes of importable classes before cells set any, by ``module:qualname``."""

SET: set[type] = set()
"""Classes of which attributes were put back for a cell that is about to run."""

_LIBRARIES: dict[str, ModuleType] = {}
"""Imported modules known not to be local; thousands are loaded, and every cell asks."""
_SEEN: dict[str, ModuleType] = {}
"""The table of imported modules at the last look."""
_PERHAPS_LOCAL: set[str] = set()
"""Those of them that are not known to be of libraries."""


def imported_names(source: str, package: str = "") -> set[str]:
    """Modules that a piece of code in ``package`` imports, by full name.

    What follows ``from package import`` may be a module or any other name; it is given too.
    """
    if "import" not in source:
        return set()
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return set()
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            owner = _absolute(node, package)
            if owner:
                found.add(owner)
                found.update(f"{owner}.{alias.name}" for alias in node.names)
    return found


def _absolute(node: ast.ImportFrom, package: str) -> str:
    """The full name of what a ``from`` import names; empty where dots reach out of the package."""
    if not node.level:
        return node.module or ""
    parts = package.split(".") if package else []
    if node.level > len(parts):
        return ""
    kept = parts[: len(parts) - node.level + 1]
    return ".".join([*kept, node.module] if node.module else kept)


@lru_cache(maxsize=1024)
def _imports_of_text(raw: bytes, package: str) -> tuple[frozenset[str], str]:
    text = raw.decode("utf-8", "surrogateescape")
    return frozenset(imported_names(text, package)), hash_parts(text)


def text_of(name: str) -> bytes:
    """The text of a local module as it was loaded; where nobody saw that, what its file holds.

    Raises:
        OSError: there is no such file any more.
    """
    if name not in LOADED:
        with open(str(getattr(sys.modules[name], "__file__", "")), "rb") as file:
            LOADED[name] = file.read()
    return LOADED[name]


def module_files(name: str) -> dict[str, str]:
    """Absolute source file -> text digest of a local module and of the local ones it imports."""
    found: dict[str, str] = {}
    queue, seen = [name], set()
    while queue:
        current = queue.pop()
        if current in seen or not is_local_module(current):
            continue
        seen.add(current)
        path = str(getattr(sys.modules[current], "__file__", ""))
        try:
            package = str(getattr(sys.modules[current], "__package__", None) or "")
            imports, digest = _imports_of_text(text_of(current), package)
        except (OSError, ValueError):
            found[os.path.abspath(path)] = "absent"
            continue
        found[os.path.abspath(path)] = digest
        parent = current.rpartition(".")[0]
        queue += list(imports) + ([parent] if parent else [])
    return found


def module_digest(name: str) -> str:
    """Content digest of a local module over its import graph, independent of where it lies."""
    return hash_parts(*sorted(module_files(name).values()))


def libraries_of(name: str) -> set[str]:
    """Packages that a local module's import graph names."""
    found: set[str] = set()
    for path in module_files(name):
        found |= {part.partition(".")[0] for part in imported_names(source_of_file(path))}
    return found


def local_modules(*, imported: bool = True) -> set[str]:
    """Names of the local modules that this process has imported.

    ``imported`` says whether some module's code may have run since the last look.
    """
    global _SEEN
    last = next(reversed(_SEEN), "")
    if not imported and len(sys.modules) == len(_SEEN) and next(reversed(sys.modules)) == last:
        return {name for name in _PERHAPS_LOCAL if is_local_module(name)}
    table = dict(sys.modules)
    if table.keys() != _SEEN.keys() or not all(map(operator.is_, table.values(), _SEEN.values())):
        _SEEN = table
        _PERHAPS_LOCAL.clear()
        _PERHAPS_LOCAL.update(name for name, module in table.items() if _LIBRARIES.get(name) is not module)
    found = {name for name in _PERHAPS_LOCAL if is_local_module(name)}
    for name in _PERHAPS_LOCAL - found:
        _LIBRARIES[name] = _SEEN[name]
    _PERHAPS_LOCAL.intersection_update(found)
    return found


def prepare_baselines(modules: set[str]) -> None:
    """Take baselines of loaded modules that a cell is about to see (R8)."""
    for name in modules:
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            module = sys.modules.get(".".join(parts[:length]))
            if isinstance(module, ModuleType) and module.__name__ != "__main__":
                take_baseline(module)


def forget_classes() -> None:
    """Nobody watches any more: a later watch takes baselines of its own."""
    _CLASSES.clear()


def named_classes(names: frozenset[str], modules: set[str], values: Iterable[Any]) -> set[type]:
    """Importable classes that code may mean by ``names``: of these modules, and among these values."""
    found = {value for value in values if issubclass(type(value), type)}
    for name in modules:
        held = vars(sys.modules[name]) if name in sys.modules else {}
        found |= {held[key] for key in names & held.keys() if isinstance(held[key], type)}
    # What cannot be assigned to needs no baseline.
    return {cls for cls in found if cls.__flags__ & _HEAP and reference(cls) is not None}


def prepare_classes(classes: Iterable[type]) -> None:
    """Take baselines of classes that a cell is about to set attributes of."""
    for cls in classes:
        _CLASSES.setdefault(f"{cls.__module__}:{cls.__qualname__}", dict(vars(cls)))


def prepare_attributes(names: Iterable[str]) -> None:
    """Take baselines of the classes behind ``module:Class.attribute``, as they are now."""
    for name in names:
        with contextlib.suppress(LookupError):
            owner, _ = _owner(f"attr:{name}")
            prepare_classes([owner] if isinstance(owner, type) else [])


def remember_class(name: str, first: dict[str, Any]) -> None:
    """Take a baseline of a class (``module:qualname``) that was changed already."""
    _CLASSES.setdefault(name, first)


def patched_classes(packages: set[str]) -> dict[str, Any]:
    """Attributes of classes of these packages that differ from their baseline: root -> value."""
    found: dict[str, Any] = {}
    for name, baseline in _CLASSES.items():
        if name.partition(":")[0].partition(".")[0] not in packages:
            continue
        with contextlib.suppress(LookupError):
            current = vars(lookup(*name.split(":", 1)))
            for key, value in current.items():
                if baseline.get(key, _ABSENT) is not value and key not in CLASS_NOISE:
                    found[f"attr:{name}.{key}"] = value
    return found


def patched(modules: set[str]) -> dict[str, Any]:
    """Attributes of these modules that differ from their baseline: root -> value or absent mark."""
    found: dict[str, Any] = {}
    for name in modules:
        module, baseline = sys.modules.get(name), BASELINES.get(name)
        if module is None or baseline is None:
            continue
        current = vars(module)
        for key, value in list(current.items()):
            if key in _IGNORED or baseline.get(key, _ABSENT) is value:
                continue
            if key not in baseline and isinstance(value, ModuleType):
                continue  # a submodule imported later
            found[f"attr:{name}:{key}"] = value
    return found


def local_data(modules: set[str]) -> dict[str, Any]:
    """Data attributes of local modules: cells may change them in place."""
    found: dict[str, Any] = {}
    for name in modules:
        if not is_local_module(name):
            continue
        for key, value in list(vars(sys.modules[name]).items()):
            if key.startswith("__") or isinstance(value, ModuleType | type) or callable(value):
                continue
            if isinstance(value, list | dict | set | bytearray) or hasattr(value, "__dict__"):
                found[f"attr:{name}:{key}"] = value
    return found


def get_attribute(root: str) -> Any:
    """The value of an attribute root now; raises LookupError when it is gone."""
    if root == FIGURES:
        return open_figures()
    owner, name = _owner(root)
    try:
        return vars(owner)[name]
    except KeyError:
        raise LookupError(root) from None


def _owner(root: str) -> tuple[Any, str]:
    """The module or class behind an attribute root, and the attribute's name."""
    module, _, path = root[5:].partition(":")
    qualname, _, name = path.rpartition(".")
    loaded = sys.modules.get(module) or importlib.import_module(module)
    return (lookup(module, qualname) if qualname else loaded), name


def is_there(root: str) -> bool:
    """Whether the package of an attribute root is loaded or installed."""
    package = root[5:].partition(":")[0].partition(".")[0]
    return package in sys.modules or importlib.util.find_spec(package) is not None


def put_attribute(root: str, value: Any) -> None:
    """Set an attribute root."""
    if root == FIGURES:
        _number_figures(value)
        return
    owner, name = _owner(root)
    if isinstance(owner, type):
        prepare_classes([owner])
        SET.add(owner)
    else:
        take_baseline(owner)
    setattr(owner, name, value)


def reset_attribute(root: str, first: Callable[[str], Any]) -> None:
    """Bring an attribute root back to its baseline; ``first`` knows those of counters, else LookupError."""
    if root == FIGURES:
        close_figures()
        return
    with contextlib.suppress(LookupError):
        put_attribute(root, first(root))
        return
    module, _, path = root[5:].partition(":")
    if module not in sys.modules:
        return
    owner, name = _owner(root)
    if isinstance(owner, type):
        SET.add(owner)
    known = _CLASSES if isinstance(owner, type) else BASELINES
    baseline = known.get(f"{module}:{path.rpartition('.')[0]}" if isinstance(owner, type) else module, {})
    if name in baseline:
        setattr(owner, name, baseline[name])
    elif name in vars(owner):
        delattr(owner, name)


def open_figures() -> list[tuple[int, Any]]:
    """pyplot's open figures with their numbers in order, the current one last."""
    pyplot = sys.modules.get("matplotlib._pylab_helpers")
    if pyplot is None:
        return []
    return [(number, manager.canvas.figure) for number, manager in pyplot.Gcf.figs.items()]


def _number_figures(wanted: list[tuple[int, Any]]) -> None:
    """Unpickling a figure registers it with pyplot again, under the next free number."""
    figures = sys.modules["matplotlib._pylab_helpers"].Gcf.figs
    figures.clear()
    for number, figure in wanted:
        manager = figure.canvas.manager
        if manager is None:  # it was closed here since
            backend = sys.modules["matplotlib.pyplot"]._get_backend_mod()
            manager = backend.new_figure_manager_given_figure(number, figure)
        manager.num = number
        setattr(figure, "_number" if hasattr(figure, "_number") else "number", number)
        figures[number] = manager


def close_figures() -> None:
    """Close all of pyplot's figures."""
    helpers = sys.modules.get("matplotlib._pylab_helpers")
    if helpers is not None:
        helpers.Gcf.destroy_all()
