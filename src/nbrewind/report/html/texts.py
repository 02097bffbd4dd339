"""Source and prose of cells as HTML."""

from __future__ import annotations

from functools import lru_cache
from html import escape

from markdown_it import MarkdownIt
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from nbrewind.report.html import sanitise

MOST_SOURCE = 100_000
"""Characters of a source beyond which it is shown without colours."""


@lru_cache(maxsize=1)
def _tools() -> tuple[PythonLexer, HtmlFormatter, MarkdownIt]:
    # "js-default": links are checked and HTML in the text is shown, not used.
    return PythonLexer(stripnl=False), HtmlFormatter(nowrap=True), MarkdownIt("js-default")


def code(source: str) -> str:
    """Python source with its tokens in spans."""
    if len(source) > MOST_SOURCE:
        return escape(source)
    lexer, formatter, _ = _tools()
    return str(highlight(source, lexer, formatter)).rstrip("\n")


def markdown(text: str) -> str:
    """Prose; images of other places are not loaded, and headings are below those of the page."""
    renderer = _tools()[2]
    tokens = renderer.parse(text)
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(6, int(token.tag[1:]) + 2)}"
    return sanitise.clean_html(renderer.renderer.render(tokens, renderer.options, {}))
