"""After a cell: walks over what it touched, components, links, and the new versions (R1, R2, R4).

Everything here reads live values; it runs before the reply (R11).
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nbrewind import rules
from nbrewind.errors import LeftOut, NotStorable
from nbrewind.flow import lending, logs, losses, singles
from nbrewind.flow.code import hash_parts
from nbrewind.flow.digest import Walk, class_content
from nbrewind.flow.hidden import reloads
from nbrewind.flow.room import deep
from nbrewind.model import Root, State, Version, Whole
from nbrewind.plan.algebra import component_of, expand, is_result, to_symbol, whole_of
from nbrewind.session.keep import Decide, left_out
from nbrewind.session.memory import Memory
from nbrewind.session.modules import get_attribute
from nbrewind.session.tags import PRIVATE
from nbrewind.values import images, parts
from nbrewind.values.pickler import keeps_order


@dataclass(slots=True)
class Observed:
    """What a cell did to the state."""

    versions: dict[Root, Version] = field(default_factory=dict)
    """New versions by absolute root; results by ``_N``."""
    whole: dict[Root, Whole] = field(default_factory=dict)
    unchanged: dict[Root, Version] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Observer:
    """Walks touched components and stores those that changed."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.owner: dict[int, Root] = {}
        self.nodes: dict[Root, list[int]] = {}
        self.digests: dict[Root, str] = {}
        """What the last walk of each root gave, opaque ones included: good for this process only."""
        self.singletons: dict[Root, set[int]] = {}
        """Singletons of packages that each root holds, by address."""
        self.stored = parts.Stored(memory.store.has)

    def observe(
        self,
        values: Mapping[Root, Any],
        *,
        before: State,
        reads: Iterable[Root] = (),
        bound: frozenset[Root],
        mutated: frozenset[Root],
        creator: str,
        record: str,
        count: int,
        taken: Callable[[], Iterable[Root]] = tuple,
        attributes: Iterable[Root] = (),
        save: bool = True,
        private: bool = False,
        reloaded: Mapping[str, str] | None = None,
        leave_out: Decide | None = None,
    ) -> Observed:
        """Walk ``values`` (the touched roots' objects) and all that they are linked to.

        ``reads`` are roots that were touched, deleted ones too; ``bound`` roots were bound by the
        cell (a write even if equal, R1); ``mutated`` ones must count as written although their
        digest may be equal; ``creator`` identifies new classes and handles; ``taken`` gives the
        identities still in use, if there is a new class; of ``private`` cells no value is stored;
        ``reloaded`` are modules loaded again, those of ``before`` by default; ``leave_out`` decides
        about values that running cells again may give as well.
        """
        memory = self.memory
        memory.world.reloads = dict(reloads(before) if reloaded is None else reloaded)
        memory.world.begin_pass(creator, taken)
        touched = {root for root in values if root in before.names and root not in bound} | set(reads)
        attributes = list(attributes)
        reached = expand_classes(before, touched) | set(attributes)
        affected = component_of(before, reached) - bound - (set(reads) - set(values))
        roots: dict[Root, Any] = dict(values)
        for root in sorted(affected):
            if root not in roots:
                self._add(roots, root)
        for root in attributes:
            self._add(roots, root)
        changed = losses.changed()
        holders = self.singletons.items() if changed else ()
        for root in [root for root, held in holders if changed & held and root not in roots]:
            self._add(roots, root)
        asked, known = set(roots), dict(self.digests)
        walks = self._walk(roots)
        # A class made again under its old identity is a new object, however equal: the record brings it.
        bound |= {root for root, taken in memory.world.identities.items() if not taken}
        groups = self._groups(walks)
        observed = Observed()
        for group in groups:
            if all(self._by_chance(root, asked, known) for root in group):
                continue
            self._component(
                group,
                walks,
                roots,
                before,
                bound,
                mutated,
                creator,
                record,
                count,
                save,
                private,
                leave_out,
                observed,
            )
        return observed

    def _add(self, roots: dict[Root, Any], root: Root) -> None:
        memory = self.memory
        if root.startswith("attr:"):
            try:
                roots[root] = get_attribute(root)
            except LookupError:
                return
        elif root.startswith("cls:"):
            found = memory.world.classes.get(root)
            if found is not None and (root not in memory.state.names or memory.is_live(root)):
                roots[root] = found
        elif root in memory.live and memory.is_live(root):
            roots[root] = memory.live[root]

    def _walk(self, roots: dict[Root, Any]) -> dict[Root, Walk]:
        memory = self.memory
        keep: list[Any] = []
        walks: dict[Root, Walk] = {}
        queue = sorted(roots)
        with memory.own_work(), deep():
            while queue:
                root = queue.pop(0)
                if root in walks:
                    continue
                walk = Walk(memory.world, keep)
                if root.startswith("cls:"):
                    class_content(walk, roots[root])
                else:
                    walk.visit(roots[root])
                    if singles.present_context(roots[root]):
                        walk.opaque.setdefault(
                            "it is the present context of decimal, of which a copy is not the same"
                        )
                walks[root] = walk
                for cls in sorted(memory.world.touched_classes - set(roots)):
                    if self._is_of_now(cls):
                        roots[cls] = memory.world.classes[cls]
                        queue.append(cls)
                for neighbour in self._neighbours(walk):
                    if neighbour not in roots:
                        for peer in sorted(component_of(memory.state, [neighbour])):
                            if peer not in roots:
                                self._add(roots, peer)
                                if peer in roots:
                                    queue.append(peer)
        lending.join(walks.values())
        for root, walk in walks.items():
            self._own(root, walk.nodes)
            self.digests[root] = walk.digest()
            self.singletons[root] = walk.singletons
        return walks

    def _is_of_now(self, cls: Root) -> bool:
        """Whether a class that a walk met is as the state says, or was made by this cell.

        An instance that nobody asked for, but which shares objects with what the cell read, may be of a class
        that a restored cell has changed: it is brought up to date when somebody asks for it.
        """
        memory = self.memory
        return cls not in memory.state.names or memory.is_live(cls) or cls in memory.world.identities

    def _neighbours(self, walk: Walk) -> set[Root]:
        """Untouched live roots that own a node met in this walk: a new link to them."""
        found = set(filter(None, map(self.owner.get, walk.nodes)))
        return {root for root in found if root in self.memory.live and self.memory.is_live(root)}

    def changed_by_loggers(self) -> set[Root]:
        """Live roots that have what handlers log to, and are not as they were: nothing shows that."""
        memory, keep = self.memory, list[Any]()
        owners = set(filter(None, map(self.owner.get, logs.holders())))
        found = set()
        with memory.own_work(), deep():
            for root in owners:
                if ":" not in root and root in memory.live and memory.is_live(root):
                    walk = Walk(memory.world, keep)
                    walk.visit(memory.live[root])
                    if walk.digest() != self.digests.get(root):
                        found.add(root)
        return found

    def _by_chance(self, root: Root, asked: set[Root], known: Mapping[Root, str]) -> bool:
        """Whether an untouched root was walked for nothing: a dead object's address is another's now."""
        return root not in asked and not root.startswith("cls:") and known.get(root) == self.digests[root]

    def _own(self, root: Root, nodes: list[int]) -> None:
        known = self.nodes.pop(root, [])
        for node in set(known).difference(nodes) if known != nodes else ():
            if self.owner.get(node) == root:
                del self.owner[node]
        self.nodes[root] = nodes
        self.owner.update(dict.fromkeys(nodes, root))

    def forget(self, root: Root) -> None:
        """A root's objects are gone."""
        self._own(root, [])
        self.digests.pop(root, None)
        self.singletons.pop(root, None)

    @staticmethod
    def _groups(walks: dict[Root, Walk]) -> list[list[Root]]:
        """Roots joined by shared identity-bearing nodes, in sorted order."""
        parent = {root: root for root in walks}

        def find(root: Root) -> Root:
            while parent[root] != root:
                parent[root] = parent[parent[root]]
                root = parent[root]
            return root

        first: dict[int, Root] = {}
        for root in sorted(walks):
            memo = walks[root].memo
            for node in first.keys() & memo.keys():
                parent[find(root)] = find(first[node])
            first = dict.fromkeys(memo, root) | first
        groups: dict[Root, list[Root]] = {}
        for root in sorted(walks):
            groups.setdefault(find(root), []).append(root)
        return list(groups.values())

    def _component(
        self,
        group: list[Root],
        walks: dict[Root, Walk],
        roots: dict[Root, Any],
        before: State,
        bound: frozenset[Root],
        mutated: frozenset[Root],
        creator: str,
        record: str,
        count: int,
        save: bool,
        private: bool,
        leave_out: Decide | None,
        observed: Observed,
    ) -> None:
        links = _links(group, walks)
        digests = {root: walks[root].digest() for root in group}
        reasons = {root: next(iter(walks[root].opaque), "") for root in group}
        for root in group:
            if (
                not reasons[root]
                and not all(keeps_order(items) for items in walks[root].sets)
                and rules.on("R14")
            ):
                reasons[root] = "a set whose iteration order cannot be rebuilt"
        derived = any(walks[root].derived for root in group)
        watched = len(group) > 1 and any(walks[root].weak for root in group)
        opaque = any(reasons.values())
        old = {root: before.names[root] for root in group if root in before.names and root not in bound}
        # What a cell is tagged for stays out of the store, whoever looks at it later.
        private = private or any(version.opaque == PRIVATE for version in old.values())
        if not opaque and not derived and self._unchanged(group, old, digests, links, mutated):
            observed.unchanged.update(old)
            return
        baseline = self.memory.attribute_baseline
        if all(root not in before.names and baseline.get(root) == digests[root] for root in group):
            return  # a helper module's data as its import left it
        observed.whole |= whole_of(before, old)
        unknown = {root for root in group if opaque and reasons[root]}
        if private:
            opaque, reasons = True, dict.fromkeys(group, PRIVATE)
        image = ""
        if not opaque and save:
            try:
                plain = not derived and all(map(_plain_data, group, (walks[root] for root in group)))
                # One record must give all of it again: those before it may be others in another run.
                whole = all(version.image for version in old.values())
                decide = leave_out if plain and whole else None
                image = self._save(group, roots, walks, before, count, decide)
            except LeftOut as error:
                opaque, reasons = True, dict.fromkeys(group, str(error))
            except NotStorable as error:
                opaque, unknown = True, set(group)
                reasons = dict.fromkeys(group, str(error))
        elif not opaque:
            image = "unsaved"
        chain: tuple[str, ...] = (record,)
        if opaque:
            # What was stored before is loaded: only from there on cells have to run again.
            earlier = dict.fromkeys(one for v in old.values() if v.opaque for one in v.chain)
            chain = (*[one for one in earlier if one != record], record)
            named = next(reason for reason in reasons.values() if reason)
            shown = [root for root in group if ":" not in root and not is_result(root)]
            observed.notes.append(f"{', '.join(shown[:4]) or group[0]} cannot be stored: {named}")
        # What comes of it hangs on what it was, and on all that it is joined to, read or not.
        earlier_digests = (f"{to_symbol(root, before.results)} {v.digest}" for root, v in old.items())
        origin = [creator, *sorted(earlier_digests)]
        for root in group:
            walk = walks[root]
            digest = digests[root]
            key = to_symbol(root, before.results, count)
            if root in unknown:
                digest = hash_parts("opaque", *origin, key)
            elif derived and walk.derived:
                digest = hash_parts("derived", *origin, key)
            observed.versions[root] = Version(
                digest=digest,
                image=image,
                root=key if key != root else "",
                deps=tuple(sorted(walk.deps - {root})),
                links=links[root],
                opaque=(reasons[root] or "shares objects with what cannot be stored") if opaque else "",
                chain=chain,
                finaliser=walk.finaliser,
                watched=watched,
                summary=type(roots[root]).__name__ if private else summary(roots[root]),
            )

    @staticmethod
    def _unchanged(
        group: list[Root],
        old: dict[Root, Version],
        digests: dict[Root, str],
        links: dict[Root, dict[Root, str]],
        mutated: frozenset[Root],
    ) -> bool:
        if len(old) != len(group) or mutated.intersection(group):
            return False
        return all(
            (version.image or version.opaque == PRIVATE or left_out(version))
            and version.digest == digests[root]
            and version.links == links[root]
            for root, version in old.items()
        )

    def _save(
        self,
        group: list[Root],
        roots: dict[Root, Any],
        walks: dict[Root, Walk],
        before: State,
        count: int,
        leave_out: Decide | None,
    ) -> str:
        memory = self.memory
        with memory.own_work():
            own = {root: walks[root] for root in group}
            divided = parts.divided({root: roots[root] for root in group}, own)
            values = {to_symbol(root, before.results, count): divided[root] for root in group}
            return images.save(
                values,
                memory.world,
                memory.store.put,
                leave_out,
                self.stored,
                marked=any(walk.marked or singles.MARKED_BY in walk.deps for walk in own.values()),
            )


def expand_classes(state: State, roots: Iterable[Root]) -> set[Root]:
    """Roots and the classes and attributes that they refer to: touching one touches them."""
    return {
        root
        for root in expand(state, roots)
        if not root.startswith(("lib:", "mod:", "attr:")) and root in state.names
    }


def _links(group: list[Root], walks: dict[Root, Walk]) -> dict[Root, dict[Root, str]]:
    """L(a, b) for all pairs of a component (R2)."""
    links: dict[Root, dict[Root, str]] = {root: {} for root in group}
    if len(group) == 1:
        return links
    where: dict[int, list[tuple[Root, int]]] = {}
    for root in group:
        for node, index in walks[root].memo.items():
            where.setdefault(node, []).append((root, index))
    pairs: dict[tuple[Root, Root], list[tuple[int, int]]] = {}
    for owners in where.values():
        for position, (a, i) in enumerate(owners):
            for b, j in owners[position + 1 :]:
                pairs.setdefault((a, b), []).append((i, j))
    for (a, b), shared in pairs.items():
        opaque = walks[a].opaque or walks[b].opaque or walks[a].derived or walks[b].derived
        one = "opaque" if opaque else _pairs_digest(shared)
        other = "opaque" if opaque else _pairs_digest([(j, i) for i, j in shared])
        links[a][b] = one
        links[b][a] = other
    return links


def _pairs_digest(pairs: list[tuple[int, int]]) -> str:
    text = ";".join(f"{i},{j}" for i, j in sorted(pairs))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _plain_data(root: Root, walk: Walk) -> bool:
    """Whether a value made again is as good as the first: no class or function of the notebook is in it."""
    deps_apart = all(dep.startswith("lib:") for dep in walk.deps)
    return deps_apart and ":" not in root and not walk.code and not walk.finaliser and not walk.weak


def summary(value: Any) -> str:
    """Type and shape for viewers; never the user's own ``repr``."""
    name = type(value).__name__
    shape = None
    if str(type(value).__module__).partition(".")[0] in ("numpy", "pandas"):
        with contextlib.suppress(AttributeError, ValueError):  # an iterator at its end has none
            shape = value.shape
    if isinstance(shape, tuple):
        return f"{name} {shape}"
    if issubclass(type(value), int | float | bool | type(None)):
        return f"{name} {value!r}"[:60]
    if issubclass(type(value), str):
        return f"str {value[:40]!r}"
    if type(value) in (list, dict, set, tuple, frozenset, bytes):
        return f"{name} of {len(value)}"
    return name
