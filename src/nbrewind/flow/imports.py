"""What happens when a module is imported: baselines taken, engines hooked, seeds watched.

A finder at the front of ``sys.meta_path`` lets the ordinary finders find and only adds a
callback after the module's code has run.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from nbrewind.flow.names import BASELINES, LOADED, is_library_path, is_local_module, take_baseline
from nbrewind.flow.stored import StoredText

Callback = Callable[[ModuleType], None]

_UNSEEN = importlib.machinery.SourceFileLoader.exec_module.__code__.co_filename
"""Frames of this file are left out of tracebacks, and not counted by ``warnings.warn(..., stacklevel=2)``."""


class _Made(importlib.abc.Loader):
    """Loads what is there."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.spec = module.__spec__

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        """Importing must not show: it has no spec, as its maker left it."""
        module.__spec__ = self.spec


def _patched(name: str, module: ModuleType) -> dict[str, Any]:
    """Attributes of a module that are not as its last import left them."""
    known = BASELINES.get(name)
    if known is None:
        return {}
    return {key: value for key, value in vars(module).items() if known.get(key, known) is not value}


class ImportWatch:
    """A meta-path finder that calls back after each import."""

    def __init__(self) -> None:
        self.callbacks: dict[str, list[Callback]] = {}
        self.any_callbacks: list[Callback] = []
        self.make_again: Callable[[str], bool] = lambda name: False
        """Rebuilds a module that the notebook made by hand, if it knows one of that name."""
        self.outer: list[str] = []
        """Modules that cells imported since the list was last emptied, but for those that others import."""
        self.reloaded: list[str] = []
        """Modules whose code ran anew since the list was last emptied: what they define are other objects."""
        self.fresh: set[str] = set()
        """Modules whose code ran since then; some packages execute their own twice when they are imported."""
        self.twice: set[str] = set()
        """Those of them whose code ran more than once: had they been loaded before, a reload would show."""
        self.before_reload: Callable[[], None] = lambda: None
        """Loads what refers to the objects that are about to be replaced."""
        self.around: tuple[Callable[[], None], Callable[[], None]] | None = None
        """Called before a cell's import and after any, but for imports that other imports cause."""
        self.by_cell: Callable[[], bool] = lambda: True
        """Whether the import under way is a cell's doing, and not the front end's."""
        self._under_way = threading.local()
        self._finding: set[str] = set()

    def begin(self) -> None:
        """A cell starts."""
        self.outer.clear()
        self.reloaded.clear()
        self.fresh.clear()
        self.twice.clear()

    def install(self) -> None:
        """Put the finder in front; idempotent."""
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def remove(self) -> None:
        """Take the finder out; loaders that it wrapped load as ever."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def when(self, name: str, callback: Callback) -> None:
        """Call ``callback(module)`` once ``name`` is imported, now if it already is."""
        module = sys.modules.get(name)
        if module is not None:
            callback(module)
        else:
            self.callbacks.setdefault(name, []).append(callback)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find as the others would, and wrap the loader."""
        if fullname in self._finding:
            return None
        self._finding.add(fullname)
        try:
            for finder in sys.meta_path:
                if finder is self:
                    continue
                spec = finder.find_spec(fullname, path, target)
                if spec is not None:
                    break
            else:
                # Only `reload` names a target: it looks for a file, and there is none.
                return self._by_hand(fullname) if target is None else None
        finally:
            self._finding.discard(fullname)
        loader: Any = spec.loader
        if loader is not None and hasattr(loader, "exec_module"):
            original = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                if self not in sys.meta_path:
                    original(module)
                    return
                again = fullname in BASELINES and fullname not in self.fresh
                if again and self.by_cell():
                    self.before_reload()
                    self.reloaded.append(fullname)
                if fullname in self.fresh:
                    self.twice.add(fullname)
                self.fresh.add(fullname)
                self._note_text(fullname, spec.origin, loader)
                patched = _patched(fullname, module)
                if not isinstance(loader, type):
                    # A loader is a value of its module: what others pickle must not reach us.
                    del loader.exec_module
                with self._importing(fullname):
                    original(module)
                if fullname in BASELINES:
                    # What cells had set stays theirs, unless the module's code has just set it anew.
                    now = vars(module).items()
                    BASELINES[fullname] = {k: v for k, v in now if patched.get(k, module) is not v}
                self._imported(module)

            exec_module.__code__ = exec_module.__code__.replace(co_filename=_UNSEEN)
            try:
                loader.exec_module = exec_module
            except AttributeError:
                return spec
        return spec

    @staticmethod
    def _note_text(name: str, path: str | None, loader: object) -> None:
        LOADED.pop(name, None)
        if isinstance(loader, StoredText):
            LOADED[name] = loader.text
        elif path and path.endswith(".py") and not is_library_path(path):
            with contextlib.suppress(OSError):
                LOADED[name] = Path(path).read_bytes()

    @contextlib.contextmanager
    def _importing(self, name: str) -> Iterator[None]:
        """Note an import that no installed module's import caused; what a helper file imports counts too."""
        installed = not is_local_module(name)
        above: list[str] = self._under_way.__dict__.setdefault("names", [])
        outermost = not above
        if outermost and self.by_cell():
            self.outer.append(name)
            if self.around is not None:
                self.around[0]()
        if installed:
            above.append(name)
        try:
            yield
        finally:
            if installed:
                above.pop()
            if outermost and self.around is not None:
                self.around[1]()

    def _by_hand(self, name: str) -> importlib.machinery.ModuleSpec | None:
        """A module that a restored cell made and put into ``sys.modules`` itself."""
        if not self.make_again(name) or name not in sys.modules:
            return None
        return importlib.machinery.ModuleSpec(name, _Made(sys.modules[name]))

    def _imported(self, module: ModuleType) -> None:
        take_baseline(module)
        for callback in self.any_callbacks:
            callback(module)
        for callback in self.callbacks.pop(module.__name__, []):
            callback(module)
