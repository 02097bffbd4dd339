"""Whether a record's trace holds in a state: the repeat decision (R1 to R3, R6, R7, R15).

Pure but for the questions put to ``Outside``, which answers for files and variables that
the state itself does not know.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Collection, Iterable, Sequence
from hashlib import blake2b
from typing import NamedTuple, Protocol

from nbrewind import rules
from nbrewind.model import FileState, Record, Root, State, Trace
from nbrewind.plan.algebra import (
    digest_in,
    from_symbol,
    is_result,
    package_of_attribute,
    reachable,
    to_symbol,
)
from nbrewind.plan.moved import moved
from nbrewind.plan.results import RESULT_NAMES, meaning

OWN_MARK = "="
"""Before a result's name in a trace: it was a result, not a name that the user had bound."""

GONE_MARK = "~"
"""Before such a name: neither IPython nor the user had it bound."""

RESULT_NUMBERS = "results"
"""Key in a trace's ambient items of cells that asked for a result by its number."""

ALL_CLASSES = "classes"
"""Key in a trace's ambient items of cells that could ask a class for its subclasses."""

LOADED_MODULES = "loaded modules"
"""Key in a trace's ambient items of cells that could ask `sys.modules` what was imported before."""

SUBCLASSES = "process:subclasses"
"""Ambient item of notebooks whose code does so: from then on every function that is called may."""

PATCHES = "patches of packages"
"""Key in a trace's ambient items where cells had put functions or classes into packages it does not name."""

_CALLABLE = re.compile(
    r"^(function|method|type|ABCMeta|partial|property|staticmethod|classmethod|builtin_function_or_method)$"
    r"|Mock$|wrapper$"
)
"""What the summary of a version says of what can be called, or is an attribute of a class that can."""

ALL_VARIABLES = "environment"
"""Key in a trace's ambient items of cells whose child processes saw all variables that cells had set."""

PACKAGE_ITEMS = {
    "decimal.flags": "decimal",
    "pandas.options": "pandas",
    "sklearn.config": "sklearn",
    "xarray.options": "xarray",
    "matplotlib.colormaps": "matplotlib",
    "matplotlib.rcParams": "matplotlib",
    "matplotlib.backend": "matplotlib",
    "numpy.printoptions": "numpy",
    "numpy.errstate": "numpy",
    "matplotlib.inline": "matplotlib",
    "process:IPython magics": "IPython",
}
"""Ambient items that only users of a package depend on."""


_CALLS_NONE = {
    "matplotlib": frozenset({"numpy", "scipy", "sympy"}),
    "pandas": frozenset({"numpy", "scipy", "matplotlib", "sympy"}),
    "sklearn": frozenset({"numpy", "scipy", "sympy", "matplotlib", "pandas", "xarray"}),
    "xarray": frozenset({"numpy", "scipy", "sympy", "matplotlib", "sklearn", "pandas"}),
    "numpy": frozenset[str](),
}
"""Package -> others that do not call it; those not named may: pandas and seaborn draw with matplotlib."""


PACKAGE_SETTINGS = "process:settings of "
"""How the key of settings begins that a cell changed, before the package's name."""

_CALL_FEW = frozenset({"numpy", "scipy", "sympy", "matplotlib", "pandas", "sklearn"})
"""Packages that call none but each other."""


def concerns(key: str, reads: Collection[Root]) -> bool:
    """Whether an ambient item may matter to a cell that read this."""
    package = PACKAGE_ITEMS.get(key)
    if key.startswith(PACKAGE_SETTINGS):
        return _may_call(key.removeprefix(PACKAGE_SETTINGS), reads)
    if package is None or "lib:" + package in reads:
        return True
    if package not in _CALLS_NONE:
        return False
    others = {root[4:] for root in reads if root.startswith("lib:")} - _CALLS_NONE[package]
    return bool(others - sys.stdlib_module_names)


def _may_call(package: str, reads: Collection[Root]) -> bool:
    """Whether packages that a cell read may use one that it did not: all use the standard library."""
    others = {root[4:] for root in reads if root.startswith("lib:")} - sys.stdlib_module_names
    return package in sys.stdlib_module_names or package in others or bool(others - _CALL_FEW)


def _patches(state: State, reads: Collection[Root]) -> list[tuple[Root, str]]:
    """Functions and classes that cells have put into packages that the reader does not name (R8).

    ``math.floor = mine`` also changes what the packages do that use it. None for a cell that uses no package.
    """
    if not any(root.startswith("lib:") for root in reads):
        return []
    found = [
        (root, version.digest)
        for root in state.attributes
        if "lib:" + (package := package_of_attribute(root)) not in reads
        and "mod:" + root[5:].partition(":")[0] not in state.names
        and _CALLABLE.search((version := state.names[root]).summary)
        and _may_call(package, reads)
    ]
    return sorted(found)


def patches_digest(state: State, reads: Collection[Root]) -> str:
    """Digest of the patches of packages that may matter to a cell that read this; empty without any."""
    found = _patches(state, reads)
    return blake2b(repr(found).encode(), digest_size=16).hexdigest() if found else ""


def variables_digest(state: State) -> str:
    """Digest of the environment variables that cells have set."""
    found = sorted((key, value.digest) for key, value in state.ambient.items() if key.startswith("env:"))
    return blake2b(repr(found).encode(), digest_size=16).hexdigest()


EVERY_CELL = "process:callbacks of every cell"
"""Hidden state that acts in each cell: while there is some, no cell is restored."""


class Outside(Protocol):
    """The world as the run found it (R6: the start world)."""

    def file(self, path: str, *, content: bool) -> FileState:
        """What a path that the state does not know holds."""

    def listing(self, path: str, files: dict[str, FileState]) -> str:
        """Digest of a folder's names, with the state's files laid over it."""

    def package(self, name: str, recorded: str) -> bool:
        """Whether an installed package agrees with a recorded version by the rule in force (R13)."""

    def variable(self, key: str) -> str:
        """Digest of an environment variable at start, ``absent`` if unset."""


def differences(trace: Trace, state: State, outside: Outside, *, most: int = 8) -> list[str]:
    """What differs between what was read then and what there is now, first things first."""
    return list(itertools.islice(_differences(trace, state, outside), most))


def holds(trace: Trace, state: State, outside: Outside) -> bool:
    """Whether a record with this trace may be applied."""
    return next(iter(_differences(trace, state, outside)), None) is None


def _differences(trace: Trace, state: State, outside: Outside) -> Iterable[str]:
    if rules.on("R13"):
        for name, version in trace.packages.items():
            if not outside.package(name, version):
                yield f"package:{name} (recorded with {version})"
    yield from _names(trace, state)
    yield from _identities(trace, state)
    yield from _ambient(trace, state, outside)
    yield from _files(trace, state, outside)


def _names(trace: Trace, state: State) -> Iterable[str]:
    for root, digest in trace.reads.items():
        if root in trace.whole:
            continue
        if digest_in(state, root) != digest:
            yield label(root)
    if rules.on("R2"):
        yield from _links(trace, state)
    if rules.on("R3"):
        for mark in trace.absent:
            name = mark.lstrip(OWN_MARK + GONE_MARK).partition("@")[0]
            builtin = f"attr:builtins:{name}"
            if name in RESULT_NAMES:
                if result_mark(state, name) != mark:
                    yield f"name:{name} is another result"
            elif name in state.names or (builtin in state.names and builtin not in trace.reads):
                yield f"{label(name)} is now defined"
        if trace.all_names and trace.all_names != names_digest(state):
            yield "names: the set of defined names changed"
    if rules.on("R1"):
        for root, whole in trace.whole.items():
            resolved = from_symbol(root, state.results)
            version = state.names.get(resolved) if resolved is not None else None
            if version is None or version.digest != whole.digest:
                yield label(root)
            elif {to_symbol(p, state.results): link for p, link in version.links.items()} != whole.links:
                yield f"{label(root)} is shared differently"
    else:
        for root, whole in trace.whole.items():
            if root in trace.reads and digest_in(state, root) != whole.digest:
                yield label(root)


def unseen_ends(record: Record, state: State) -> list[str]:
    """Values that the record replaces unseen, and whose end runs code of the user or can be seen (R14)."""
    if not rules.on("R14"):
        return []
    replaced = (root for root in (*record.delta.names, *record.delta.deleted) if ":" not in root)
    seen = record.trace.reads.keys() | record.trace.whole.keys()
    unseen = [root for root in replaced if root not in seen and not is_result(root) and root in state.names]
    ends = [f"{label(root)} runs code when it goes" for root in unseen if state.names[root].finaliser]
    return ends + [f"a weak reference follows {label(root)}" for root in unseen if state.names[root].watched]


def result_mark(state: State, name: str) -> str:
    """How a trace says what ``_``, ``__`` or ``___`` was: which result, as seen from here, if it was one."""
    root = meaning(state, name)
    if not root:
        return name if root == "" else GONE_MARK + name
    if root == name:
        return ""
    distance = to_symbol(root, state.results).removeprefix("_-")
    return f"{OWN_MARK}{name}" + ("" if distance == str(RESULT_NAMES[name]) else f"@{distance}")


def _links(trace: Trace, state: State) -> Iterable[str]:
    recorded = {(a, b): link for a, b, link in trace.links}
    roots = {root: from_symbol(root, state.results) for root in trace.reads if not root.startswith("lib:")}
    names = {resolved: root for root, resolved in roots.items() if resolved is not None}
    for resolved, root in names.items():
        version = state.names.get(resolved)
        if version is None:
            continue
        for peer, link in version.links.items():
            other = names.get(peer)
            if other is not None and root < other and recorded.get((root, other)) != link:
                yield f"{label(root)} and {label(other)} are shared differently"
    for (a, b), _ in recorded.items():
        first, second = roots.get(a), roots.get(b)
        if first is None or second is None:
            continue
        version = state.names.get(first)
        if version is not None and second not in version.links:
            yield f"{label(a)} and {label(b)} are not shared any more"


def _identities(trace: Trace, state: State) -> Iterable[str]:
    """A class that the cell makes must be a new one: nothing may use its identity yet (R9)."""
    if not trace.identities or not rules.on("R9"):
        return
    used = reachable(state, trace.replaced)
    for root, taken in trace.identities.items():
        if (root in used) != taken:
            yield f"{label(root)} is made {'again' if root in used else 'for the first time'}"


def names_digest(state: State) -> str:
    """Digest of the user's names, in the order in which iterating gives them."""
    names = (name for name in state.names if ":" not in name and not is_result(name))
    return blake2b("\n".join(names).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def numbers_digest(state: State) -> str:
    """Digest of the numbers of displayed results: a cell that names one is bound to them (R14)."""
    return blake2b(repr(state.results).encode(), digest_size=16).hexdigest()


def classes_digest(state: State) -> str:
    """Digest of the notebook's classes, in the order in which they were made."""
    found = [(root, version.digest) for root, version in state.names.items() if root.startswith("cls:")]
    return blake2b(repr(found).encode(), digest_size=16).hexdigest()


def modules_digest(state: State) -> str:
    """Digest of the modules that cells imported."""
    return blake2b(repr(sorted(state.imports)).encode(), digest_size=16).hexdigest()


def _ambient(trace: Trace, state: State, outside: Outside) -> Iterable[str]:
    if not rules.on("R7"):
        return
    for key, digest in trace.ambient.items():
        if key == RESULT_NUMBERS:
            current = numbers_digest(state)
        elif key == ALL_CLASSES:
            current = classes_digest(state)
        elif key == LOADED_MODULES:
            current = modules_digest(state)
        elif key == ALL_VARIABLES:
            current = variables_digest(state)
        elif key == PATCHES:
            continue
        elif key.startswith("env:"):
            current = state.ambient[key].digest if key in state.ambient else outside.variable(key)
        else:
            current = state.ambient[key].digest if key in state.ambient else ""
        if current != digest:
            yield key
    if trace.ambient.get(PATCHES, "") != patches_digest(state, trace.reads):
        now = ", ".join(root[5:].replace(":", ".") for root, _ in _patches(state, trace.reads)[:4])
        yield f"{PATCHES} changed (now {now or 'none'})"
    for key in state.ambient:
        if key not in trace.ambient and not key.startswith(("env:", "rng:")) and concerns(key, trace.reads):
            yield key


def _files(trace: Trace, state: State, outside: Outside) -> Iterable[str]:
    for path, expected in trace.probes.items():
        found = state.files.get(path) or outside.file(path, content=False)
        if found.kind != expected.kind or (found.kind == "file" and found.size != expected.size):
            yield f"file:{path}"
    for path, expected in trace.files.items():
        found = state.files.get(path) or outside.file(path, content=True)
        if (found.kind, found.digest) != (expected.kind, expected.digest):
            yield f"file:{path}"
    for path, listing in trace.listings.items():
        if outside.listing(path, state.files) != listing:
            yield f"folder:{path}"


def label(root: Root) -> str:
    """A root as the user knows it."""
    kind, colon, rest = root.partition(":")
    if not colon:
        return f"name:{root}"
    if kind == "cls":
        return f"class:{rest.rpartition('#')[2] or rest}"
    if kind == "mod":
        return f"module:{rest}"
    if kind == "attr":
        return f"module attribute:{rest.replace(':', '.')}"
    return f"package:{rest}" if kind == "lib" else root


class Choice(NamedTuple):
    """The record to apply, if there is one; else what differs from the nearest one, and that.

    A record whose results lie elsewhere now (``moved``) is a new one; the nearest is where it comes from.
    """

    record: Record | None
    changed: list[str]
    nearest: Record | None = None

    @property
    def reason(self) -> str:
        """Why this choice."""
        if self.record is not None:
            return "trace holds"
        return "no record of this code" if self.changed == ["source"] else sentence(self.changed[0])


def sentence(changed: str) -> str:
    """A difference as words; those of names that are shared or defined differently are words already."""
    return changed if " " in changed else f"{changed} changed"


def choose(
    records: Sequence[Record], state: State, outside: Outside, *, branch: frozenset[str] = frozenset()
) -> Choice:
    """The record to apply (R15) and, if there is none, what differs from the nearest one.

    ``records`` come newest first; those on the current ``branch`` win over the others.
    """
    ordered = sorted(records, key=lambda record: record.id not in branch)
    if not rules.on("R15"):
        ordered = list(reversed(records))
    changed, nearest = ["source"], None
    for record in ordered:
        found = differences(record.trace, state, outside) or unseen_ends(record, state)
        if not found:
            return Choice(record, [])
        elsewhere = moved(record, state)
        if (
            elsewhere is not None
            and holds(elsewhere.trace, state, outside)
            and not unseen_ends(elsewhere, state)
        ):
            return Choice(elsewhere, [], record)
        if nearest is None or len(found) < len(changed):
            changed, nearest = found, record
    return Choice(None, changed, nearest)
