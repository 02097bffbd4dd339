"""The head of the page and the list at its side: what the newest run did, the runs, the cells."""

from __future__ import annotations

from html import escape

from nbrewind.report.book import Book, Step, action_of, again
from nbrewind.report.dataflow import headline
from nbrewind.report.html.facts import counts
from nbrewind.report.words import duration, moment

SHOWN = ("restored", "recomputed", "executed", "failed")
MOST_MARKS = 6
"""Runs that have a mark beside each cell."""


def summary(book: Book) -> str:
    if not book.runs:
        return '<p class="lead">The store has no run of this notebook yet.</p>'
    view = book.runs[0]
    found = counts(view)
    cells = sum(found[action] for action in SHOWN)
    saved = sum(
        max(0.0, step.record.seconds - step.seconds)
        for step in view.last.values()
        if step.commit.action == "restored" and step.record is not None
    )
    tiles = [
        ("newest run", view.run.mode, moment(view.run.started)),
        ("cells restored", f"{found['restored']} of {cells}", f"{duration(saved)} not spent again"),
        ("took", duration(view.seconds), f"{found['executed'] + found['recomputed']} cells executed"),
    ]
    if found["served"] or found["run"]:
        total = found["served"] + found["run"]
        tiles.append(("tasks served", f"{found['served']} of {total}", f"{found['run']} run"))
    if found["failed"]:
        tiles.append(("failed", str(found["failed"]), "cells raised"))
    return (
        '<dl class="tiles">'
        + "".join(
            f'<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd><dd class="soft">{escape(more)}</dd></div>'
            for name, value, more in tiles
        )
        + "</dl>"
    )


def runs(book: Book) -> str:
    """The runs as a choice, newest first, each with a bar of what it did."""
    rows = []
    for place, view in enumerate(book.runs):
        found = counts(view)
        total = max(1, sum(found[action] for action in SHOWN))
        bar = "".join(
            f'<i class="{action}" style="width:{100 * found[action] / total:.2f}%"></i>'
            for action in SHOWN
            if found[action]
        )
        words = ", ".join(f"{found[action]} {action}" for action in SHOWN if found[action])
        if found["served"] or found["run"]:
            words += f"; tasks: {found['served']} served, {found['run']} run"
        checked = "" if place else " checked"
        rows.append(
            f'<label class="run"><input type="radio" name="run" value="{place}"{checked}>'
            f'<span class="mode">{escape(view.run.mode)}</span>'
            f'<span class="when">{moment(view.run.started)}</span>'
            f'<span class="bar" aria-hidden="true">{bar}</span><span class="soft">{escape(words)}</span>'
            f'<span class="time">{duration(view.seconds)}</span></label>'
        )
    rest = book.all_runs - len(book.runs)
    more = f'<p class="soft">{rest} earlier runs are left out.</p>' if rest > 0 else ""
    return f'<fieldset class="runs"><legend>Runs</legend>{"".join(rows)}</fieldset>{more}' if rows else ""


def rail(book: Book) -> str:
    """The cells as a list of links, each with a mark for what was done in each run, newest at the left."""
    rows = []
    lasts = [(view.last, again(view.last.values())) for view in book.runs[:MOST_MARKS]]
    for cell in book.cells:
        if cell.kind != "code":
            continue
        marks = "".join(_mark(last.get(cell.key), recomputed) for last, recomputed in lasts)
        rows.append(
            f'<li><a href="#cell-{cell.index}"><span class="marks">{marks}</span>'
            f'<b>{cell.index}</b><span class="line">{escape(headline(cell.source)[:60])}</span></a></li>'
        )
    return "".join(rows)


def _mark(step: Step | None, recomputed: set[str]) -> str:
    action = action_of(step, recomputed) if step is not None else "none"
    return f'<i class="{action}" title="{action}"></i>'
