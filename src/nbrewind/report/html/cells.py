"""The notebook itself on the page: text, source, outputs, and where each cell's inputs come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

from nbrewind.report.book import Book, Cell, Step, action_of, again
from nbrewind.report.dataflow import Edge, Flow, Item
from nbrewind.report.html.facts import why
from nbrewind.report.html.texts import code, markdown
from nbrewind.report.words import duration

MOST_CHIPS = 24
"""Names of one cell's links that are shown; the data-flow graph has all."""


def cells_html(book: Book, flow: Flow, outputs: Mapping[str, str]) -> str:
    """All cells in order; ``outputs`` by cell key, as HTML."""
    last = book.runs[0].last if book.runs else {}
    recomputed = again(last.values())
    inward: dict[str, list[Edge]] = {}
    outward: dict[str, list[Edge]] = {}
    for edge in flow.edges:
        inward.setdefault(edge.target, []).append(edge)
        outward.setdefault(edge.source, []).append(edge)
    numbers = {cell.key: cell.index for cell in book.cells if cell.kind == "code"}
    found = []
    for cell in book.cells:
        if cell.kind == "markdown":
            found.append(f'<section class="prose">{markdown(cell.source)}</section>')
        elif cell.kind == "code":
            links = _links(cell, inward.get(cell.key, []), outward.get(cell.key, []), numbers)
            found.append(_cell(cell, last.get(cell.key), recomputed, outputs.get(cell.key, ""), links))
        else:
            found.append(f'<pre class="raw">{escape(cell.source)}</pre>')
    return "".join(found)


def _cell(cell: Cell, step: Step | None, recomputed: set[str], outputs: str, links: str) -> str:
    action = action_of(step, recomputed) if step is not None else "not run"
    source = f'<pre class="source" tabindex="0"><code>{code(cell.source)}</code></pre>' if cell.source else ""
    notes = "".join(f"<li>{escape(note)}</li>" for note in step.record.notes) if step and step.record else ""
    if notes:
        notes = f'<ul class="notes">{notes}</ul>'
    return (
        f'<article class="cell" id="cell-{cell.index}" data-cell="{cell.index}" data-action="{action}" '
        f'aria-label="Cell {cell.index}">'
        f'<header><a class="number" href="#cell-{cell.index}" aria-label="Cell {cell.index}">{cell.index}</a>'
        f'<span class="facts">{_facts(step, action)}</span></header>'
        f'{source}<div class="outputs">{outputs}</div>'
        f"{notes}{links}</article>"
    )


def _facts(step: Step | None, action: str) -> str:
    """What the run did with the cell; the script writes the same for another run."""
    if step is None:
        return '<span class="badge none">not run</span>'
    tasks = step.commit.tasks
    words = [f'<span class="badge {action}">{action}</span><span class="why">{escape(why(step))}</span>']
    if tasks.served or tasks.run or tasks.failed:
        pairs = ((tasks.served, "served"), (tasks.run, "run"), (tasks.failed, "failed"))
        counted = ", ".join(f"{count} {word}" for count, word in pairs if count)
        words.append(f'<span class="tasks">tasks: {counted}</span>')
    recorded = duration(step.record.seconds) if step.record is not None else "-"
    times = duration(step.seconds)
    if action in {"restored", "recomputed"}:
        times += f" <small>of {recorded}</small>"
    words.append(f'<span class="time">{times}</span>')
    return "".join(words)


def _links(cell: Cell, inward: Iterable[Edge], outward: Iterable[Edge], numbers: Mapping[str, int]) -> str:
    reads = [_chip(item, edge.source, numbers, "from") for edge in inward for item in edge.items]
    feeds: dict[Item, list[int]] = {}
    for edge in outward:
        for item in edge.items:
            feeds.setdefault(item, []).append(numbers.get(edge.target, -1))
    gives = [_feeds(item, sorted(targets)) for item, targets in feeds.items()]
    rows = [
        f"<div><dt>{title}</dt><dd>{''.join(chips[:MOST_CHIPS])}"
        f"{f' and {len(chips) - MOST_CHIPS} more' if len(chips) > MOST_CHIPS else ''}</dd></div>"
        for title, chips in (("reads", reads), ("feeds", gives))
        if chips
    ]
    return f'<dl class="links">{"".join(rows)}</dl>' if rows else ""


def _chip(item: Item, source: str, numbers: Mapping[str, int], word: str) -> str:
    number = numbers.get(source, -1)
    origin = f' <a href="#cell-{number}">{number}</a>' if number >= 0 else ""
    return f'<span class="chip {_look(item)}"{_hint(item)}>{escape(item.label)}{origin}</span>'


def _feeds(item: Item, targets: list[int]) -> str:
    shown = " ".join(f'<a href="#cell-{number}">{number}</a>' for number in targets[:8] if number >= 0)
    more = f" +{len(targets) - 8}" if len(targets) > 8 else ""
    return f'<span class="chip {_look(item)}"{_hint(item)}>{escape(item.label)} {shown}{more}</span>'


def _look(item: Item) -> str:
    return f"{item.kind}{' opaque' if item.opaque else ''}{' handle' if item.handle else ''}"


def _hint(item: Item) -> str:
    words = [item.summary] if item.summary else []
    if item.opaque:
        words.append(f"cannot be stored: {item.opaque}")
    if item.handle:
        words.append("a handle: made anew when it is needed")
    return f' title="{escape("; ".join(words))}"' if words else ""
