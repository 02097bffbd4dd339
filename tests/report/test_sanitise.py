"""Outputs may come from anybody: nothing of them runs, loads or leaves its place."""

from __future__ import annotations

import re

import pytest

from nbrewind.report.html.outputs import Budget, ansi, outputs_html
from nbrewind.report.html.sanitise import clean_html, clean_svg, image, svg_image
from nbrewind.report.html.texts import code, markdown
from support.hostile import HOSTILE

FORBIDDEN = re.compile(
    r"<(script|iframe|object|embed|form|input|meta|base|link|style|svg|math|template|noscript|video|audio)\b"
    r"|<[^>]*\son[a-z]+\s*=|javascript:|<[^>]*(src|href)=\"(?!data:image/|https?:|mailto:|#)"
    r"|<img[^>]*src=\"(?!data:image/)|position|expression|<[^>]*\s(id|class|name)=|url\(",
    re.IGNORECASE,
)


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_hostile_is_left_in_html_or_prose(text: str) -> None:
    for cleaned in (clean_html(text), clean_html(f"<table><tr><td>{text}</td></tr></table>")):
        assert not FORBIDDEN.search(cleaned), cleaned
    assert not FORBIDDEN.search(re.sub(r"&lt;.*?&gt;", "", markdown(text)))


def test_what_people_show_survives() -> None:
    table = "<table border='1' class='dataframe'><thead><tr><th>a</th></tr></thead><tr><td style='color:red'>1</td></tr></table>"
    cleaned = clean_html(table)
    assert "<th>a</th>" in cleaned and "color:red" in cleaned and "class" not in cleaned
    link = clean_html("<a href='https://example.org'>x</a>")
    assert 'href="https://example.org"' in link and "noopener" in link
    drawing = clean_html("<p>see <svg viewBox='0 0 1 1'><rect width='1' height='1'/></svg></p>")
    assert 'src="data:image/svg+xml;base64,' in drawing


SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">{}</svg>'


@pytest.mark.parametrize(
    "inner",
    [
        "<script>alert(1)</script>",
        "<rect onload='alert(1)'/>",
        "<foreignObject><body xmlns='http://www.w3.org/1999/xhtml'><script/></body></foreignObject>",
        "<image xlink:href='http://elsewhere.example/x.png'/>",
        "<use xlink:href='http://elsewhere.example/x.svg#a'/>",
        "<a xlink:href='javascript:alert(1)'><rect/></a>",
        "<style>@import url(http://elsewhere.example)</style>",
        "<rect style='fill:url(http://elsewhere.example)'/>",
        "<animate attributeName='href' to='javascript:alert(1)'/>",
        "<set attributeName='onload' to='alert(1)'/>",
        "<script xmlns='http://www.w3.org/1999/xhtml'>alert(1)</script>",
    ],
)
def test_drawings_keep_nothing_that_runs_or_loads(inner: str) -> None:
    cleaned = clean_svg(SVG.format(inner + "<rect width='1' fill='url(#g)'/>"))
    assert cleaned and "rect" in cleaned and "url(#g)" in cleaned
    assert not re.search(r"script|alert|elsewhere|foreign|animate|@import", cleaned), cleaned


def test_drawings_that_cannot_be_read_are_not_shown() -> None:
    bomb = '<!DOCTYPE svg [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>' + SVG.format("<text>&b;</text>")
    for text in (bomb, "<svg", "no drawing", "<html/>", "\x00"):
        assert clean_svg(text) == "" and svg_image(text, "x") == ""
    deep = clean_svg(SVG.format("<g>" * 5000 + "</g>" * 5000))
    assert 0 < deep.count("<") < 300
    published = (
        '<?xml version="1.0"?>\n<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://x">' + SVG.format("")
    )
    assert clean_svg(published)


def test_images_are_images() -> None:
    assert image("image/png", "aGVsbG8=\n", 'a "b"') == (
        '<img src="data:image/png;base64,aGVsbG8=" alt="a &quot;b&quot;" loading="lazy">'
    )
    assert image("image/png", "not base64!", "x") == "" and image("text/html", "aGVsbG8=", "x") == ""


def test_the_richest_form_that_needs_no_script_is_shown() -> None:
    def one(**data: object) -> str:
        bundle = {key.replace("__", "/"): value for key, value in data.items()}
        return outputs_html([{"output_type": "display_data", "data": bundle}], "cell 1", Budget(10**6))

    assert "<b>1</b>" in one(text__html="<b>1</b>", text__plain="one")
    assert "data:image/png" in one(image__png="aGVsbG8=", text__plain="<Figure>")
    scripted = one(text__html="<script>draw()</script>", text__plain="Plot")
    assert "Plot" in scripted and "not run here" in scripted and "draw" not in scripted
    live = one(**{"application/vnd.plotly.v1+json": {}}, text__html="<div>x</div>", text__plain="Figure()")
    assert "Figure()" in live and "vnd.plotly" in live
    assert "<pre>&lt;b&gt;</pre>" in one(text__plain="<b>")
    assert outputs_html([{"output_type": "display_data", "data": 3}, {}], "x", Budget(10)) == ""


def test_streams_and_errors_are_text() -> None:
    shown = outputs_html(
        [
            {"output_type": "stream", "name": "stdout", "text": ["<b>", "\x1b[31mred\x1b[0m plain"]},
            {"output_type": "stream", "name": "'><script>", "text": "10%\r20%\rdone\n"},
            {"output_type": "error", "ename": "E", "evalue": "<i>", "traceback": []},
        ],
        "cell 1",
        Budget(10**6),
    )
    assert "&lt;b&gt;" in shown and '<span class="ansi-1">red</span> plain' in shown
    assert ">done\n<" in shown and "E: &lt;i&gt;" in shown and "<script" not in shown
    assert "characters are left out" in ansi("x" * 100_000)
    assert ansi("\x1b[1;38;2;1;2;3mx\x1b[0m") == '<span class="bold" style="color:rgb(1,2,3)">x</span>'


def test_what_does_not_fit_is_named() -> None:
    budget = Budget(100)
    shown = outputs_html([{"output_type": "stream", "name": "stdout", "text": "y" * 500}], "cell 1", budget)
    assert "left out" in shown and budget.omitted == 1


def test_sources_have_coloured_tokens_and_stay_what_they_are() -> None:
    html = code("def f(x):\n    return x < '<script>'\n")
    assert '<span class="k">def</span>' in html and "<script>" not in html
    assert code("x" * 200_000) == "x" * 200_000
    assert "<h3>" in markdown("# Title") and "<h6>" in markdown("###### x")
