"""Memory over a namespace that cannot be replaced: touches are found from the code and by comparison.

The reads of a cell are the names in its code and in all functions that it can reach, or every name where that
cannot be said (``flow.static``, ``session.reach``).  What it wrote is seen afterwards: other objects behind
names, other digests of values.  A change of something that the code cannot reach is told, and its record is
never a hit.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any, cast

from nbrewind.flow import static
from nbrewind.flow.digest import Walk, class_content, seed_pinned
from nbrewind.flow.namespace import Namespace
from nbrewind.flow.room import deep
from nbrewind.flow.static import Uses
from nbrewind.flow.world import World
from nbrewind.model import Root, Version
from nbrewind.plan.algebra import BESIDE, component_of, expand, is_result, result_number
from nbrewind.plan.match import label, result_mark
from nbrewind.plan.results import RESULT_NAMES
from nbrewind.session import modules, reach
from nbrewind.session.livenames import IsOwn, LiveNames
from nbrewind.session.memory import CellReads, Memory
from nbrewind.session.observe import Observer
from nbrewind.store import Store

MOST_NODES = 20_000
"""Mutable objects in a value that is compared after cells which do not reach it."""
SET_ORDER = (
    "its sets may be ordered by this kernel's hash seed, which no other process has; "
    "start the kernel with PYTHONHASHSEED=0"
)


class StaticMemory(Memory):
    """The names of a plain dictionary, all of them live."""

    def __init__(self, store: Store, namespace: dict[str, Any], is_own: IsOwn) -> None:
        super().__init__(store)
        # Only its identity is asked for: functions of the notebook have it as their globals.
        self.namespace = cast(Namespace, namespace)
        self.world = World(self.namespace)
        self.names_now = LiveNames(namespace, is_own)
        self.live = cast(dict[Root, Any], self.names_now)
        self.observer: Observer | None = None
        self.cell_uses = Uses()
        """What the cell's own text may touch."""
        self.uses = Uses()
        """The same, with all functions that it can reach."""
        self.packages: set[Root] = set()
        """Packages that the cell imports, as roots."""
        self.failed = False
        """Whether the cell that is being parked ended in an error."""
        self.shown: list[Any] = []
        """Results that the cell displayed."""
        self.held_by_shell: Callable[[], Iterable[Any]] = list
        """References to the user's values that IPython has beside the names."""
        self._ids: dict[str, int] = {}
        self._behind: dict[Root, tuple[tuple[Any, ...], Uses]] = {}
        self._frozen = gc.get_freeze_count()

    # -- what a memory is asked for ------------------------------------------------------------------

    def is_live(self, root: Root) -> bool:
        """All values are."""
        if root.startswith("cls:"):
            return root in self.world.classes
        return root.startswith("attr:") or root in self.live

    def materialise(self, root: Root) -> Any:
        """The object of a root, which is there."""
        return self._object(root)

    def _object(self, root: Root) -> Any:
        if root.startswith("cls:"):
            return self.world.classes[root]
        if root.startswith("attr:"):
            return modules.get_attribute(root)
        return self.live[root]

    def prefault(self, name: str) -> None:
        """Nothing has to be moved in."""

    def names(self) -> list[str]:
        """The user's names in the state, without results."""
        return [name for name in self.state.names if ":" not in name and not is_result(name)]

    # -- before a cell -------------------------------------------------------------------------------

    def look(self, uses: Uses) -> None:
        """Find what a cell of this text can reach in the present state."""
        self.cell_uses = uses
        with self.own_work():
            total = uses | reach.elsewhere(
                self.live_dict, self.live.values, self.held_by_shell, self.world.classes.values
            )
        if gc.get_freeze_count() > self._frozen:
            total |= Uses(doubt="objects were hidden from the collector (gc.freeze)")
        done: set[str] = set()
        while total.calls and not total.doubt and (new := total.loads - done):
            done |= new
            for name in new:
                root = self.resolve(name)
                if root in self._behind:
                    total |= self._behind[root][1]
        if total.loads & static.REPLACED & {*self.state.names, *total.stores}:
            total |= Uses(doubt="a variable has the name of a function that gives access to all names")
        self.uses = total

    @property
    def live_dict(self) -> dict[str, Any]:
        """The namespace itself."""
        return self.names_now.namespace

    def begin(self, *, shims: bool = True) -> CellReads:
        """A cell starts: what it may read counts as read."""
        seen = self.cell = CellReads()
        self.failed, self.shown = False, []
        self._ids = {name: id(value) for name, value in self.live.items()}
        for name in self.uses.loads:
            self._note_read(seen, name)
        if self.uses.doubt:
            self._note_all(seen, self.uses.doubt)
        return seen

    def _note_all(self, seen: CellReads, why: str) -> None:
        seen.reads.update(root for root in self.state.names if ":" not in root)
        seen.reads.add("lib:builtins")  # what cells have added there, by whatever name
        seen.iterated = seen.results = True
        seen.notes.append(f"counts as reading every name: {why}")

    def _note_read(self, seen: CellReads, name: str) -> None:
        own = name in self.live_dict and name not in self.live
        if name in RESULT_NAMES and name not in self.state.names:
            root = self.resolve(name)
            seen.absent.add(result_mark(self.state, name))
            if root is None:
                return
            seen.reads.add(root)
            if self.live_dict.get(name) is not self.live.get(root):
                self._refuse(seen, f"{name} is not what the cells displayed last")
        elif name in self.state.names:
            seen.reads.add(name)
            seen.results = seen.results or is_result(name)
        elif name in ("Out", "_oh") and own:
            seen.results = True
            seen.reads.update(root for root in self.state.names if is_result(root))
        elif not own:
            seen.absent.add(name)

    @staticmethod
    def _refuse(seen: CellReads, why: str) -> None:
        if "unseen" not in seen.flags:
            seen.flags.append("unseen")
            seen.notes.append(f"not restored: {why}")

    # -- after a cell, or between two ----------------------------------------------------------------

    def park(self) -> tuple[CellReads, dict[str, Any]]:
        """What was touched, and the values behind; everything stays where it is."""
        if self.cell is None:
            return self._between()
        seen, self.cell = self.cell, None
        seen.flags.append("static")
        why = self._late_doubt()
        if why and not seen.iterated:
            self._note_all(seen, why)
        if self.uses.hashes and not seed_pinned():
            self._refuse(seen, SET_ORDER)
        stores = self.uses.stores | self._from_stars()
        seen.stored = frozenset(stores)
        self._results_beside()
        self.shown = []
        values: dict[str, Any] = {}
        strange: list[str] = []
        definite = frozenset() if self.failed else self.cell_uses.definite
        for name, value in self.live.items():
            if self._ids.get(name) != id(value):
                values[name] = value
                if name not in stores and not is_result(name):
                    strange.append(name)
            elif name in definite:
                values[name] = value
            elif name in seen.reads or name in stores:
                seen.faulted[name] = id(value)
                values[name] = value
        for name in self._ids:
            if name not in self.live:
                seen.faulted[name] = 0
                if name in self.state.names:
                    seen.reads.add(name)
                if name not in stores and not is_result(name):
                    strange.append(name)
        if seen.iterated:
            strange = []
        strange += self._unforeseen(seen, values)
        if strange:
            self._refuse(seen, f"it changes {', '.join(strange[:4])} in a way that its code does not show")
        return seen, values

    def _late_doubt(self) -> str:
        """Helper modules, those that the cell imported included, may look into the notebook."""
        for name in sorted(modules.local_modules()):
            path = str(getattr(sys.modules.get(name), "__file__", ""))
            try:
                info = os.stat(path)
            except OSError:
                return f"the helper module {name} has no file"
            why = static.doubt_of_file(path, (info.st_mtime_ns, info.st_size))
            if why:
                return why
        return ""

    def _from_stars(self) -> set[str]:
        found: set[str] = set()
        for name in self.uses.stars:
            held = vars(sys.modules[name]) if name in sys.modules else {}
            found.update(held.get("__all__") or (key for key in held if not key.startswith("_")))
        return found

    def _results_beside(self) -> None:
        """A cell that displayed several results: ``__`` and ``___`` reach back to two of them."""
        numbers = [n for name in self.live if (n := result_number(name)) and n < BESIDE]
        if len(self.shown) < 2 or not numbers:
            return
        for distance, value in enumerate(reversed(self.shown[-3:-1])):
            place = len(self.shown[-3:-1]) - distance
            self.names_now.beside[f"_{max(numbers) + place * BESIDE}"] = value

    def _unforeseen(self, seen: CellReads, values: dict[str, Any]) -> list[str]:
        """Components that the code cannot reach and that are not what they were.

        This is a net under the analysis; values of very many objects would cost too much at every cell.
        """
        assert self.observer is not None
        size = {root: len(nodes) for root, nodes in self.observer.nodes.items()}
        reached = expand(self.state, {*seen.reads, *values, *self.packages})
        touched = component_of(self.state, reached)
        small = (root for root in self.state.names if size.get(root, 0) <= MOST_NODES)
        changed = self.changed(root for root in small if root not in touched)
        seen.reads.update(changed)
        return [label(root).partition(":")[2] for root in changed]

    def changed(self, roots: Iterable[Root]) -> list[Root]:
        """Those of the roots whose content is not that of the last look."""
        assert self.observer is not None
        known = self.observer.digests
        found: list[Root] = []
        keep: list[Any] = []
        self.world.touched_classes = set()
        with self.own_work(), deep():
            for root in roots:
                version = self.state.names[root]
                if root not in known or version.opaque or root.startswith(("mod:", "lib:")):
                    continue
                try:
                    value = self._object(root)
                except LookupError:
                    continue
                walk = Walk(self.world, keep)
                if root.startswith("cls:"):
                    class_content(walk, value)
                else:
                    walk.visit(value)
                if walk.digest() != known[root]:
                    found.append(root)
        return found

    def _between(self) -> tuple[CellReads, dict[str, Any]]:
        """What callbacks, silent requests and cells that were not recorded left behind (R11)."""
        seen, values = CellReads(), {}
        state = self.state.names
        new = sorted(n for name in self.live if name not in state and (n := result_number(name)))
        for name, value in self.live.items():
            number = result_number(name)
            if number in new and number != new[0]:
                continue  # one at a time: the order of results counts
            if name not in state or self._ids.get(name, id(value)) != id(value):
                values[name] = value
                self._ids[name] = id(value)
        for name in [name for name in state if ":" not in name and name not in self.live]:
            seen.faulted[name] = 0
            seen.reads.add(name)
        reads = {root for name in self.uses.loads if (root := self.resolve(name)) is not None}
        if self.uses.doubt:
            reads |= {root for root in state if ":" not in root}
        for root in self.changed(r for r in expand(self.state, reads) if r in state and r not in values):
            seen.reads.add(root)
            if root in self.live:
                values[root] = self.live[root]
                seen.faulted[root] = id(values[root])
        return seen, values

    def remember(self) -> None:
        """The state is that of now: note what its values are and which functions stand behind them."""
        assert self.observer is not None
        self._ids = {name: id(value) for name, value in self.live.items()}
        for root in [root for root in self._behind if root not in self.state.names]:
            del self._behind[root]
        for root, version in self.state.names.items():
            if ":" in root or root not in self.live:
                continue
            mark = (self._ids[root], self.observer.digests.get(root), self._of(version))
            if root not in self._behind or self._behind[root][0] != mark:
                self._behind[root] = (mark, reach.behind(self.live[root], self.live_dict))

    def _of(self, version: Version) -> tuple[str, ...]:
        """Classes and patched attributes that a value refers to, as they are."""
        deps = (self.state.names.get(dep) for dep in version.deps)
        return tuple(dep.digest for dep in deps if dep is not None)
