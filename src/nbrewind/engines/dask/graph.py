"""Identity of a Dask graph: every node by content, children by position, never by Dask's keys.

Dask's keys are random, too narrow or bound to a file name; ours are Merkle hashes.  A
node's *base* covers its callable and its arguments with children numbered by position.
From it come three digests: *deep* (children by their deep digests: known at once),
*content* (children by the digests of their results) and *shape* (as content, with
results that are not known yet left open).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dask._task_spec import Alias, DataNode, GraphNode, NestedContainer, Task, TaskRef, convert_legacy_graph
from dask.core import flatten

from nbrewind.errors import NotStorable
from nbrewind.flow.code import hash_parts
from nbrewind.model import Digest, TaskEntry
from nbrewind.tasks.context import CellTasks, TaskContext, Ticket
from nbrewind.tasks.walk import TaskWalk, walked

Fate = Literal["glue", "plain", "served", "run", "deferred", "data"]
Key = Any


@dataclass(eq=False, slots=True)
class Item:
    """One node of a graph, or one future that a graph refers to."""

    key: Key
    spec: Any = None
    base: Digest | None = None
    """None where the node has no identity: it runs and is not recorded."""
    deps: list[Item] = field(default_factory=list)
    recorded: bool = False
    pure: bool = False
    user: bool = False
    fate: Fate = "glue"
    deep: Digest | None = None
    digest: Digest | None = None
    """Digest of the result once known."""
    entry: TaskEntry | None = None
    ticket: Ticket | None = None
    """Place among the cell's tasks with this content key, once that is known."""
    deep_ticket: Ticket | None = None
    cell: CellTasks | None = None
    ident: str = ""
    """Names the report of the worker's wrapper; empty where there is no wrapper."""
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set on the client's loop once the digest is known or never will be."""
    decided: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once a deferred item was served, sent or dropped."""
    namespace: dict[str, Any] = field(default_factory=dict)
    """Classes of the notebook that the stored result names, as they were when it was served."""
    name: str = ""
    parts: Callable[[], dict[str, Digest]] = dict
    """What the base is made of, by names for people."""
    packages: frozenset[str] = frozenset()
    """Installed packages that the base names."""
    known_versions: dict[str, str] | None = None
    """See ``tasks.versions``."""
    place: str = ""
    """What tells tasks of the notebook's own process from others: those may change what they are given."""
    sent: bool = False

    def pending(self) -> list[Item]:
        """Recorded items above this one whose result digest is not known yet."""
        found: dict[int, Item] = {}
        stack = list(self.deps)
        seen: set[int] = set()
        while stack:
            item = stack.pop()
            if id(item) in seen:
                continue
            seen.add(id(item))
            if item.fate in ("glue", "plain", "data"):
                stack.extend(item.deps)
            elif item.digest is None:
                found.setdefault(id(item), item)
        return list(found.values())

    def blocked(self) -> list[Item]:
        """Items above this one that the scheduler does not know yet."""
        return [item for item in self.closure() if item.fate == "deferred" and not item.sent]

    def closure(self) -> list[Item]:
        """Items above this one, through nodes that are not recorded themselves."""
        found: dict[int, Item] = {}
        stack = list(self.deps)
        while stack:
            item = stack.pop()
            if id(item) in found:
                continue
            found[id(item)] = item
            if item.fate in ("glue", "plain", "data"):
                stack.extend(item.deps)
        return list(found.values())


def reference(item: Item) -> Digest | None:
    """How a node counts for its children: by its result where known, else by content below."""
    if item.recorded or item.spec is None:
        return item.digest
    if item.base is None:
        return None
    parts = [reference(dep) for dep in item.deps]
    if None in parts:
        return None
    return hash_parts("node", item.base, *(str(part) for part in parts))


def content_key(item: Item) -> Digest | None:
    """The key under which the log holds the node, once all results above it are known."""
    if item.base is None:
        return None
    parts = [reference(dep) for dep in item.deps]
    if None in parts:
        return None
    return hash_parts("content", item.place, item.base, *(str(part) for part in parts))


def shape_key(item: Item) -> Digest | None:
    """As the content key, results not known yet left open; None where nothing is known."""
    if item.base is None:
        return None
    return hash_parts("shape", item.base, str(len(item.deps)))


def deep_key(item: Item) -> Digest | None:
    """The key known at submission: children by their own deep keys."""
    if item.base is None or any(dep.deep is None for dep in item.deps):
        return None
    if not item.deps:
        return content_key(item)
    return hash_parts("deep", item.place, item.base, *(str(dep.deep) for dep in item.deps))


class Reader:
    """Turns an expression of Dask into items in a deterministic order."""

    def __init__(self, context: TaskContext, known: Callable[[Key], Item | None], place: str = "") -> None:
        self.context = context
        self.place = place
        self._parts: Callable[[], dict[str, Digest]] = dict
        self._packages: set[str] = set()
        self.known = known
        """Gives the item of a key that the client holds already, if there is one."""

    def read(self, graph: Mapping[Key, Any], wanted: Iterable[Key]) -> list[Item]:
        """Items for all nodes that ``wanted`` needs, children before parents."""
        dsk = convert_legacy_graph(graph)
        items: dict[Key, Item] = {}
        order: list[Item] = []
        children: dict[Key, list[Key]] = {}
        targets = list(wanted)
        stack: list[tuple[Key, bool]] = [(key, False) for key in reversed(targets)]
        open_keys: set[Key] = set()
        while stack:
            key, closing = stack.pop()
            if closing:
                item = items[key]
                item.deps = [items[child] for child in children[key]]
                item.deep = deep_key(item)
                order.append(item)
                continue
            if key in open_keys:
                continue
            open_keys.add(key)
            spec = dsk.get(key)
            held = self.known(key)
            if spec is None or held is not None:
                items[key] = held if held is not None else _foreign(key)
                continue
            item, keys = self._item(key, spec)
            items[key] = item
            children[key] = keys
            stack.append((key, True))
            stack.extend((child, False) for child in reversed(keys))
        requested = set(targets)
        for item in order:
            item.recorded = item.key in requested or item.user
        return order

    def _item(self, key: Key, spec: GraphNode) -> tuple[Item, list[Key]]:
        item = Item(key, spec, name=_label(key, spec), place=self.place)
        found: dict[Key, int] = {}
        try:
            self._parts, self._packages = dict, set()
            item.base, item.user = self.base(spec, found)
            item.parts, item.packages = self._parts, frozenset(self._packages)
        except NotStorable:
            item.base = None
        keys = list(found)
        keys += sorted((k for k in spec.dependencies if k not in found), key=str)
        if isinstance(spec, DataNode):
            item.fate = "data"
            item.user = False
        return item, keys

    def base(self, spec: Any, found: dict[Key, int]) -> tuple[Digest, bool]:
        """Digest of a node with its children by position, and whether it runs notebook code.

        Raises:
            NotStorable: an argument has no content.
        """
        if isinstance(spec, Alias):
            return hash_parts("alias", str(found.setdefault(spec.target, len(found)))), False
        if isinstance(spec, DataNode):
            walk = self._walked(spec.value)
            return hash_parts("data", walk.digest()), walk.user
        return self._task(spec, lambda key: f"#{found.setdefault(key, len(found))}")

    def _task(self, spec: Task, child: Callable[[Key], str]) -> tuple[Digest, bool]:
        """Digest of a task; ``child`` gives the text of a node that it refers to."""
        reached = False

        def leaf(obj: Any) -> str:
            nonlocal reached
            if isinstance(obj, TaskRef):
                return child(obj.key)
            if isinstance(obj, Alias):
                return child(obj.target)
            if isinstance(obj, DataNode):
                walk = self._walked(obj.value)
                reached = reached or walk.user
                return walk.digest()
            digest, user = self._task(obj, child)
            reached = reached or user
            return digest

        leaves = {TaskRef: leaf, GraphNode: leaf}
        if spec.has_subgraph():
            digest, user = self._fused(spec, leaf)
        else:
            container = isinstance(spec, NestedContainer)
            func, kwargs = (type(spec), None) if container else (spec.func, spec.kwargs)
            identity = self.context.identity(func, spec.args, kwargs, leaves=leaves)
            digest, user = identity.key, identity.user
            self._parts = identity.parts
            self._packages |= identity.packages
        return digest, user or reached

    def _walked(self, value: Any) -> TaskWalk:
        walk = walked(value, self.context.leaves)
        self._packages |= walk.packages
        return walk

    def _fused(self, spec: Task, leaf: Callable[[Any], str]) -> tuple[Digest, bool]:
        """Digest of a fused task: of what it does, in the order in which it refers to its inputs.

        Dask sorts the inputs of a fused task by hash, so their order says nothing.
        """
        nodes, out, inkeys, *values = spec.args
        inputs = dict(zip(inkeys, values, strict=True))
        texts: dict[Key, str] = {}
        user = False

        def inner(key: Key) -> str:
            nonlocal user
            if key not in texts:
                node = inputs.get(key, nodes.get(key))
                if key in inputs:
                    plain = not isinstance(node, TaskRef | GraphNode)
                    texts[key] = self._walked(node).digest() if plain else leaf(node)
                elif isinstance(node, Alias):
                    texts[key] = inner(node.target)
                elif isinstance(node, DataNode):
                    texts[key] = self._walked(node.value).digest()
                else:
                    texts[key], reached = self._task(node, inner)
                    user = user or reached
            return texts[key]

        return hash_parts("fused", inner(out)), user


def _foreign(key: Key) -> Item:
    """A key whose making was not seen: whatever depends on it just runs."""
    item = Item(key, fate="plain", recorded=True)
    item.settled.set()
    return item


def ordered_keys(expr: Any, keys: Iterable[Key]) -> list[Key]:
    """The wanted keys in the order of the expression, which does not depend on hash seeds."""
    wanted = list(dict.fromkeys(keys))
    if not isinstance(keys, set | frozenset):
        return wanted
    left = set(wanted)
    everything: Any = flatten
    first = [key for key in everything([expr.__dask_keys__()]) if key in left]
    return list(dict.fromkeys(first)) + sorted(left - set(first), key=str)


def _label(key: Key, spec: Any) -> str:
    """What people call a task: its function, else what Dask's key begins with."""
    name = getattr(spec.func, "__name__", "") if type(spec) is Task and not spec.has_subgraph() else ""
    text = key[0] if isinstance(key, tuple) and key else key
    return str(name or str(text).rsplit("-", 1)[0])[:80]
