"""Counters that packages keep in plain attributes of their modules and classes: nodes like others (R8).

``control`` names its systems ``sys[0]``, ``sys[1]`` by a number in a class, and many packages do the like:
what a cell makes is called otherwise if cells before it made less.  No code of the notebook sets these.
"""

from __future__ import annotations

import itertools
import re
import sys
from types import ModuleType
from typing import Any

from nbrewind.flow.names import package_of, reference
from nbrewind.session.modules import get_attribute

_WITHOUT = frozenset(
    {"IPython", "PIL", "comm", "dask", "debugpy", "distributed", "ipykernel", "jedi", "jupyter_client", "zmq"}
) | {"matplotlib", "nbrewind", "numpy", "pandas", "parso", "psutil", "pyarrow", "scipy", "sklearn", "tornado"}
"""Packages that are watched in other ways, or belong to the kernel; their numbers are caches."""

_HEAP = 1 << 9


class Counters:
    """What the plain attributes of imported packages were when their import had ended."""

    def __init__(self) -> None:
        self._first: dict[str, dict[str, Any]] = {}
        """Package -> root of an attribute -> what it was."""

    def imported(self, module: ModuleType) -> None:
        """A module's code has run; of a package that is the end of its import."""
        name = module.__name__
        package = package_of(name)
        if package in _WITHOUT or package in sys.stdlib_module_names or package == "__main__":
            return
        if name == package:
            self._first[package] = {}
            inside = [n for n in list(sys.modules) if n == package or n.startswith(package + ".")]
        elif package in self._first:
            inside = [name]
        else:
            return  # the package itself is still being imported
        for one in inside:
            self._first[package].update(_plain(one))

    def changed(self, packages: set[str]) -> dict[str, Any]:
        """Attributes of these packages that are not what they were: root -> value."""
        found: dict[str, Any] = {}
        for package in packages & self._first.keys():
            for root, first in self._first[package].items():
                try:
                    now = get_attribute(root)
                except (LookupError, ImportError):
                    continue
                if now is not first and repr(now) != repr(first):
                    found[root] = now
        return found

    def first(self, root: str) -> Any:
        """What an attribute was.

        Raises:
            LookupError: it is no counter.
        """
        first = self._first[package_of(root[5:].partition(":")[0])][root]
        return first.again() if isinstance(first, _Count) else first


def _plain(name: str) -> dict[str, Any]:
    """The numbers of a module, and of the classes that it defines."""
    held = vars(sys.modules[name]) if isinstance(sys.modules.get(name), ModuleType) else {}
    found = {f"attr:{name}:{key}": value for key, value in _numbers(held)}
    for value in list(held.values()):
        own = issubclass(type(value), type) and value.__module__ == name and value.__flags__ & _HEAP
        if own and reference(value) == (name, value.__qualname__):
            found.update(
                (f"attr:{name}:{value.__qualname__}.{key}", number) for key, number in _numbers(vars(value))
            )
    return found


def _numbers(held: Any) -> list[tuple[str, Any]]:
    return [
        (key, _Count(repr(value)) if type(value) is itertools.count else value)
        for key, value in list(held.items())
        if type(value) in (int, itertools.count) and not key.startswith("__")
    ]


class _Count:
    """Where an ``itertools.count`` stood; copying one is no part of later Pythons."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def again(self) -> itertools.count[int]:
        """Another one that stands there."""
        return itertools.count(*(int(number) for number in re.findall(r"-?\d+", self.text)))
