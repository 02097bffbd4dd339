"""Outputs of cells as harmless HTML: the richest form that needs no script, else the plain text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from html import escape
from typing import Any

from rich.color import Color, ColorType
from rich.style import Style
from rich.text import Text

from nbrewind.report.html import sanitise
from nbrewind.report.html.texts import markdown
from nbrewind.report.words import joined, size

MOST_TEXT = 60_000
"""Characters of one output's text that are shown."""

MOST_HTML = 400_000
MOST_IMAGE = 6_000_000

_TEXT = "text/plain"


class Budget:
    """Bytes that outputs may add to the page; what does not fit is named with its size."""

    def __init__(self, total: int) -> None:
        self.left = total
        self.omitted = 0

    def take(self, text: str) -> str:
        """``text``, or a sentence in its place."""
        if len(text) > self.left:
            self.omitted += 1
            return _note(f"an output of {size(len(text))} is left out: the page would become too large")
        self.left -= len(text)
        return text


def outputs_html(outputs: Iterable[dict[str, Any]], where: str, budget: Budget) -> str:
    """All outputs of one cell; ``where`` names the cell for people who hear the page."""
    return "".join(budget.take(_output(output, where)) for output in outputs)


def _output(output: dict[str, Any], where: str) -> str:
    kind = output.get("output_type")
    if kind == "stream":
        name = "stderr" if output.get("name") == "stderr" else "stdout"
        return f'<pre class="stream {name}">{ansi(joined(output.get("text")))}</pre>'
    if kind == "error":
        trace = output.get("traceback")
        lines = [str(line) for line in trace] if isinstance(trace, list) else []
        text = "\n".join(lines) or f"{output.get('ename', 'Error')}: {output.get('evalue', '')}"
        return f'<pre class="stream failure" aria-label="error of {escape(where)}">{ansi(text)}</pre>'
    data = output.get("data")
    return f'<div class="result">{_bundle(data, where)}</div>' if isinstance(data, dict) else ""


def _bundle(data: dict[str, Any], where: str) -> str:
    """The richest of a result's forms that can be shown."""
    plain = joined(data.get(_TEXT))
    alt = f"Output of {where}: {plain[:200]}" if plain else f"Output of {where}"
    live = [kind for kind in data if kind not in _QUIET and not kind.startswith(("text/", "image/"))]
    html = joined(data.get("text/html"))
    if html and len(html) <= MOST_HTML and not live:
        clean = sanitise.clean_html(html)
        if re.sub(r"<(?!img)[^>]*>|\s", "", clean):
            return f'<div class="rich">{clean}</div>'
    if drawing := joined(data.get("image/svg+xml")):
        shown = sanitise.svg_image(drawing, alt) if len(drawing) <= MOST_IMAGE else ""
        if shown:
            return shown
    for kind in ("image/png", "image/jpeg", "image/webp", "image/gif"):
        packed = joined(data.get(kind))
        if packed and len(packed) > MOST_IMAGE:
            return _note(f"an image of {size(len(packed))} is left out") + _pre(plain)
        if packed and (shown := sanitise.image(kind, packed, alt)):
            return shown
    if text := joined(data.get("text/markdown")):
        return f'<div class="rich prose">{markdown(text[:MOST_TEXT])}</div>'
    if text := joined(data.get("text/latex")):
        return f'<pre class="latex">{escape(text[:MOST_TEXT])}</pre>'
    if live or html:
        what = ", ".join(live) if live else "text/html with scripts"
        return _pre(plain) + _note(f"an interactive output ({what}) is not run here")
    if "application/json" in data and not plain:
        return _pre(json.dumps(data["application/json"], indent=1, ensure_ascii=False)[:MOST_TEXT])
    return _pre(plain)


_QUIET = frozenset({"application/json", "application/pdf"})
"""Forms beside others that need no script."""


def _pre(text: str) -> str:
    return f"<pre>{ansi(text)}</pre>" if text else ""


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'


def ansi(text: str) -> str:
    """Text of a terminal: colours become spans, progress bars their last state."""
    cut = ""
    if len(text) > MOST_TEXT:
        rest = len(text) - MOST_TEXT
        text, cut = text[:MOST_TEXT], _note(f"{rest} more characters are left out")
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
    if "\x1b" not in text:
        return escape("\n".join(lines)) + cut
    return "\n".join(_spans(Text.from_ansi(line)) for line in lines) + cut


def _spans(line: Text) -> str:
    out = []
    position = 0
    for span in sorted(line.spans, key=lambda span: span.start):
        if span.start < position:
            continue
        out.append(escape(line.plain[position : span.start]))
        words = escape(line.plain[span.start : span.end])
        look = _look(span.style) if isinstance(span.style, Style) else ""
        out.append(f"<span {look}>{words}</span>" if look else words)
        position = span.end
    return "".join(out) + escape(line.plain[position:])


def _look(style: Style) -> str:
    """The attributes of a span; the sixteen named colours are the page's, which suit its background."""
    classes = [name for name, on in (("bold", style.bold), ("italic", style.italic)) if on]
    css = ""
    color: Color | None = style.color
    if color is not None and color.number is not None and color.number < 16:
        classes.append(f"ansi-{color.number % 8}")
    elif color is not None and color.type is not ColorType.DEFAULT:
        red, green, blue = color.get_truecolor()
        css = f' style="color:rgb({red},{green},{blue})"'
    return (f'class="{" ".join(classes)}"' if classes else "") + css
