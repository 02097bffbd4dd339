"""Live and parked values of one process (R10), and the tracker behind its namespace.

``state`` says what every root is; ``live`` holds the parked objects of those that are in
memory, ``held`` the version each of them is at.  A root of the state that is not live at
its version is *lazy*: the first touch loads its whole component.
"""

from __future__ import annotations

import builtins
import contextlib
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from itertools import filterfalse
from types import CodeType, FunctionType
from typing import Any

from nbrewind import rules
from nbrewind.errors import MissingObject, NBRewindError, NotStorable, RecomputeFailed
from nbrewind.flow import code as codes
from nbrewind.flow.namespace import Namespace
from nbrewind.flow.world import World
from nbrewind.model import Root, State, Version
from nbrewind.plan.algebra import (
    BESIDE,
    component_of,
    expand,
    is_result,
    own_results,
    result_number,
)
from nbrewind.plan.match import result_mark
from nbrewind.plan.results import RESULT_NAMES, meaning
from nbrewind.session.keep import left_out
from nbrewind.session.modules import get_attribute, put_attribute
from nbrewind.store import Store
from nbrewind.values import images

_GONE: Any = object()
_HISTORY = ("_i", "_ii", "_iii", "In", "_ih")


PATIENCE = 5.0
"""Seconds that a thread waits for another one's load before it loads on its own."""


class _ThisThread(threading.local):
    """What the present thread does."""

    quiet = 0
    """Own work (loading) in progress: nothing it touches is a read."""
    peeked: set[str] | None = None
    """Names that IPython's prefilter looks up: it must neither read nor load them."""

    @contextlib.contextmanager
    def own_work(self) -> Iterator[None]:
        """While it is open, nothing that this thread touches is a read."""
        self.quiet += 1
        try:
            yield
        finally:
            self.quiet -= 1


class CellReads:
    """What one cell touched in the namespace."""

    def __init__(self) -> None:
        self.reads: set[Root] = set()
        self.absent: set[str] = set()
        self.faulted: dict[str, int] = {}
        """Name -> id of the value that was moved in."""
        self.iterated = False
        self.position = False
        """Whether the cell looked at its place in the history (``In``, ``_i``)."""
        self.results = False
        """Whether it looked at the numbers of displayed results (``Out``, ``_5``)."""
        self.shown = 0
        """The execution count of the cell, once it has displayed a result."""
        self.early = 0
        """How many results it displayed while IPython moved its names for them on."""
        self.shims = True
        """Whether builtins may be put into the namespace for speed."""
        self.ends = True
        """Whether values that the code drops must be there to be finalised, or seen to go (R14)."""
        self.bare: set[str] = set()
        """Names that the code deletes: ``del`` would find a builtin put there."""
        self.stored: frozenset[str] = frozenset()
        """Names that functions of the cell may have bound anew, where that is known from their text only."""
        self.flags: list[str] = []
        """What the record should say of the way in which it was made."""
        self.notes: list[str] = []


class Memory:
    """The namespace's tracker: faults values in, loads components, parks them again."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.namespace = Namespace(self)
        self.world = World(self.namespace)
        self.state = State()
        self.live: dict[Root, Any] = {}
        self.held: dict[Root, Version] = {}
        self.pinned: dict[str, Any] = {}
        self._inputs: set[str] = set()
        """``_i1``, ``_i2``...: one more for each cell."""
        self.cell: CellReads | None = None
        self.between = CellReads()
        self.lock = threading.RLock()
        """Held while values are loaded."""
        self.loading: set[Root] = set()
        """Classes that are being loaded: they may refer to themselves."""
        self.within: set[Root] = set()
        """Classes that are loaded within their own loading."""
        self._moving = threading.RLock()
        """Held for moments: names are moved in and parked one after the other (R11)."""
        self.thread = _ThisThread()
        self.suspend: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
        """Stops all other recording (files, ambient) while values are loaded."""
        self.rebuild: Callable[[Root], None] | None = None
        """Rebuilds an opaque root by recomputation (R5)."""
        self.graveyard: list[Any] = []
        """Values with finalisers that we dropped: their ``__del__`` must not run now."""
        self.loaded: list[Root] = []
        self.attribute_baseline: dict[Root, str] = {}
        """Digests of local modules' data as it was at import."""
        self.rebuild_handle_with: Callable[[str, str, Any], Any] | None = None

    # -- the tracker's side of the namespace ---------------------------------------------

    def fault(self, name: str) -> Any:
        """Move a parked value in; a read. Raises KeyError if the name is absent.

        Only loading takes the lock: a thread that asks for an absent name (as starting a process
        asks for ``__main__.__file__``) or for a live value never waits for a load.
        """
        root = self.resolve(name)
        if self.thread.peeked is not None:
            self.thread.peeked.add(name)
            if root is None:
                raise KeyError(name)
            return None
        if root is None:
            return self._absent(name, self.cell or self.between)
        if not self._not_deleted(name):
            raise KeyError(name)
        if self.is_fresh(root):
            value = self._object(root)
        else:
            value = self._brought(root)
        if self.thread.quiet or self._move_in(name, root, value):
            return value
        return self.fault(name)  # a cell began or ended meanwhile

    def _brought(self, root: Root) -> Any:
        """A value that was parked; who did not get it has no record to hit, even if it caught that."""
        seen = self.cell or self.between
        try:
            with self._loading_lock():
                return self.materialise(root)
        except NBRewindError as error:
            seen.flags.append("unseen")
            seen.notes.append(f"not restored: {error}")
            raise

    @contextlib.contextmanager
    def _loading_lock(self) -> Iterator[None]:
        """One load at a time, unless the one under way may be waiting for this very thread.

        Loading runs the user's ``__setstate__``, which may join a thread that reads another name.
        """
        lock = self.lock
        owned = lock.acquire(timeout=PATIENCE)
        try:
            yield
        finally:
            if owned:
                lock.release()

    def _absent(self, name: str, seen: CellReads) -> Any:
        if name in RESULT_NAMES and meaning(self.state, name) == "" and self._not_deleted(name):
            return self._no_result(name, seen)
        if not self.thread.quiet:
            self._note_absent(name, seen)
        if seen.shims and self.cell is not None and name not in seen.bare and hasattr(builtins, name):
            return self.namespace.shim(name)
        raise KeyError(name)

    def _note_absent(self, name: str, seen: CellReads) -> None:
        seen.absent.add(result_mark(self.state, name) if name in RESULT_NAMES else name)

    def displayed(self, count: int) -> None:
        """A result is about to be bound; names that IPython moves on mean something else from now on."""
        seen, namespace = self.cell, self.namespace
        if seen is None:
            return
        touched = [n for n in RESULT_NAMES if n in seen.faulted or dict.__contains__(namespace, n)]
        if all(seen.faulted.get(name) == id(dict.get(namespace, name)) for name in touched):
            seen.early += 1
            for name in touched:
                if name not in self.state.names:
                    seen.absent.add(result_mark(self.state, name))
                    dict.__delitem__(namespace, name)
                    del seen.faulted[name]
        seen.shown = count

    def _no_result(self, name: str, seen: CellReads) -> str:
        """IPython's ``_`` before there is a result: the empty string."""
        if not self.thread.quiet:
            with self._moving:
                seen.absent.add(name)
                dict.__setitem__(self.namespace, name, "")
                seen.faulted[name] = id("")
        return ""

    def _move_in(self, name: str, root: Root, value: Any) -> bool:
        """Put a value where the interpreter finds it; False if it is not the root's value any more."""
        with self._moving:
            if value is not self.live.get(root, self) and value is not dict.get(self.namespace, root, self):
                return False
            seen = self.cell or self.between
            seen.reads.add(root)
            if is_result(name):
                self.look_at_results()
            dict.__setitem__(self.namespace, name, value)
            seen.faulted[name] = id(value)
            if name == root:
                self.live.pop(root, None)
        if type(value) is FunctionType:
            self.prefault_code(value.__code__)
        return True

    def look_at_results(self) -> None:
        """Somebody asks for results by number, or which numbers there are; a read of the numbers."""
        if not self.thread.quiet and self.cell is not None:
            self.cell.results = True

    def prefault_code(self, code: CodeType) -> None:
        """Move in what code looks up past ``__missing__``, and values whose end can be seen (R14).

        Builtins are kept away from what it deletes.
        """
        seen = self.cell or self.between
        for name in codes.deleted_names(code):
            seen.bare.add(name)
            self.namespace.drop_shim(name)
        wanted: Iterable[str] = codes.prefault_names(code)
        if seen.ends and rules.on("R14"):
            names = self.state.names
            stored = (name for name in codes.stored_names(code) if name in names)
            wanted = [*wanted, *(name for name in stored if names[name].finaliser or names[name].watched)]
        if codes.deletes_by_key(code):
            wanted = (*wanted, *self.parked_names())
        for name in wanted:
            self.prefault(name)

    def prefault(self, name: str) -> None:
        """Move a name in that the interpreter would look up past ``__missing__``; a read."""
        if not dict.__contains__(self.namespace, name):
            with contextlib.suppress(KeyError):
                self.fault(name)

    def resolve(self, name: str) -> Root | None:
        """The root behind a name of the namespace, None if it is absent."""
        if name in self.state.names or name in self.live:
            return name
        return self._result(name) if name in RESULT_NAMES else None

    def _result(self, name: str) -> Root | None:
        """The result that one of IPython's names stands for now, the cell's own ones included."""
        seen, state = self.cell, self.state
        if seen is not None and seen.early and state.put is None:
            own = [root for root in own_results(seen.shown) if dict.__contains__(self.namespace, root)]
            known = [f"_{number}" for number in state.results if number != seen.shown] + own[: seen.early]
            return known[-RESULT_NAMES[name]] if len(known) >= RESULT_NAMES[name] else None
        return meaning(state, name) or None

    def present(self, name: str) -> bool:
        """Whether a parked name exists; a read of its presence."""
        if not self._not_deleted(name):
            return False
        root = self.resolve(name)
        seen = self.cell or self.between
        if not self.thread.quiet:
            if root is not None:
                self.prefault(name)
            else:
                self._note_absent(name, seen)
        return root is not None or (name in RESULT_NAMES and meaning(self.state, name) == "")

    def parked_names(self) -> list[str]:
        """All parked names; a read of the set of names."""
        if not self.thread.quiet and self.cell is not None:
            self.cell.iterated = self.cell.results = True
        unders = [n for n in RESULT_NAMES if meaning(self.state, n) is not None and self._not_deleted(n)]
        names = [*unders, *self.names()]
        return [name for name in names if not dict.__contains__(self.namespace, name)]

    def in_order(self, names: list[str]) -> list[str]:
        """Names as a plain namespace would iterate them: as they were bound, IPython's own first."""
        known = {name: place for place, name in enumerate(self.state.names)}
        first = {*self.pinned, *_HISTORY, *RESULT_NAMES}
        return sorted(names, key=lambda name: -1 if name in first else known.get(name, len(known)))

    def names(self) -> list[str]:
        """Parked user names, without reading anything."""
        return [
            name
            for name in self.state.names
            if ":" not in name and (result_number(name) or 0) < BESIDE and self._not_deleted(name)
        ]

    def _not_deleted(self, name: str) -> bool:
        with self._moving:
            seen = self.cell or self.between
            return name not in seen.faulted or dict.__contains__(self.namespace, name)

    def discard(self, name: str) -> None:
        """Somebody takes a name out: it counts as read and deleted, also where it was just bound anew."""
        self.prefault(name)
        if name in self.state.names:
            (self.cell or self.between).faulted.setdefault(name, 0)

    # -- loading ---------------------------------------------------------------------------

    def is_live(self, root: Root) -> bool:
        """Whether the object of a root is in memory at the version of the state."""
        version = self.state.names.get(root)
        held = self.held.get(root)
        if version is None or held is None:
            return root in self.live and version is None
        if not same(held, version):
            return False
        if root.startswith("cls:"):
            return root in self.world.classes
        if root.startswith("attr:"):
            return True
        return root in self.live or dict.__contains__(self.namespace, root)

    def materialise(self, root: Root) -> Any:
        """The object of a root, loaded or rebuilt if need be, with all it refers to fresh."""
        version = self.state.names.get(root)
        if version is None:
            return self.live[root]
        if not self.is_live(root):
            self._bring(root, version)
        for dep in expand(self.state, version.deps):
            if dep.startswith("cls:") and dep in self.state.names and not self.is_live(dep):
                self._bring(dep, self.state.names[dep])
        if not self.is_live(root):  # one of its classes is another object now
            self._bring(root, version)
        return self._object(root)

    def is_fresh(self, root: Root) -> bool:
        """Whether a root and the classes that it needs are in memory as the state wants them."""
        version = self.state.names.get(root)
        if version is None or not self.is_live(root):
            return version is None
        wanted = (dep for dep in expand(self.state, version.deps) if dep.startswith("cls:"))
        return all(dep not in self.state.names or self.is_live(dep) for dep in wanted)

    def _object(self, root: Root) -> Any:
        if root.startswith("cls:"):
            return self.world.classes[root]
        if root.startswith("attr:"):
            return get_attribute(root)
        # Another thread may move it from the one to the other meanwhile: look there again.
        for place in (self.live, self.namespace, self.live):
            if dict.__contains__(place, root):
                with contextlib.suppress(KeyError):
                    return dict.__getitem__(place, root)
        raise RecomputeFailed(f"{root} was removed by another thread while it was read.")

    def _bring(self, root: Root, version: Version) -> None:
        if version.image:
            try:
                # Equal results of two runs of a cell have one image, and yet are two objects.
                self.load(version.image, component_of(self.state, [root]) if rules.on("R10") else {root})
                return
            except (NotStorable, MissingObject) as error:
                reason = str(error)
        else:
            reason = version.opaque
        if self.rebuild is None or not rules.on("R5"):
            raise RecomputeFailed(f"{root} cannot be restored ({reason}) and nothing here can rebuild it.")
        self.rebuild(root)
        if not self.is_live(root):
            raise RecomputeFailed(
                f"{root} cannot be restored ({reason}); running its cells again did not rebuild it."
            )

    def load(self, image: str, wanted: Collection[Root]) -> None:
        """Load a component; install only ``wanted`` roots that are lazy and still point to it (R1)."""
        # What the image's own classes lead to may ask for them while it is loaded: they come with it.
        coming = {root for root in wanted if root.startswith("cls:")} - self.loading
        self.loading |= coming
        installed = len(self.loaded)
        try:
            with self.own_work():
                values = images.load(self.store.get(image), self, self.store.join)
        finally:
            self.loading -= coming
        meanwhile = set(self.loaded[installed:])
        roots = {
            root: version
            for root, version in self.state.names.items()
            if version.image == image and root in wanted
        }
        try:
            for root, version in roots.items():
                key = version.root or root
                if key in values and (not self.is_live(root) or root.startswith("cls:") or root in meanwhile):
                    self._install(root, version, values[key])
        except BaseException:  # an interrupt: none of it is live rather than half
            for root in roots:
                self.held.pop(root, None)
                self.live.pop(root, None)
            raise

    def _install(self, root: Root, version: Version, value: Any) -> None:
        self.loaded.append(root)
        if root.startswith("attr:"):
            put_attribute(root, value)
        elif not root.startswith("cls:"):
            self.live[root] = value
        self.held[root] = version

    def own_work(self) -> contextlib.ExitStack:
        """While it is open, nothing counts as a read of the notebook."""
        stack = contextlib.ExitStack()
        stack.enter_context(self.suspend())
        stack.enter_context(self.thread.own_work())
        return stack

    # -- the load context (values.builders) -------------------------------------------------

    def class_of(self, root: Root) -> type:
        """The class object of an identity, at the version of the state.

        A metaclass may hold instances of a class that is made from it: asked for by the first, which exists
        by then, the second is loaded within its own loading.
        """
        circular = root in self.loading and root not in self.world.classes and root not in self.within
        if root in self.state.names and not self.is_live(root) and (root not in self.loading or circular):
            underway = self.within if circular else self.loading
            underway.add(root)
            try:
                self._bring(root, self.state.names[root])
            finally:
                underway.discard(root)
        found = self.world.classes.get(root)
        if found is None:
            raise NotStorable(f"its class {root.rpartition('#')[2]} is not known here")
        return found

    def existing_class(self, root: Root) -> type | None:
        """The class object of an identity, whatever its version."""
        return self.world.classes.get(root)

    def register_class(self, root: Root, cls: type) -> None:
        """A class was made again."""
        self.world.register_class(root, cls)

    def rebuild_handle(self, identity: str, kind: str, recipe: Any) -> Any:
        """The one handle of an identity."""
        found = self.world.known_handle(identity)
        if found is None:
            if self.rebuild_handle_with is None:
                raise NotStorable(f"no engine here can rebuild a {kind}")
            found = self.rebuild_handle_with(identity, kind, recipe)
            self.world.register_handle(identity, found)
        return found

    # -- parking -----------------------------------------------------------------------------

    def begin(self, *, shims: bool = True) -> CellReads:
        """A cell starts: the namespace is empty but for IPython's own names."""
        with self._moving:
            looked_at = self.user_values() if self.between.faulted else {}
            for name, value in looked_at.items():
                if self.between.faulted.get(name) == id(value):  # another thread looked at it just now
                    self.live[name] = self._take(name)
                    del self.between.faulted[name]
            self.cell = CellReads()
            self.cell.shims = shims
            return self.cell

    def user_values(self) -> dict[str, Any]:
        """Names that are in the dict and belong to the user."""
        found = {}
        inputs, pinned, shims = self._inputs, self.pinned, self.namespace.shims
        # The texts of all cells before are there too, so that they are passed over at C's speed.
        for name in filterfalse(inputs.__contains__, list(dict.keys(self.namespace))):
            value = dict.get(self.namespace, name, _GONE)
            if value is _GONE or (name in shims and shims[name] is value):
                continue
            if name in pinned:
                if pinned[name] is value or name.startswith(_HISTORY):
                    continue
            elif name in _HISTORY or name == "__warningregistry__":
                continue
            elif name.startswith("_i") and name[2:].isdigit():
                inputs.add(name)
                continue
            found[name] = value
        return found

    def park(self) -> tuple[CellReads, dict[str, Any]]:
        """The cell, or the time between two, is over: what was touched, and the user's values by name.

        The namespace is empty then; whoever asks for a name from now on begins a new period.
        """
        with self._moving:
            seen = self.cell or self.between
            if self.cell is not None:
                self.cell = None
            else:
                self.between = CellReads()
            self.namespace.drop_shims()
            values = {name: self._take(name) for name in self.user_values()}
            self.live.update((name, value) for name, value in values.items() if name not in RESULT_NAMES)
            return seen, values

    def _take(self, name: str) -> Any:
        value = dict.pop(self.namespace, name)
        if name in self.pinned:
            dict.__setitem__(self.namespace, name, self.pinned[name])
        return value

    def drop(self, root: Root) -> None:
        """Forget a live value without running its finaliser (R14)."""
        version = self.held.pop(root, None)
        if version is not None and root.startswith("attr:"):
            # Its module still has it, as no version that a state wants: `Process.bring` puts that right.
            self.held[root] = replace(version, digest="", image="")
        value = self.live.pop(root, None)
        if value is not None and (version is None or version.finaliser) and rules.on("R14"):
            self.graveyard.append(value)

    def leave_alive(self) -> None:
        """Values that were dropped and are back, as after a recomputation: they end when their names do."""
        alive = {id(value) for value in (*self.live.values(), *dict.values(self.namespace))}
        self.graveyard = [value for value in self.graveyard if id(value) not in alive]

    def become(self, state: State) -> None:
        """Take another state: components that are whole in memory at their version are kept (R10)."""
        self.state = state
        for root in list(self.live):
            version, held = state.names.get(root), self.held.get(root)
            if version is None or held is None or not same(held, version):
                self.drop(root)
        # After `b = a; b = []` and back, `a` is at its version but its `b` is gone: both come from the image.
        gone = [root for root, version in state.names.items() if version.links and not self.is_live(root)]
        for root in component_of(state, gone):
            self.drop(root)
        self._drop_users_of_gone_classes()

    def _drop_users_of_gone_classes(self) -> None:
        """Running cells again makes another object of a class: who refers to the old one comes after that."""
        names = self.state.names
        gone = {
            root
            for root in self.world.classes
            if root in names and not names[root].image and not self.is_live(root)
        }
        self.drop_users(gone)

    def drop_users(self, classes: set[Root]) -> set[Root]:
        """Forget live values of classes that are others now, with all that they share with; gives these."""
        users = [root for root in self.live if classes & expand(self.state, {root})] if classes else []
        gone = component_of(self.state, users)
        for root in gone:
            self.drop(root)
        return gone

    def is_user_root(self, root: Root) -> bool:
        """Whether a root is a plain name of the user."""
        return ":" not in root and not is_result(root)


def same(held: Version, wanted: Version) -> bool:
    """Whether a live object at ``held`` may stand for ``wanted``."""
    if held.image != wanted.image or held.digest != wanted.digest:
        return False
    # Two values left out may be equal, and yet each shares objects with others: their cells tell them apart.
    return bool(held.image) or not left_out(wanted) or held.chain == wanted.chain


def take_aliases(seen: CellReads, values: dict[str, Any], before: State) -> set[str]:
    """Take IPython's own names for results out of ``values``, as reads; those of them that were deleted."""
    deleted = set()
    for name in RESULT_NAMES:
        if name not in seen.faulted or name in before.names:
            continue
        seen.absent.add(result_mark(before, name))
        root = meaning(before, name)
        if root:
            seen.reads.add(root)
        if name not in values:
            deleted.add(name)
        elif id(values[name]) == seen.faulted[name]:
            del values[name]
    return deleted
