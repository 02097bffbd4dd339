"""Who feeds whom: the edges between the cells of a run, from what each read and wrote.

An edge exists where a cell read a version that another cell had written before it.  Nothing is
guessed from the text, but for one thing: which names are only imports, so that a view can leave
them out.
"""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from nbrewind.model import Record, Root, Version
from nbrewind.report.book import Step, action_of, again

Kind = Literal["name", "import", "file", "setting"]

MANY = 4
"""Files of one folder that one cell reads are told together from this number on."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that goes from cell to cell."""

    kind: Kind
    label: str
    opaque: str = ""
    """Why its value cannot be stored; empty where it can."""
    handle: bool = False
    """Whether it is a client, a pool or the like, made anew when it is needed (R4)."""
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """A cell, or a file that no cell wrote."""

    key: str
    kind: Literal["cell", "file"]
    label: str
    index: int = -1
    action: str = ""
    seconds: float = 0.0
    opaque: tuple[str, ...] = ()
    """Names of the cell's results that cannot be stored."""


@dataclass(slots=True)
class Edge:
    """What ``target`` read of ``source``'s writes."""

    source: str
    target: str
    items: list[Item] = field(default_factory=list)

    @property
    def faint(self) -> bool:
        """Whether only imports and settings go this way."""
        return all(item.kind in {"import", "setting"} for item in self.items)


@dataclass(slots=True)
class Flow:
    """The graph of one run: nodes in the order of execution, files before the cells."""

    nodes: list[Node]
    edges: list[Edge]

    def without_faint(self) -> Flow:
        """Without imports and settings, which nearly every cell has."""
        kept = []
        for edge in self.edges:
            if items := [item for item in edge.items if item.kind in {"name", "file"}]:
                kept.append(Edge(edge.source, edge.target, items))
        return Flow(self.nodes, kept)

    def object(self) -> dict[str, Any]:
        """The graph as plain data."""
        return {
            "nodes": [
                {
                    "key": node.key,
                    "kind": node.kind,
                    "index": node.index,
                    "label": node.label,
                    "action": node.action,
                    "seconds": round(node.seconds, 6),
                    "opaque": list(node.opaque),
                }
                for node in self.nodes
            ],
            "edges": [
                {
                    "source": edge.source,
                    "target": edge.target,
                    "items": [
                        {"kind": item.kind, "label": item.label, "opaque": item.opaque, "handle": item.handle}
                        for item in edge.items
                    ],
                }
                for edge in self.edges
            ],
        }


def flow_of(steps: Sequence[Step], indices: dict[str, int] | None = None) -> Flow:
    """The graph of a branch: one node per cell, as its last execution left it."""
    last = {step.key: position for position, step in enumerate(steps)}
    nodes = {}
    recomputed = again(steps)
    for position, step in enumerate(steps):
        if last[step.key] == position:
            index = (indices or {}).get(step.key, step.commit.index)
            nodes[step.key] = _node(step, index, action_of(step, recomputed))
    files: dict[str, Node] = {}
    edges: dict[tuple[str, str], Edge] = {}
    writers = _Writers()
    for position, step in enumerate(steps):
        if step.record is None:
            continue
        if last[step.key] == position:
            for source, items in _by_source(writers.feeds(step.record)).items():
                if source.startswith("file:"):
                    files.setdefault(source, Node(source, "file", source.removeprefix("file:")))
                if source != step.key:
                    edges[source, step.key] = Edge(source, step.key, items)
        writers.wrote(step.key, step.record)
    return Flow([*files.values(), *nodes.values()], list(edges.values()))


def _by_source(feeds: Iterable[tuple[str, Item]]) -> dict[str, list[Item]]:
    """Items of each source once; many files of one folder are told as one."""
    found: dict[str, dict[Item, None]] = {}
    folders: dict[tuple[str, str], list[Item]] = {}
    for source, item in feeds:
        if item.kind == "file":
            outside = source.startswith("file:")
            folders.setdefault(("" if outside else source, posixpath.dirname(item.label)), []).append(item)
        else:
            found.setdefault(source, {})[item] = None
    for (source, folder), members in folders.items():
        paths = list(dict.fromkeys(members))
        if len(paths) >= MANY:
            label = f"{folder or '.'}/ ({len(paths)} files)"
            found.setdefault(source or f"file:{label}", {})[Item("file", label)] = None
            continue
        for item in paths:
            found.setdefault(source or f"file:{item.label}", {})[item] = None
    return {source: list(items) for source, items in found.items()}


class _Writers:
    """Which cell wrote what last, and what it wrote."""

    def __init__(self) -> None:
        self.names: dict[Root, tuple[str, Item]] = {}
        self.files: dict[str, str] = {}
        self.settings: dict[str, str] = {}

    def feeds(self, record: Record) -> Iterator[tuple[str, Item]]:
        """Where each thing that was read comes from."""
        trace = record.trace
        for root in trace.reads:
            if root in self.names:
                yield self.names[root]
        for path, state in trace.files.items():
            if path in self.files:
                yield self.files[path], Item("file", path)
            elif state.kind == "file":
                yield f"file:{path}", Item("file", path)
        for path in (*trace.probes, *trace.listings):
            if path in self.files and path not in trace.files:
                yield self.files[path], Item("file", path)
        for key in trace.ambient:
            if key in self.settings:
                yield self.settings[key], Item("setting", key)

    def wrote(self, key: str, record: Record) -> None:
        """A cell's writes are what later cells read."""
        imported = imported_names(record.source)
        for root, version in record.delta.names.items():
            self.names[root] = (key, _item(root, version, imported))
        for root in record.delta.deleted:
            self.names.pop(root, None)
        for path in record.delta.files:
            self.files[path] = key
        for name in record.delta.ambient:
            self.settings[name] = key


def _node(step: Step, index: int, action: str) -> Node:
    record = step.record
    if record is None:
        return Node(step.key, "cell", "(no longer in the store)", index, action, step.seconds)
    opaque = tuple(root for root, version in record.delta.names.items() if version.opaque)
    label = headline(record.source)
    return Node(step.key, "cell", label, index, action, step.seconds, opaque)


def _item(root: Root, version: Version, imported: frozenset[str]) -> Item:
    kind: Kind = "import" if root in imported or version.summary == "module" else "name"
    handle = any(dep.startswith("handle:") for dep in version.deps)
    return Item(kind, shown(root), version.opaque, handle, version.summary)


def shown(root: Root) -> str:
    """A root as a short text: ``helper.py``'s function is ``helper.f``, a class its name."""
    kind, colon, rest = root.partition(":")
    if not colon:
        return root
    if kind == "cls":
        return rest.rpartition("#")[2] or rest
    return rest.replace(":", ".")


def headline(source: str) -> str:
    """The first line of a cell that says something: magics of timing and comments say less than code."""
    lines = [line.strip() for line in source.splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith(("#", "%%"))]
    return (said or lines or ["(empty)"])[0]


def imported_names(source: str) -> frozenset[str]:
    """Names that a cell's import statements bind; none where it is not plain Python."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return frozenset()
    return frozenset(_bound(tree))


def _bound(tree: ast.AST) -> Iterable[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name.partition(".")[0]
