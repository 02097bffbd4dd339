"""Classes of packages that calls into packages change: what they put there is a node like others (R8).

``seaborn.color_palette("flare", as_cmap=True)`` gives all of matplotlib's colour maps another display, and a
decorator of pandas gives its frames another attribute. No code of the notebook sets these.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import FunctionType, ModuleType
from typing import Any

from nbrewind.flow.classes import CLASS_NOISE
from nbrewind.flow.names import package_of, reference
from nbrewind.model import Root
from nbrewind.session import modules

_WITHOUT = frozenset(
    {"IPython", "comm", "dask", "debugpy", "distributed", "ipykernel", "jedi", "jupyter_client", "nbrewind"}
) | {"jupyter_core", "parso", "parsl", "psutil", "ray", "tornado", "traitlets", "zmq", "__main__"}
"""Packages of the kernel, and engines, whose adapters change their classes."""

_HEAP = 1 << 9


class _Watched:
    """A class and what it held when it was last looked at."""

    __slots__ = ("cls", "held", "names", "values")

    def __init__(self, cls: type) -> None:
        self.cls = cls
        self.held = cls.__dict__
        self.look()

    def look(self) -> None:
        """What it holds now is known."""
        self.names, self.values = tuple(self.held), tuple(self.held.values())

    def same(self) -> bool:
        """Whether it holds the same behaviour still: functions and the like are equal to themselves alone.

        There are thousands of classes, so tuples are compared, which is done in C.
        """
        try:
            return len(self.held) == len(self.values) and tuple(self.held.values()) == self.values
        except Exception:  # noqa: BLE001 - data that cannot be compared has taken another's place
            return False


class Patches:
    """Compares classes of imported packages with what they were after the cell before."""

    def __init__(self) -> None:
        self._known: dict[str, dict[int, _Watched]] = {}
        """Package -> its classes, by address."""
        self._pending: set[Root] = set()

    def imported(self, module: ModuleType) -> None:
        """A module's code has run; of a package that is the end of its import."""
        package = package_of(module.__name__)
        if package in _WITHOUT or package in sys.stdlib_module_names:
            return
        if module.__name__ == package:
            self._known[package] = {}
            self._take(package, _modules_of(package))
        elif package in self._known:
            self._take(package, [module])

    def _take(self, package: str, found: Iterable[ModuleType]) -> None:
        known = self._known[package]
        for module in found:
            for value in list(vars(module).values()):
                new = issubclass(type(value), type) and value.__flags__ & _HEAP and id(value) not in known
                if new and package_of(str(value.__module__)) == package:
                    known[id(value)] = _Watched(value)

    def before_import(self) -> None:
        """A cell imports: what it did so far is its own doing, what the import does comes with the import."""
        self._pending |= self._differing()

    def after_import(self) -> None:
        """What an import has changed is done again by importing."""
        self._differing()

    def settle(self) -> None:
        """A cell begins: attributes that were put back for it are not its own doing."""
        for cls in modules.SET:
            watched = self._known.get(package_of(str(cls.__module__)), {}).get(id(cls))
            if watched is not None:
                watched.look()
        modules.SET.clear()
        self._pending.clear()

    def changed(self, packages: set[str]) -> set[Root]:
        """Attributes that were put into classes since the cell began, if it uses any of the packages."""
        found = self._pending
        if not self._known.keys().isdisjoint(packages):
            found = found | self._differing()
        self._pending = set()
        return found

    def _differing(self) -> set[Root]:
        found: set[Root] = set()
        for known in self._known.values():
            for watched in known.values():
                if not watched.same():
                    found |= _news(watched)
        return found


def _modules_of(package: str) -> list[ModuleType]:
    begin = package + "."
    return [
        module
        for name, module in list(sys.modules.items())
        if (name == package or name.startswith(begin)) and isinstance(module, ModuleType)
    ]


def _news(watched: _Watched) -> set[Root]:
    """What a class has got that makes its instances do something else, as roots; it is known now."""
    cls = watched.cls
    first = dict(zip(watched.names, watched.values, strict=True))
    watched.look()
    if reference(cls) is None:
        return set()
    place = f"{cls.__module__}:{cls.__qualname__}"
    found = {
        f"attr:{place}.{key}"
        for key, value in zip(watched.names, watched.values, strict=True)
        if first.get(key, first) is not value and key not in CLASS_NOISE and _acts(value)
    }
    if found:
        modules.remember_class(place, first)
    return found


def _acts(value: Any) -> bool:
    """Whether an attribute is behaviour, and not a cache or a counter."""
    return isinstance(value, FunctionType | type) or hasattr(type(value), "__get__")
