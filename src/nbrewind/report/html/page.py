"""The whole page: one file with its style, its script and its data, and no way out.

The content security policy allows the page's own script by its hash and nothing else: no script
of an output, no network, no frame, no form.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

import nbrewind
from nbrewind.model import Environment
from nbrewind.report.book import Book, messages
from nbrewind.report.dataflow import flow_of
from nbrewind.report.drawing import STYLE
from nbrewind.report.html import panels as panels_of
from nbrewind.report.html.cells import cells_html
from nbrewind.report.html.facts import facts
from nbrewind.report.html.outputs import Budget, outputs_html
from nbrewind.report.html.overview import rail, runs, summary
from nbrewind.report.storage import References, storage
from nbrewind.store import Store

_HERE = Path(__file__).parent
OUTPUT_BYTES = 24_000_000
"""How much the outputs of all runs together may add to the page."""


def page(
    book: Book,
    store: Store,
    references: References,
    environments: Sequence[Environment | None] = (),
) -> str:
    """The report of a notebook.

    ``references`` names the blocks of an image (``values.images``), ``environments`` are those of the
    book's runs where they are known.
    """
    budget = Budget(OUTPUT_BYTES)
    first, others = _outputs(book, store, budget)
    numbers = {cell.key: cell.index for cell in book.cells if cell.kind == "code"}
    flow = flow_of(book.runs[0].steps if book.runs else (), numbers).without_faint()
    stored = storage(book, store, references)
    panels = {
        "cells": ("Cells", f'<div class="notebook">{cells_html(book, flow, first)}</div>'),
        "flow": ("Data-flow", panels_of.flow_panel(flow)),
        "tasks": ("Tasks", panels_of.tasks_panel(book)),
        "changes": ("Changes", panels_of.changes_panel(book)),
        "storage": ("Storage", panels_of.storage_panel(book, stored, store.stats()["bytes"])),
        "environment": ("Environment", panels_of.environment_panel(book, environments)),
    }
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    return _FRAME.format(
        title=escape(book.title),
        policy=_policy(script),
        style=(_HERE / "page.css").read_text(encoding="utf-8") + STYLE,
        summary=summary(book),
        runs=runs(book),
        rail=rail(book),
        tabs=_tabs(panels),
        panels="".join(_panel(name, title, body) for name, (title, body) in panels.items()),
        facts=_embedded(facts(book, others)),
        script=script,
        version=escape(nbrewind.__version__),
    )


def _outputs(book: Book, store: Store, budget: Budget) -> tuple[dict[str, str], dict[str, str]]:
    """Outputs of the newest run by cell, and those of earlier runs that differ from them, by digest."""
    shown: dict[str, str] = {}
    first: dict[str, str] = {}
    for cell in book.cells:
        step = book.runs[0].last.get(cell.key) if book.runs else None
        where = f"cell {cell.index}"
        if step is None or step.record is None:
            first[cell.key] = outputs_html(cell.outputs, where, budget)
        else:
            first[cell.key] = outputs_html(messages(store, step.record), where, budget)
            shown[cell.key] = step.record.outputs
    numbers = {cell.key: cell.index for cell in book.cells}
    others: dict[str, str] = {}
    for view in book.runs:
        for key, step in view.last.items():
            record = step.record
            if record is None or not record.outputs or record.outputs in others:
                continue
            if key not in numbers or shown.get(key) == record.outputs:
                continue
            others[record.outputs] = outputs_html(messages(store, record), f"cell {numbers[key]}", budget)
    return first, others


def _policy(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _embedded(content: object) -> str:
    """JSON that cannot end the element it stands in."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _tabs(panels: dict[str, tuple[str, str]]) -> str:
    return "".join(
        f'<button role="tab" id="tab-{name}" aria-controls="{name}" aria-selected="{str(not place).lower()}" '
        f'tabindex="{-1 if place else 0}">{title}</button>'
        for place, (name, (title, _)) in enumerate(panels.items())
    )


def _panel(name: str, title: str, body: str) -> str:
    return (
        f'<section role="tabpanel" id="{name}" aria-labelledby="tab-{name}" class="panel">'
        f"<h2>{title}</h2>{body}</section>"
    )


_FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{title} · nbrewind report</title>
<style>{style}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header class="top">
<h1>{title}</h1>
<div role="tablist" aria-label="Views">{tabs}</div>
<button id="theme" type="button" aria-label="Switch between light and dark">◐</button>
</header>
<div class="body">
<nav class="rail" aria-label="Cells"><ol>{rail}</ol></nav>
<main id="main" tabindex="-1">
<div class="overview">{summary}{runs}</div>
{panels}
</main>
</div>
<footer class="end">nbrewind {version}. This page needs no network and runs no code of the notebook.</footer>
<script type="application/json" id="facts">{facts}</script>
<script>{script}</script>
</body>
</html>
"""
