"""Comparing outputs: what is equal, what is close, what is different, and that nothing of it is unbounded."""

from __future__ import annotations

import base64
import builtins
import io
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nbrewind.report.compare import images, texts
from nbrewind.report.compare.notebooks import (
    compare_notebooks,
    comparison_lines,
    comparison_object,
    verdict_of,
)
from nbrewind.report.compare.outputs import MOST_DIFFS, compare_outputs, worst
from nbrewind.report.compare.texts import DIFF_LINES, Tolerance, compare_texts, short_diff

TOLERANCE = Tolerance()
Output = dict[str, Any]


def stream(text: str, name: str = "stdout") -> Output:
    return {"output_type": "stream", "name": name, "text": text}


def result(**data: Any) -> Output:
    kinds = {"plain": "text/plain", "json": "application/json", "png": "image/png", "svg": "image/svg+xml"}
    return {
        "output_type": "execute_result",
        "execution_count": 1,
        "metadata": {},
        "data": {kinds.get(name, name): value for name, value in data.items()},
    }


def error(value: str, trace: str = "") -> Output:
    return {"output_type": "error", "ename": "ValueError", "evalue": value, "traceback": [trace]}


def png(
    color: tuple[int, ...] = (10, 20, 30), size: tuple[int, int] = (8, 6), kind: str = "PNG", **more: Any
) -> str:
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, kind, **more)
    return base64.b64encode(file.getvalue()).decode()


def verdict(one: list[Output], other: list[Output], **more: float) -> str:
    return worst(compare_outputs(one, other, Tolerance(**more)))


def of_texts(one: str, other: str, **more: float) -> str:
    return compare_texts(one, other, Tolerance(**more)).verdict


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("x = 1.0", "x = 1.0000000001", "close"),
        ("x = 1.0", "x = 1.1", "different"),
        ("x = 1.0", "y = 1.0", "different"),
        ("100000000", "100000001", "close"),  # also whole numbers
        ("3", "4", "different"),
        ("a  b\n c", "a b c", "close"),
        ("ab", "a b", "different"),
        ("[ 1.  -0.5]", "[1. -0.5]", "close"),
        ("[[[1]]]", "[[[[1]]]]", "different"),
        ("a\n-----\n1.0", "a\n------\n1.0", "close"),
        ("<A at 0x7f01020304>", "<A at 0x7f0a0b0c0d>", "close"),
        ("<A at 0x7f01020304> 1", "<A at 0x7f0a0b0c0d> 2", "different"),
        ("/tmp/ipykernel_12/9.py:1: W", "/tmp/ipykernel_7/9.py:1: W", "close"),
        ("(1+2j)", "(1+2.0000000001j)", "close"),
        ("v1.2.3", "v1.2.4", "different"),
        ("1.2.3000000000", "1.2.3000000001", "different"),
        ("3e8f7a", "3e8f7b", "different"),
        ("nan 1.0", "nan 1.0000000001", "close"),
        ("nan", "1.0", "different"),
        ("0.0", "-0.0", "close"),
        ("1e-300", "0", "different"),
        ("9" * 400, "8" * 400, "different"),  # not both infinite
        ("1e999", "2e999", "different"),
        ("1.5", "1.5 1.5", "different"),
        ("", "x", "different"),
        ("", " ", "close"),
    ],
)
def test_texts(one: str, other: str, expected: str) -> None:
    assert of_texts(one, other) == of_texts(other, one) == expected


def test_the_tolerances() -> None:
    assert of_texts("1.0", "1.1", relative=0.2) == "close"
    assert of_texts("0.0", "0.001") == "different"
    assert of_texts("0.0", "0.001", absolute=0.01) == "close"
    found = compare_texts("a 1.0 b 200", "a 1.1 b 200.0000001", TOLERANCE)
    assert found.verdict == "different" and found.relative == pytest.approx(0.1 / 1.1)
    assert compare_texts("1e308", "-1e308", TOLERANCE).relative == 2.0


def test_a_diff_begins_where_the_difference_is() -> None:
    found = short_diff("one\ntwo\nthree", "one\n2\nthree")
    assert found == ("@@ line 2 @@", "-two", "+2", " three")
    [head, old, new] = short_diff("x" * 5000 + "old" + "y" * 5000, "x" * 5000 + "new" + "y" * 5000)
    assert head == "@@ line 1 @@" and old.startswith("-" + "x" * 40 + "old") and "new" in new
    assert short_diff("a", "a\n") == ("@@ line 1 @@", " a", "+")


PIECES = st.sampled_from(
    ["1", "1.0", "1.00000001", "-2e3", " ", "\n", "a", "b", ".", "-", "0x7f00aa", "\x1b", "é"]
)
TEXTS = st.lists(PIECES, max_size=8).map("".join) | st.text(max_size=20)


@given(TEXTS)
def test_a_text_is_equal_to_itself(text: str) -> None:
    assert of_texts(text, text) == "equal"


@given(TEXTS, TEXTS)
def test_verdicts_on_texts_are_symmetric(one: str, other: str) -> None:
    first, second = compare_texts(one, other, TOLERANCE), compare_texts(other, one, TOLERANCE)
    assert (first.verdict, first.relative, first.note) == (second.verdict, second.relative, second.note)
    assert (first.verdict == "equal") == (one == other)
    assert bool(first.diff) == (first.verdict == "different")
    assert all(line.isprintable() for line in first.diff)


@given(st.floats(allow_nan=False), st.floats(0, 1e-3))
def test_numbers_within_the_tolerance_are_close(number: float, apart: float) -> None:
    other = number * (1 + apart)
    found = compare_texts(f"x {number!r} y", f"x {other!r} y", Tolerance(relative=2e-3))
    assert found.verdict == "equal" or other in (float("inf"), float("-inf")) or found.verdict == "close"


OUTPUTS = st.lists(
    st.one_of(
        st.builds(stream, TEXTS, st.sampled_from(["stdout", "stderr"])),
        st.builds(lambda text: result(plain=text), TEXTS),
        st.builds(lambda value: result(json=value), st.recursive(st.floats() | TEXTS, st.lists)),
        st.builds(error, TEXTS),
    ),
    max_size=5,
)


@given(OUTPUTS)
def test_outputs_are_equal_to_themselves(outputs: list[Output]) -> None:
    assert verdict(outputs, outputs) == "equal"


@given(OUTPUTS, OUTPUTS)
def test_verdicts_on_outputs_are_symmetric(one: list[Output], other: list[Output]) -> None:
    assert verdict(one, other) == verdict(other, one)


def test_streams_are_merged() -> None:
    whole = [stream("ab\n"), stream("x", "stderr")]
    assert verdict([stream("a"), stream("x", "stderr"), stream("b\n")], whole) == "equal"
    assert verdict([stream("a"), result(plain="1"), stream("b\n")], [stream("ab\n"), result(plain="1")]) == (
        "different"
    )
    lines = {"output_type": "stream", "name": "stdout", "text": ["a", "b\n"]}
    assert verdict([lines], [stream("ab\n")]) == "equal"


def test_outputs_of_one_side_shift_nothing() -> None:
    found = compare_outputs(
        [stream("warning", "stderr"), stream("1"), result(plain="2")],
        [stream("1"), result(plain="2"), result(plain="3")],
        TOLERANCE,
    )
    assert [(one.kind, one.verdict) for one in found] == [
        ("stdout", "equal"),
        ("text/plain", "equal"),
        ("text/plain", "only in B"),
        ("stderr", "only in A"),
    ]
    other_order = compare_outputs(
        [stream("1"), result(plain="2")], [result(plain="2"), stream("1")], TOLERANCE
    )
    assert worst(other_order) == "different" and other_order[-1].kind == "order"


def test_what_does_not_count() -> None:
    one, other = result(plain="1"), result(plain="1")
    other |= {"execution_count": 7, "metadata": {"x": 1}, "output_type": "display_data"}
    assert verdict([one], [other]) == "equal"
    assert verdict([error("x", "File a")], [error("x", "File b")]) == "equal"
    assert verdict([error("x")], [error("y")]) == "different"
    assert verdict([error("0x7f0102aa")], [error("0x7f0102bb")]) == "close"


def test_json_is_compared_by_its_content() -> None:
    one = {"a": [1.0, {"b": "x"}], "c": None}
    assert verdict([result(json=one)], [result(json={"c": None, "a": [1.0, {"b": "x"}]})]) == "equal"
    assert verdict([result(json=one)], [result(json={"a": [1.0000000001, {"b": "x"}], "c": None})]) == "close"
    assert verdict([result(json=one)], [result(json={"a": [1.0, {"b": "y"}], "c": None})]) == "different"
    assert verdict([result(json=True)], [result(json=1)]) == "different"
    plotly = "application/vnd.plotly.v1+json"
    assert verdict([result(**{plotly: {"y": [1.0]}})], [result(**{plotly: {"y": [2.0]}})]) == "different"


def test_other_types() -> None:
    widget = "application/vnd.jupyter.widget-view+json"
    assert (
        verdict([result(**{widget: {"model_id": "a"}})], [result(**{widget: {"model_id": "b"}})]) == "close"
    )
    assert verdict([result(**{"application/pdf": "QQ=="})], [result(**{"application/pdf": "QR=="})]) == (
        "different"
    )
    assert verdict([result(plain="1")], [result(plain="1", png=png())]) == "different"
    drawing = '<dc:date>{}</dc:date><path id="m{}" d="M 1.0 2"/><use href="#m{}"/>'
    one, other = (drawing.format(day, name, name) for day, name in (("2025", "0a" * 5), ("2026", "1b" * 5)))
    assert verdict([result(svg=one)], [result(svg=other)]) == "equal"
    assert verdict([result(svg=one)], [result(svg=other.replace("1.0", "1.5"))]) == "different"


def test_images_are_compared_by_their_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    def compare(one: str, other: str, kind: str = "image/png", most: float = 0.001) -> tuple[str, str]:
        found = images.compare_images(kind, one, other, most)
        return found.verdict, found.note

    assert compare(png(), png(compress_level=0)) == ("equal", "other bytes, the same pixels")
    assert compare(png(), png((10, 20, 31)))[0] == "different"
    assert compare(png(), png((10, 20, 31)), most=0.004)[0] == "close"
    assert compare(png(), png(size=(8, 7))) == ("different", "8 x 6 against 8 x 7 pixels")
    jpeg = [png(kind="JPEG", quality=quality) for quality in (60, 95)]
    assert compare(*jpeg, kind="image/jpeg", most=0.01)[0] != "different"
    assert "cannot read" in compare(png(), "bm90IGFuIGltYWdl")[1]
    assert "cannot read" in compare(png(), png()[:-40])[1]
    assert compare("x", "y")[0] == "different"
    frames = png(kind="PNG", save_all=True, append_images=[Image.new("RGB", (8, 6))])
    assert "several frames" in compare(png(), frames)[1]

    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("PIL"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert "install Pillow" in compare(png(), png((1, 2, 3)))[1]
    assert compare(png(), png())[0] == "equal"


def bomb(width: int, height: int) -> str:
    """A PNG that claims to be huge."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))

    head = struct.pack(">LLBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(bytes(1000))), chunk(b"IEND", b"")
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(parts)).decode()


@pytest.mark.parametrize("size", [(8000, 8000), (10_000, 10_000), (60_000, 60_000)])
def test_a_decompression_bomb_is_not_decoded(size: tuple[int, int]) -> None:
    one, other = bomb(*size), bomb(size[0], size[1] + 1)
    found = images.compare_images("image/png", one, other, 0.001)
    assert found.verdict == "different" and "pixels are not compared" in found.note


@pytest.mark.parametrize(
    "unit", ["1", "a", "1.", ".1", "1e", "-", "+-", "0x", "0xab", "aaaaaaaa-", "x" * 99 + "\n", "\x1b["]
)
def test_no_text_takes_longer_than_its_length(unit: str) -> None:
    """Each of these would take minutes if an expression backtracked: the limit of pytest would end it."""
    text = unit * (400_000 // len(unit))
    found = compare_texts(text + "!", text + "?", TOLERANCE)
    assert found.verdict == "different"
    assert len(found.diff) <= DIFF_LINES + 1 and sum(map(len, found.diff)) < 20_000


def test_texts_of_any_size_are_compared_somehow() -> None:
    text = "0.5 " * texts.MOST_COMPARED
    assert of_texts(f"{text}1.0 {text}", f"{text}1.00000001 {text}") == "close"
    found = compare_texts(f"1.0 {text}1.0", f"1.00000001 {text}1.00000001", TOLERANCE)
    assert found.verdict == "different" and "2,000,000" in found.note and len(found.diff) <= DIFF_LINES + 1


def book(*cells: tuple[str | None, str, list[Output]]) -> dict[str, Any]:
    made = []
    for cell_id, source, outputs in cells:
        cell: dict[str, Any] = {"cell_type": "code", "source": source, "outputs": outputs}
        made.append(cell | ({"id": cell_id} if cell_id else {}))
    return {"cells": [{"cell_type": "markdown", "source": "text"}, *made]}


def test_cells_are_matched_by_id_and_else_by_place() -> None:
    first = book(("a", "1", [result(plain="1")]), ("b", "2", [result(plain="2")]), ("c", "", []))
    second = book(("new", "n = 1", []), ("a", "1", [result(plain="1")]), ("b", "2", [result(plain="2.5")]))
    found = compare_notebooks(first, second)
    assert [(cell.cell_id, cell.index, cell.verdict) for cell in found] == [
        ("new", 0, "only in B"),
        ("a", 1, "equal"),
        ("b", 2, "different"),
        ("c", 2, "only in A"),
    ]
    assert verdict_of(found) == "different"
    unnamed = [book(*((None, source, outputs) for source, outputs in [("x", [stream("1")]), ("y", [])]))] * 2
    assert [cell.verdict for cell in compare_notebooks(*unnamed)] == ["equal", "equal"]


def test_a_cell_without_outputs_makes_no_difference() -> None:
    """As the cell of parameters that papermill adds."""
    one, other = book(("a", "1", [stream("1")])), book(("p", "n = 1", []), ("a", "1", [stream("1")]))
    found = compare_notebooks(one, other)
    assert [cell.verdict for cell in found] == ["only in B", "equal"] and verdict_of(found) == "equal"
    assert verdict_of(compare_notebooks(one, book(("p", "n", [stream("1")]), ("a", "1", [stream("1")])))) == (
        "different"
    )


def test_what_is_told_is_bounded_and_harmless() -> None:
    wild = "\x1b]0;title\x07\u202e\udcff\x9b31m"
    outputs = [result(plain=f"{wild}{number}\n" * 50, **{wild: "x"}) for number in range(300)]
    first = book(("a", wild, outputs))
    second = book(("a", wild, [result(plain=f"{number}{wild}", **{wild: "y"}) for number in range(300)]))
    cells = compare_notebooks(first, second)
    lines = [line.plain for line in comparison_lines(cells)]
    assert len(lines) < 200 and lines[-1] == "outputs compared: 1 different"
    assert "and 590 more outputs" in lines[-2]
    assert all(line.isprintable() for line in lines)
    told = comparison_object(cells)
    assert sum(bool(output["diff"]) for output in told["cells"][0]["outputs"]) == MOST_DIFFS
    assert told["verdict"] == "different" and told["totals"]["different"] == 1
    str(told).encode("utf-8")  # also for files: no lone surrogates
