"""The other views of the page: data-flow, tasks, changes between runs, storage, environment."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from html import escape

from nbrewind.model import Environment
from nbrewind.report.book import Book, RunView
from nbrewind.report.dataflow import Flow, headline
from nbrewind.report.diff import CellChange, Pair, compare_runs
from nbrewind.report.drawing import svg
from nbrewind.report.storage import Stored
from nbrewind.report.words import moment, size

MOST_ROWS = 40
"""Names in the table of sizes."""

MOST_DIFF = 200
"""Lines of one cell's difference."""


def flow_panel(flow: Flow) -> str:
    """The graph, in a window of its own."""
    if not flow.edges:
        return "<p>No cell of the newest run read what another one wrote.</p>"
    picture = svg(flow, alone=False, title="Data-flow between the cells of the newest run")
    return (
        '<p class="soft">The newest run: an arrow goes from a cell that wrote something to one that read it. '
        "Point at a cell, or move to it by the keyboard, to see what feeds it and what it feeds; the names "
        "stand beside each cell under <em>Cells</em> too. Dashed red: cannot be stored, made again when "
        "needed. Imports are left out.</p>"
        '<div class="tools"><button class="plain" type="button" data-zoom="0.8">Smaller</button>'
        '<button class="plain" type="button" data-zoom="1.25">Larger</button>'
        '<button class="plain" type="button" data-zoom="fit">Fit</button>'
        '<span id="pointed" class="soft" aria-live="polite"></span></div>'
        f'<div class="window" tabindex="0" role="region" aria-label="Graph">{picture}</div>'
    )


def tasks_panel(book: Book) -> str:
    """Frames that the script fills for the chosen run."""
    if not book.entries:
        return "<p>The cells of these runs ran no distributed tasks.</p>"
    return (
        '<div class="tools"><label>Cell <select id="task-cell"></select></label>'
        '<span class="legend"><i class="key run"></i>run <i class="key failed"></i>failed '
        '<i class="key served"></i>served from the log</span>'
        '<span id="task-note" class="soft"></span></div>'
        '<div class="card"><canvas id="timeline" role="img" aria-label="Tasks over time"></canvas>'
        '<p id="task-pointed" class="soft">The table below tells the same in numbers.</p></div>'
        '<div class="card" id="task-table" tabindex="0" role="region" aria-label="Tasks by name"></div>'
    )


def changes_panel(book: Book) -> str:
    """For each run, what differs from the run before it; the script shows that of the chosen run."""
    parts = []
    for place, (newer, older) in enumerate(zip(book.runs, book.runs[1:], strict=False)):
        changes = [c for c in compare_runs(_pairs(older), _pairs(newer)) if c.change != "same"]
        title = f"{newer.run.mode} of {moment(newer.run.started)} against {older.run.mode} of "
        title += moment(older.run.started)
        rows = "".join(_change(change, newer, older) for change in changes)
        body = rows or "<p>Same sources, same inputs, same results, same outputs.</p>"
        parts.append(f'<div class="changes" data-run="{place}"><h3>{escape(title)}</h3>{body}</div>')
    if book.runs:
        alone = "<p>There is no earlier run here to compare with.</p>"
        parts.append(f'<div class="changes" data-run="{len(book.runs) - 1}">{alone}</div>')
    return "".join(parts)


def _pairs(view: RunView) -> Sequence[Pair]:
    return [(step.commit, step.record) for step in view.steps]


def _change(change: CellChange, newer: RunView, older: RunView) -> str:
    cell = f'<a href="#cell-{change.index}">cell {change.index}</a>' if change.index >= 0 else "a cell"
    words = {
        "source": "source changed",
        "inputs": "inputs changed",
        "results": "same source and inputs, other results",
        "only in A": "gone",
        "only in B": "new",
    }.get(change.change, change.change)
    rows = [("read differently", change.inputs), ("names", change.names), ("files", change.files)]
    listed = "".join(f"<div><dt>{title}</dt><dd>{_chips(items)}</dd></div>" for title, items in rows if items)
    outputs = {None: "", True: "equal outputs", False: "other outputs"}[change.outputs_equal]
    difference = _difference(change, newer, older) if change.change == "source" else ""
    links = f'<dl class="links">{listed}</dl>' if listed else ""
    look = "changed" if change.change in {"source", "inputs"} else "recomputed"
    return (
        f'<div class="card change"><p>{cell} <span class="badge {look}">{escape(words)}</span> '
        f'<code>{escape(headline(change.source)[:80])}</code> <span class="soft">{outputs}</span></p>'
        f"{difference}{links}</div>"
    )


def _chips(items: Sequence[str]) -> str:
    chips = "".join(f'<span class="chip">{escape(item)}</span>' for item in items[:MOST_ROWS])
    return chips + (f" and {len(items) - MOST_ROWS} more" if len(items) > MOST_ROWS else "")


def _difference(change: CellChange, newer: RunView, older: RunView) -> str:
    """The source's lines that differ, with their neighbours."""

    def source(view: RunView) -> str:
        for step in reversed(view.steps):
            same = (
                step.commit.cell_id == change.cell_id if change.cell_id else step.commit.index == change.index
            )
            if same and step.record is not None:
                return step.record.source
        return ""

    lines = difflib.unified_diff(source(older).splitlines(), source(newer).splitlines(), lineterm="", n=2)
    looks = {"+": "added", "-": "removed"}
    shown = [
        f'<span class="{looks.get(line[:1], "")}">{escape(line)}</span>'
        for line in list(lines)[2 : MOST_DIFF + 2]
        if not line.startswith("@@")
    ]
    return f'<pre class="diff" tabindex="0">{chr(10).join(shown)}</pre>' if shown else ""


def storage_panel(book: Book, stored: Stored, store_bytes: int) -> str:
    """Bytes by run, by cell and by name."""
    if not book.runs:
        return "<p>There is nothing yet.</p>"
    runs = "".join(
        f"<tr><td>{view.run.mode}</td><td>{moment(view.run.started)}</td>"
        f'<td class="n">{size(logical)}</td><td class="n">{size(new)}</td></tr>'
        for view, (logical, new) in zip(book.runs, stored.runs, strict=True)
    )
    indices = {cell.key: cell.index for cell in book.cells}
    most = max((cell.logical for cell in stored.cells.values()), default=0) or 1
    cells = "".join(
        f'<tr><td><a href="#cell-{indices[key]}">{indices[key]}</a></td>'
        f'<td class="n">{size(cell.logical)}</td><td class="n">{size(cell.stored)}</td>'
        f'<td class="n">{size(cell.outputs)}</td><td class="n">{size(cell.files)}</td>'
        f'<td class="wide">{_meter(cell.logical / most, cell.stored / most)}</td></tr>'
        for key, cell in sorted(stored.cells.items(), key=lambda pair: -pair[1].logical)[:MOST_ROWS]
        if key in indices and cell.logical
    )
    largest = sorted(stored.names.items(), key=lambda pair: -pair[1])[:MOST_ROWS]
    names = "".join(
        f'<tr><td><code>{escape(name)}</code></td><td class="n">{size(count)}</td></tr>'
        for name, count in largest
    )
    return (
        f"<p>The store takes {size(store_bytes)} on disk, with all notebooks and tasks in it. "
        '<span class="soft">Logical: what a cell\'s results, outputs and files hold. New: what of it no '
        "earlier record had stored, as equal objects are stored once.</span></p>"
        f'<div class="card"><h3>By run</h3><table class="data"><thead><tr><th>run</th><th>started</th>'
        f'<th class="n">logical</th><th class="n">new</th></tr></thead><tbody>{runs}</tbody></table></div>'
        '<div class="card"><h3>By cell, newest run</h3><table class="data"><thead><tr><th>cell</th>'
        '<th class="n">logical</th><th class="n">new</th><th class="n">outputs</th><th class="n">files</th>'
        f"<th>logical and new</th></tr></thead><tbody>{cells}</tbody></table></div>"
        '<div class="card"><h3>By name, newest run</h3><table class="data"><thead><tr><th>name</th>'
        f'<th class="n">logical</th></tr></thead><tbody>{names}</tbody></table>'
        '<p class="soft">Names that share an object are stored together, and each counts the whole.</p></div>'
    )


def _meter(whole: float, part: float) -> str:
    return (
        f'<span class="meter" aria-hidden="true"><i style="width:{100 * whole:.1f}%"></i>'
        f'<i class="new" style="width:{100 * part:.1f}%"></i></span>'
    )


def environment_panel(book: Book, environments: Sequence[Environment | None]) -> str:
    """What the runs ran in, and versions of the packages that cells used, run by run where they differ."""
    return _machines(book, environments) + _packages(book)


def _machines(book: Book, environments: Sequence[Environment | None]) -> str:
    rows = []
    for view, known in zip(book.runs, environments, strict=False):
        if known is not None:
            facts = (
                f"{known.python} ({known.implementation}, {known.kind})",
                f"{known.system} {known.machine}, {known.libc}",
                str(len(known.distributions)),
            )
            cells = "".join(f"<td>{escape(fact)}</td>" for fact in facts)
            rows.append(f"<tr><td>{view.run.mode}</td><td>{moment(view.run.started)}</td>{cells}</tr>")
    if not rows:
        return ""
    return (
        '<div class="card"><h3>Runs</h3><table class="data"><thead><tr><th>run</th><th>started</th>'
        "<th>Python</th><th>system</th><th>installed distributions</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _packages(book: Book) -> str:
    seen: dict[str, list[set[str]]] = {}
    users: dict[str, set[int]] = {}
    for place, view in enumerate(book.runs):
        for step in view.last.values():
            for name, version in (step.record.trace.packages if step.record is not None else {}).items():
                seen.setdefault(name, [set() for _ in book.runs])[place].add(version)
                if not place:
                    users.setdefault(name, set()).add(step.commit.index)
    if not seen:
        return "<p>No cell of these runs used an installed package.</p>"
    rows = []
    for name, versions in sorted(seen.items(), key=lambda pair: pair[0].lower()):
        newest = ", ".join(sorted(versions[0])) or "-"
        others = sorted(set().union(*versions[1:]) - versions[0]) if len(versions) > 1 else []
        cells = sorted(index for index in users.get(name, ()) if index >= 0)
        links = " ".join(f'<a href="#cell-{index}">{index}</a>' for index in cells[:20])
        links += f" +{len(cells) - 20}" if len(cells) > 20 else ""
        rows.append(
            f"<tr><td>{escape(name)}</td><td>{escape(newest)}</td><td>{escape(', '.join(others))}</td>"
            f"<td>{links}</td></tr>"
        )
    return (
        '<p class="soft">Packages that the code and the values of cells used, with the recorded versions. '
        "A cell is restored only where they agree by the rule in force.</p>"
        '<div class="card"><h3>Packages</h3><table class="data"><thead><tr><th>package</th>'
        "<th>newest run</th>"
        f"<th>other versions in earlier runs</th><th>used by cells</th></tr></thead><tbody>{''.join(rows)}"
        "</tbody></table></div>"
    )
