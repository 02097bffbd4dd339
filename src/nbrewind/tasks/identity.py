"""Identity of a task: its code, the content of its arguments, and what else changes its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nbrewind.errors import NotStorable
from nbrewind.flow.code import hash_bytes
from nbrewind.flow.room import with_room
from nbrewind.model import Digest
from nbrewind.tasks.walk import ABSENT, Leaf, TaskWalk, Witnesses, global_value, walked

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Code:
    """What a callable counts as."""

    digest: Digest
    user: bool
    """Whether it reaches code of the notebook or of a local module."""
    settled: bool
    """Whether it reaches only code and immutable atoms."""
    witnesses: Witnesses
    parts: dict[str, Digest]
    """What it is made of, by names for people."""
    packages: frozenset[str]


class CodeCache:
    """Digests of callables, reused while every binding that they rest on is the same object.

    Only closures of code and immutable atoms are kept: containers are digested anew for
    each task.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, Code]] = {}

    def code(self, func: Any, leaves: Mapping[type, Leaf] | None = None) -> Code:
        """What a callable counts as now.

        Raises:
            NotStorable: it reaches something without content.
        """
        known = self._known.get(id(func))
        if known is not None and known[0] is func and _holds(known[1].witnesses):
            return known[1]
        walk = walked(func, leaves)
        code = Code(
            walk.digest(), walk.user, walk.settled, walk.witnesses, walk.parts, frozenset(walk.packages)
        )
        if walk.settled:
            if len(self._known) > 4096:
                self._known.clear()
            self._known[id(func)] = func, code
        return code

    def clear(self) -> None:
        """Forget everything; done at the start of each cell."""
        self._known.clear()


@dataclass(frozen=True, slots=True)
class Values:
    """What arguments count as."""

    digest: Digest
    user: bool
    nodes: set[int]
    walked: bytes
    places: list[tuple[str, int]]
    """Where in it each argument begins."""
    shown: dict[str, str]
    packages: frozenset[str]

    @classmethod
    def of(cls, arguments: Arguments, leaves: Mapping[type, Leaf]) -> Values:
        """What these arguments count as now.

        Raises:
            NotStorable: one has no content.
        """
        walk, places, shown = with_room(lambda: cls._walk(arguments, leaves))
        if walk.opaque or walk.derived:
            raise NotStorable(next(iter(walk.opaque), "its content cannot be compared"))
        buffer = bytes(walk.buf)
        nodes = set(walk.nodes) - walk.named
        return cls(hash_bytes(buffer), walk.user, nodes, buffer, places, shown, frozenset(walk.packages))

    @classmethod
    def _walk(
        cls, arguments: Arguments, leaves: Mapping[type, Leaf]
    ) -> tuple[TaskWalk, list[tuple[str, int]], dict[str, str]]:
        walk = TaskWalk(leaves)
        places: list[tuple[str, int]] = []
        shown: dict[str, str] = {}
        args, kwargs = arguments
        for number, value in enumerate(args):
            cls._add(walk, f"argument {number}", value, places, shown)
        for name, value in kwargs.items():
            walk.text(b"k", name)
            cls._add(walk, f"keyword {name}", value, places, shown)
        return walk, places, shown

    @staticmethod
    def _add(
        walk: TaskWalk, name: str, value: Any, places: list[tuple[str, int]], shown: dict[str, str]
    ) -> None:
        places.append((name, len(walk.buf)))
        if type(value) in _SHOWN:
            shown[name] = repr(value)[:60]
        walk.buf += b"a"
        walk.visit(value)

    def parts(self) -> dict[str, Digest]:
        """Each argument by its place: itself where it is short and plain, else a digest."""
        ends = [*(start for _, start in self.places[1:]), len(self.walked)][: len(self.places)]
        return {
            name: self.shown.get(name) or hash_bytes(self.walked[start:end])[:16]
            for (name, start), end in zip(self.places, ends, strict=True)
        }


_SHOWN = frozenset({bool, int, float, str, bytes, type(None)})


@dataclass(frozen=True, slots=True)
class Identity:
    """The key of one task, and what it was made from."""

    key: Digest
    func: Any
    arguments: Arguments
    code: Code
    values: Values
    rest: dict[str, Digest]
    """What else is in the key: declared inputs, the working folder, options."""
    user: bool
    leaves: Mapping[type, Leaf]
    packages: frozenset[str]
    """Installed packages whose versions count beside the key (R13)."""

    def parts(self) -> dict[str, Digest]:
        """What the key is made of, by names for people."""
        found = {name: digest[:16] for name, digest in self.code.parts.items()} | self.rest
        found["callable"] = self.code.digest[:16]
        return {**found, **self.values.parts()}

    def again(self, *, nodes: bool) -> set[int] | None:
        """Whether all of it is as it was: the addresses of what it reaches (if asked for), else None.

        Looks nothing up in the notebook's namespace, so that it may be called at any time.
        """
        if not _still(self.code.witnesses):
            return None
        bindings = {(id(holder), name): value for holder, name, value in self.code.witnesses}
        found: set[int] = set()
        try:
            if nodes or not self.code.settled:
                walk = walked(self.func, self.leaves, bindings)
                if walk.digest() != self.code.digest:
                    return None
                found |= set(walk.nodes) - walk.named
            values = Values.of(self.arguments, self.leaves)
        except NotStorable:
            return None
        return found | values.nodes if values.digest == self.values.digest else None


def _still(witnesses: Witnesses) -> bool:
    for holder, name, value in witnesses:
        if isinstance(holder, dict):
            now = dict.get(holder, name, ABSENT)
            if now is ABSENT:
                continue  # parked between two cells, or a builtin
        else:
            now = getattr(holder, name, ABSENT)
        if now is not value:
            return False
    return True


def _holds(witnesses: Witnesses) -> bool:
    for holder, name, value in witnesses:
        if isinstance(holder, dict):
            now = global_value(holder, name)
        else:
            try:
                now = getattr(holder, name)
            except (AttributeError, ValueError):
                return False
        if now is not value:
            return False
    return True
