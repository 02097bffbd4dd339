"""Ambient items (R7): state of the process that cells read and write without a name.

Items at their baseline (the value at kernel start, or at the import of their module) are
left out of the state, so a notebook that touches none carries none.  The table of items is
in ``items``; what cannot be put back at all is watched by ``hidden``.
"""

from __future__ import annotations

import contextlib
import io
import marshal
import os
import pickle
import re
import sys
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

from nbrewind.errors import NotStorable
from nbrewind.flow.code import hash_parts
from nbrewind.flow.digest import content_digest
from nbrewind.flow.items import Item, items
from nbrewind.flow.names import BASELINES, reference

SECRET = re.compile(
    r"TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|API_?KEY|ACCESS_KEY|PRIVATE|COOKIE|[_:](?:AUTH|PAT)(?:_|$)"
    r"|:(?:AWS_|AZURE_|GOOGLE_APPLICATION|KRB5|SSH_|JPY_|KUBERNETES_|HOSTNAME$)",
    re.IGNORECASE,
)
"""``env:`` and names of variables whose values are never stored: secrets, and what belongs to one site."""


EVERY_NAME = "*"
"""Stands among the variables that a cell read where it asked which there are."""

OWN_VARIABLES = ("NBREWIND_", "JPY_", "PYTEST_")
"""How the names of variables begin that differ from kernel to kernel and are nobody's input."""

_BASE, _BELOW = "\0", "\1"
"""In a stored ``sys.path``: what the process started with; a folder below the notebook's."""


def names_of(environment: Mapping[str, str]) -> str:
    """The names of the variables with which a kernel started, as one text."""
    return "\n".join(sorted(name for name in environment if not name.startswith(OWN_VARIABLES)))


def digest_of(value: Any) -> str:
    """Content digest of an item's value; empty when it has none."""
    try:
        return content_digest(value)
    except NotStorable:
        return ""


class _Freezer(pickle.Pickler):
    """Plain pickling, but for what belongs to the notebook: it may not exist where it is put back."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, FunctionType | type) and reference(obj) is None:
            raise pickle.PicklingError(f"{obj!r} belongs to the notebook")
        return NotImplemented


def freeze(value: Any) -> bytes | None:
    """An item's value as bytes; None where it refers to what no other process has."""
    output = io.BytesIO()
    try:
        _Freezer(output, protocol=5).dump(value)
    except Exception:  # noqa: BLE001 - reducers of any library may fail in any way
        return None
    return output.getvalue()


def _environment() -> dict[Any, Any]:
    """The mapping behind ``os.environ``, whose look-ups are not watched."""
    raw: dict[Any, Any] = os.environ._data  # type: ignore[attr-defined]
    return raw


class Ambient:
    """The ambient items of this process, with their baselines."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.items = items()
        self.base_path = list(sys.path)
        self.base_env: dict[str, str] = {}
        self.baseline: dict[str, str] = {}
        self.baseline_values: dict[str, Any] = {}
        self.env_reads: dict[str, str | None] = {}
        self.env_writes: set[str] = set()
        self.recording = False
        self.seeded: set[str] = set()
        """RNG items whose state at cell start was thrown away by a seed call."""
        self.drawn: set[str] = set()
        """RNG items that were used or looked at before a call threw their state away."""
        self.start: dict[str, str] = {}
        self._last: dict[str, tuple[bytes, str]] = {}
        """Item -> its value as bytes at the last look, and the digest of that value."""
        self._variables_then: tuple[dict[Any, Any], dict[str, str]] = ({}, {})
        """The environment at the last look, and what of it differed from the start."""
        self._undo: list[Callable[[], None]] = []
        self.start_here()
        self.refresh()

    def start_here(self) -> None:
        """The environment as it is now is the one that the process started with."""
        self.base_env.clear()
        self.base_env.update(os.environ)
        self._variables_then = (dict(_environment()), {})

    def add(self, item: Item) -> None:
        """Take in an item that only the kernel knows."""
        self.items.append(item)
        self.refresh()

    def available(self, item: Item) -> bool:
        """Whether the item exists in this process yet."""
        return not item.module or item.module in sys.modules

    def refresh(self) -> None:
        """Take baselines of items that exist since the last look."""
        for item in self.items:
            if item.key not in self.baseline and self.available(item) and not item.random:
                with contextlib.suppress(KeyError, AttributeError):
                    value = item.get()
                    self.baseline[item.key] = digest_of(item.mark(value))
                    self.baseline_values[item.key] = value

    def digest(self, item: Item) -> str:
        """Content digest of an item's value now; one that starts with ``~`` is of this process only.

        Most items stay as they are from cell to cell, so the value's bytes are compared with
        those of the last look before anything is walked.
        """
        value = item.mark(item.get())
        try:
            data = marshal.dumps(value, 2)
        except ValueError:
            return digest_of(value) or "~" + hash_parts(repr(value))
        known = self._last.get(item.key)
        if known is None or known[0] != data:
            known = self._last[item.key] = data, digest_of(value)
        return known[1]

    def snapshot(self, keys: tuple[str, ...] | None = None) -> dict[str, str]:
        """Digests of all items now, cwd, path and changed variables included; or of ``keys`` only."""
        found = {}
        if keys is None:
            found = {item.key: self.digest(item) for item in self.items if self.available(item)}
            found.update(self._variables())
        if keys is None or "cwd" in keys:
            found["cwd"] = hash_parts(self.cwd())
        if keys is None or "sys.path" in keys:
            found["sys.path"] = hash_parts(*self.path_value())
        return found

    def _variables(self) -> dict[str, str]:
        then, found = self._variables_then
        if _environment() == then:
            return found
        found = {}
        for name, value in os.environ.items():
            if self.base_env.get(name) != value:
                found["env:" + name] = hash_parts(value)
        for name in self.base_env:
            if name not in os.environ:
                found["env:" + name] = "absent"
        self._variables_then = (dict(_environment()), found)
        return found

    def cwd(self) -> str:
        """The working folder, relative to the notebook's where it is below it."""
        try:
            current = os.getcwd()
        except FileNotFoundError:
            return "?"
        return os.path.relpath(current, self.root) if (current + "/").startswith(self.root + "/") else current

    def path_value(self) -> list[str]:
        """``sys.path`` with one mark for all that it held at start, so that it can travel.

        Folders below the notebook's are written relative to it.
        """
        base, now = self.base_path, sys.path
        for start in range(len(now) - len(base) + 1):
            if now[start : start + len(base)] == base:
                return [*self._portable(now[:start]), _BASE, *self._portable(now[start + len(base) :])]
        marks = {entry: f"{_BASE}{index}" for index, entry in enumerate(base)}
        return [marks.get(entry) or self._portable([entry])[0] for entry in now]

    def _portable(self, entries: list[str]) -> list[str]:
        inside = self.root + os.sep
        return [
            _BELOW + os.path.relpath(entry, self.root) if f"{entry}{os.sep}".startswith(inside) else entry
            for entry in entries
        ]

    def _path_here(self, value: list[str]) -> list[str]:
        found: list[str] = []
        for entry in value:
            if entry == _BASE:
                found += self.base_path
            elif entry.startswith(_BASE):
                found += self.base_path[int(entry[1:]) :][:1]
            elif entry.startswith(_BELOW):
                found.append(os.path.normpath(os.path.join(self.root, entry[1:])))
            else:
                found.append(entry)
        return found

    def value(self, key: str) -> Any:
        """The value of an item now, as stored."""
        if key == "cwd":
            return self.cwd()
        if key == "sys.path":
            return self.path_value()
        if key.startswith("env:"):
            return os.environ.get(key[4:])
        return next(item for item in self.items if item.key == key).get()

    def put(self, key: str, value: Any) -> None:
        """Bring one item to a stored value."""
        if key == "cwd":
            os.chdir(os.path.join(self.root, value))
        elif key == "sys.path":
            sys.path[:] = self._path_here(value)
        elif key.startswith("env:"):
            if value is None:
                os.environ.pop(key[4:], None)
            else:
                os.environ[key[4:]] = value
        else:
            item = next(item for item in self.items if item.key == key)
            if self.available(item):
                item.put(value)

    def reset(self, key: str) -> None:
        """Bring one item back to its baseline."""
        if key == "cwd":
            os.chdir(self.root)
        elif key == "sys.path":
            sys.path[:] = self.base_path
        elif key.startswith("env:"):
            self.put(key, self.base_env.get(key[4:]))
        elif key in self.baseline_values:
            self.put(key, self.baseline_values[key])

    def is_base(self, key: str, digest: str) -> bool:
        """Whether a digest is the item's baseline."""
        if key == "cwd":
            return digest == hash_parts(".")
        if key == "sys.path":
            return digest == hash_parts(_BASE)
        if key.startswith("env:"):
            base = self.base_env.get(key[4:])
            return digest == ("absent" if base is None else hash_parts(base))
        return self.baseline.get(key) == digest

    def item(self, key: str) -> Item | None:
        """The table's entry, None for cwd, path and variables."""
        return next((item for item in self.items if item.key == key), None)

    def watch_environment(self, is_user: Callable[[], bool]) -> None:
        """Reads of variables raise no event: wrap the mapping's look-up (R7).

        Writes are noted too: one that changes nothing here does where the variable is another.
        """
        kind: Any = type(os.environ)
        original_get, original_has, original_every = kind.__getitem__, kind.__contains__, kind.__iter__
        original_set, original_delete = kind.__setitem__, kind.__delitem__
        ambient = self

        def note(mapping: Any, name: Any) -> None:
            if ambient.recording and isinstance(name, str) and name not in ambient.env_reads and is_user():
                raw = mapping._data.get(mapping.encodekey(name))
                ambient.env_reads[name] = None if raw is None else mapping.decodevalue(raw)

        def getitem(mapping: Any, name: Any) -> Any:
            note(mapping, name)
            return original_get(mapping, name)

        def contains(mapping: Any, name: Any) -> Any:
            note(mapping, name)
            return original_has(mapping, name)

        def every(mapping: Any) -> Any:
            if ambient.recording and EVERY_NAME not in ambient.env_reads and is_user():
                ambient.env_reads[EVERY_NAME] = names_of(ambient.base_env)
            return original_every(mapping)

        def setitem(mapping: Any, name: Any, value: Any) -> None:
            original_set(mapping, name, value)
            if ambient.recording and isinstance(name, str) and is_user():
                ambient.env_writes.add(name)

        def delitem(mapping: Any, name: Any) -> None:
            original_delete(mapping, name)
            if ambient.recording and isinstance(name, str) and is_user():
                ambient.env_writes.add(name)

        kind.__getitem__, kind.__contains__, kind.__iter__ = getitem, contains, every
        kind.__setitem__, kind.__delitem__ = setitem, delitem

        def undo() -> None:
            kind.__getitem__, kind.__contains__, kind.__iter__ = original_get, original_has, original_every
            kind.__setitem__, kind.__delitem__ = original_set, original_delete

        self._undo.append(undo)

    def watch_seeds(self, key: str, module: Any, *names: str) -> None:
        """A seed call throws the generator's state away: it cuts the dependency on it."""

        def note(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if not self.recording or key in self.seeded or args[:1] == (None,) or not (args or kwargs):
                return
            item, before = self.item(key), self.start.get(key, "")
            fresh = not before or (item is not None and self.digest(item) == before)
            (self.seeded if fresh and key not in self.drawn else self.drawn).add(key)

        self._undo += [_before(module, name, note) for name in names]

    def watch_looks(self, key: str, module: Any, name: str) -> None:
        """Asking for a generator's state changes nothing and yet depends on it."""

        def note(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if self.recording and key not in self.seeded:
                self.drawn.add(key)

        self._undo.append(_before(module, name, note))

    def watch_call(self, module: Any, name: str, note: Callable[[], None]) -> None:
        """Have ``note`` called before a module's function is."""
        self._undo.append(_before(module, name, lambda *_: note()))

    def unwatch(self) -> None:
        """Take out everything that was wrapped, the last first."""
        while self._undo:
            self._undo.pop()()

    def begin(self, state: dict[str, str]) -> None:
        """Start to record a cell; ``state`` is the snapshot before it."""
        self.start = state
        self.seeded, self.drawn = set(), set()
        self.env_reads, self.env_writes = {}, set()
        self.recording = True

    def end(self) -> None:
        """Stop recording."""
        self.recording = False


def _before(
    module: Any, name: str, note: Callable[[tuple[Any, ...], dict[str, Any]], None]
) -> Callable[[], None]:
    """Have ``note`` called with the arguments before a module's function is; returns what ends that."""
    original = getattr(module, name)

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        note(args, kwargs)
        return original(*args, **kwargs)

    wrapper.__name__ = wrapper.__qualname__ = name
    wrapper.__module__ = module.__name__
    wrapper.__doc__ = original.__doc__
    setattr(module, name, wrapper)
    baseline = BASELINES.get(module.__name__)
    if baseline is not None:
        baseline[name] = wrapper

    def undo() -> None:
        if getattr(module, name, None) is wrapper:  # else the notebook has put something of its own there
            setattr(module, name, original)

    return undo
