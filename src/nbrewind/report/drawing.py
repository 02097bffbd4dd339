"""The data-flow graph as a picture (SVG), as text for other tools (DOT, Mermaid), and in words."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from html import escape

from nbrewind.report.dataflow import Edge, Flow, Item, Node
from nbrewind.report.layout import Layout, Point, Size, layered
from nbrewind.report.words import duration

MARGIN = 16.0
MOST_LABELS = 90
"""Edges beyond which names are only shown for the node that a reader points at."""

STYLE = """
.flow { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif }
.flow .box { fill: var(--card); stroke: var(--line); stroke-width: 1.2 }
.flow .stripe { fill: var(--none) }
.flow .restored .stripe { fill: var(--restored-fill) }
.flow .executed .stripe { fill: var(--executed-fill) }
.flow .recomputed .stripe { fill: var(--recomputed-fill) }
.flow .failed .stripe { fill: var(--failed-fill) }
.flow .opaque .box { stroke: var(--failed-fill); stroke-dasharray: 5 3 }
.flow .file .box { fill: var(--sunk) }
.flow text { fill: var(--ink) }
.flow .code { font: 11px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace }
.flow .soft { fill: var(--soft); font-size: 11px }
.flow .edge { fill: none; stroke: var(--edge); stroke-width: 1.3 }
.flow .edge.opaque { stroke: var(--failed-fill); stroke-dasharray: 5 3 }
.flow .edge.file { stroke: var(--accent) }
.flow .names { font-size: 11px; fill: var(--soft); text-anchor: middle }
.flow .names { paint-order: stroke; stroke: var(--page); stroke-width: 4px }
.flow .tip { fill: var(--edge) }
"""

_ALONE = """
.flow { --page: #ffffff; --card: #ffffff; --sunk: #f3f5f8; --ink: #1b1f24; --soft: #545d68; --line: #c4cbd3;
  --edge: #9aa5b1; --accent: #1d5bb8; --restored-fill: #17998a; --executed-fill: #dd9420;
  --recomputed-fill: #9257cf; --failed-fill: #d0443a;
  --none: #98a2ad; background: var(--page) }
@media (prefers-color-scheme: dark) { .flow {
  --page: #0e1116; --card: #161b22; --sunk: #10151b; --ink: #e6edf3; --soft: #9aa4af;
  --line: #39424d; --edge: #59636f; --accent: #79b8ff; --restored-fill: #3fbfa9;
  --executed-fill: #e0a340; --recomputed-fill: #b98af0; --failed-fill: #ff8a80; --none: #6b7580 } }
"""


def svg(flow: Flow, *, alone: bool = True, title: str = "Data-flow") -> str:
    """A picture; ``alone`` as a file of its own, else for a page that has the colours and the style."""
    places = {node.key: place for place, node in enumerate(flow.nodes)}
    layout = layered(len(flow.nodes), [(places[e.source], places[e.target]) for e in flow.edges], Size())
    labelled = len(flow.edges) <= MOST_LABELS
    edges = "".join(_edge(edge, places, route) for edge, route in zip(flow.edges, layout.routes, strict=True))
    names = _names(flow.edges, places, layout) if labelled else ""
    boxes = "".join(
        _box(node, place, centre, layout)
        for place, (node, centre) in enumerate(zip(flow.nodes, layout.centres, strict=True))
    )
    width, height = layout.width + 2 * MARGIN, layout.height + 2 * MARGIN
    style = f"<style>{_ALONE}{STYLE}</style>" if alone else ""
    space = 'xmlns="http://www.w3.org/2000/svg" ' if alone else ""
    role = (
        f'role="img" aria-label="{escape(title)}"' if alone else f'role="group" aria-label="{escape(title)}"'
    )
    return (
        f'<svg {space}class="flow" viewBox="{-MARGIN:g} {-MARGIN:g} {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" {role}>{style}'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6.5" markerHeight="6.5" '
        'orient="auto"><path class="tip" d="M0 0.6 8 4 0 7.4z"/></marker></defs>'
        f'<g class="edges">{edges}</g><g class="labels">{names}</g><g class="nodes">{boxes}</g></svg>'
    )


def _edge(edge: Edge, places: dict[str, int], route: list[Point]) -> str:
    look = " opaque" if any(item.opaque for item in edge.items) else ""
    look = look or (" file" if all(item.kind == "file" for item in edge.items) else "")
    return (
        f'<path class="edge{look}" data-from="{places[edge.source]}" data-to="{places[edge.target]}" '
        f'd="{_curve(route)}" marker-end="url(#tip)"><title>{escape(_all_names(edge.items))}</title></path>'
    )


def _curve(route: list[Point]) -> str:
    """Straight through rows, bent between them."""
    words = [f"M{route[0][0]:.1f} {route[0][1]:.1f}"]
    for (x0, y0), (x1, y1) in itertools.pairwise(route):
        if abs(x0 - x1) < 0.5:
            words.append(f"L{x1:.1f} {y1:.1f}")
        else:
            bend = (y1 - y0) * 0.55
            words.append(f"C{x0:.1f} {y0 + bend:.1f} {x1:.1f} {y1 - bend:.1f} {x1:.1f} {y1:.1f}")
    return "".join(words)


def _names(edges: Iterable[Edge], places: dict[str, int], layout: Layout) -> str:
    """Names beside the edges' ends, moved up where they would lie on each other."""
    wanted = []
    for edge, route in zip(edges, layout.routes, strict=True):
        before, (x, y) = route[-2][0], route[-1]
        wanted.append((y, x + (before - x) * 0.12, _few_names(edge.items), edge))
    taken: dict[float, list[tuple[float, float, int]]] = {}
    found = []
    for y, x, text, edge in sorted(wanted, key=lambda one: one[:3]):
        half = len(text) * 3.2 + 4
        row = taken.setdefault(y, [])
        level = next(
            (n for n in range(4) if all(n != m or abs(x - a) > half + b for a, b, m in row)),
            3,
        )
        row.append((x, half, level))
        found.append(
            f'<text class="names" data-from="{places[edge.source]}" data-to="{places[edge.target]}" '
            f'x="{x:.1f}" y="{y - 11 - 13 * level:.1f}">{escape(text)}</text>'
        )
    return "".join(found)


def _box(node: Node, place: int, centre: Point, layout: Layout) -> str:
    width, height = layout.size.width, layout.size.height
    x, y = centre[0] - width / 2, centre[1] - height / 2
    look = f"{node.action or node.kind}{' opaque' if node.opaque else ''}"
    if node.kind == "file":
        name = escape(_cut(node.label, 25, end=True))
        return (
            f'<g class="node {look}" data-node="{place}"><title>{escape(node.label)}</title>'
            f'<rect class="box" x="{x:.1f}" y="{y + 16:.1f}" width="{width:g}" height="{height - 16:g}" '
            'rx="15"/>'
            f'<text class="code" x="{x + 14:.1f}" y="{centre[1] + 12:.1f}">{name}</text></g>'
        )
    below = f"{node.action}, {duration(node.seconds)}" if node.action else ""
    if node.opaque:
        below += f" · {_cut(', '.join(node.opaque), 14)} not stored"
    number = str(max(node.index, 0))
    line = escape(_cut(node.label, 24 - len(number)))
    tag, link = ("a", f' href="#cell-{number}"') if node.index >= 0 else ("g", "")
    return (
        f'<{tag} class="node {look}" data-node="{place}"{link}>'
        f"<title>cell {number}: {escape(node.label)}</title>"
        f'<rect class="box" x="{x:.1f}" y="{y:.1f}" width="{width:g}" height="{height:g}" rx="7"/>'
        f'<rect class="stripe" x="{x:.1f}" y="{y:.1f}" width="5" height="{height:g}" rx="2.5"/>'
        f'<text class="code" x="{x + 14:.1f}" y="{y + 19:.1f}">'
        f'<tspan class="soft">{number}</tspan> {line}</text>'
        f'<text class="soft" x="{x + 14:.1f}" y="{y + 36:.1f}">{escape(below)}</text></{tag}>'
    )


def _few_names(items: list[Item]) -> str:
    labels = [_cut(item.label, 20, end=item.kind == "file") for item in items]
    more = f" +{len(labels) - 2}" if len(labels) > 2 else ""
    return ", ".join(labels[:2]) + more


def _all_names(items: list[Item]) -> str:
    marked = [f"{i.label}{' (not stored)' if i.opaque else ' (handle)' if i.handle else ''}" for i in items]
    return ", ".join(marked[:30]) + (f" and {len(marked) - 30} more" if len(marked) > 30 else "")


def _cut(text: str, width: int, *, end: bool = False) -> str:
    """At most ``width`` characters, the end of a path or the beginning of anything else."""
    if len(text) <= width:
        return text
    return "…" + text[-(width - 1) :] if end else text[: width - 1] + "…"


def dot(flow: Flow) -> str:
    """For Graphviz."""
    names = {node.key: f"n{place}" for place, node in enumerate(flow.nodes)}
    lines = ["digraph dataflow {", '  node [shape=box, style=rounded, fontname="monospace"];']
    for node in flow.nodes:
        look = ", shape=note" if node.kind == "file" else ", style=dashed" if node.opaque else ""
        lines.append(f'  {names[node.key]} [label="{_quoted(_title(node))}"{look}];')
    for edge in flow.edges:
        style = ", style=dashed" if any(item.opaque for item in edge.items) else ""
        label = _quoted(_few_names(edge.items))
        lines.append(f'  {names[edge.source]} -> {names[edge.target]} [label="{label}"{style}];')
    return "\n".join([*lines, "}"]) + "\n"


def mermaid(flow: Flow) -> str:
    """For Markdown that knows Mermaid, such as that of code forges."""
    names = {node.key: f"n{place}" for place, node in enumerate(flow.nodes)}
    lines = ["flowchart TD"]
    for node in flow.nodes:
        left, right = ("([", "])") if node.kind == "file" else ("[", "]")
        lines.append(f'  {names[node.key]}{left}"{_entities(_title(node))}"{right}')
    for edge in flow.edges:
        arrow = "-.->" if any(item.opaque for item in edge.items) else "-->"
        label = _entities(_few_names(edge.items))
        lines.append(f'  {names[edge.source]} {arrow}|"{label}"| {names[edge.target]}')
    return "\n".join(lines) + "\n"


def words(flow: Flow) -> str:
    """A line per cell with what it reads and from where, for a terminal."""
    indices = {node.key: node.index for node in flow.nodes if node.kind == "cell"}
    inward: dict[str, list[Edge]] = {}
    for edge in flow.edges:
        inward.setdefault(edge.target, []).append(edge)
    lines = []
    for node in flow.nodes:
        if node.kind == "file":
            continue
        lines.append(f"{node.index:>4}  {_cut(node.label, 70)}")
        for edge in inward.get(node.key, []):
            origin = f"{indices[edge.source]}:" if edge.source in indices else "file"
            lines.append(f"        <- {origin} {_all_names(edge.items)}")
        if node.opaque:
            lines.append(f"        cannot be stored: {', '.join(node.opaque)}")
    return "\n".join(lines) + "\n"


def _title(node: Node) -> str:
    return node.label if node.kind == "file" else f"{node.index}: {_cut(node.label, 40)}"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _entities(text: str) -> str:
    return "".join(f"#{ord(sign)};" if sign in '"#;<>&`[](){}|' else sign for sign in text)
