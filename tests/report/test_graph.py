"""Places of nodes, and the graph in its forms."""

from __future__ import annotations

import json
import random
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from cli.conftest import Command, folder, nbrewind, save_book
from nbrewind.report.dataflow import Edge, Flow, Item, Node
from nbrewind.report.drawing import dot, mermaid, svg, words
from nbrewind.report.layout import Size, _isotonic, layered
from support.history import Did, add_run, new_store

__all__ = ["folder", "nbrewind"]


def random_edges(count: int, seed: int) -> list[tuple[int, int]]:
    rng = random.Random(seed)
    return [(rng.randrange(target), target) for target in range(1, count) for _ in range(rng.randrange(3))]


@pytest.mark.parametrize("seed", range(6))
def test_edges_go_down_and_boxes_do_not_touch(seed: int) -> None:
    count = 60
    edges = random_edges(count, seed)
    size = Size()
    layout = layered(count, edges, size)
    for (source, target), route in zip(edges, layout.routes, strict=True):
        assert layout.centres[source][1] < layout.centres[target][1]
        assert [y for _, y in route] == sorted(y for _, y in route)
        assert route[0] == (layout.centres[source][0], layout.centres[source][1] + size.height / 2)
        assert abs(route[-1][0] - layout.centres[target][0]) <= size.width / 2
    for one in range(count):
        for other in range(one):
            (x0, y0), (x1, y1) = layout.centres[one], layout.centres[other]
            assert y0 != y1 or abs(x0 - x1) >= size.width
    assert all(0 <= x <= layout.width and 0 <= y <= layout.height for x, y in layout.centres)


def test_rows_have_an_end_and_edges_against_the_order_a_way() -> None:
    layout = layered(50, [], Size(most=8))
    rows = {y for _, y in layout.centres}
    assert len(rows) == 7
    back = layered(2, [(1, 0)], Size())
    assert back.routes[0][0][1] > back.routes[0][-1][1]
    assert layered(0, []).centres == []


def test_a_source_that_one_cell_uses_stands_above_it() -> None:
    layout = layered(5, [(0, 4), (1, 2), (2, 3), (3, 4)])
    rows = [y for _, y in layout.centres]
    assert rows[1] < rows[2] < rows[3] == rows[0] < rows[4]


def test_isotonic_is_the_nearest_rising_sequence() -> None:
    assert _isotonic([1, 2, 3], [1, 1, 1]) == [1, 2, 3]
    assert _isotonic([3, 1], [1, 1]) == [2, 2]
    assert _isotonic([3, 1, 5, 4], [1, 3, 1, 1]) == [1.5, 1.5, 4.5, 4.5]


FLOW = Flow(
    [
        Node("file:in.csv", "file", "in.csv"),
        Node("a", "cell", 'x = "<b>"', 0, "executed", 1.5, ("gen",)),
        Node("b", "cell", "y = x", 1, "restored", 0.001),
    ],
    [
        Edge("file:in.csv", "a", [Item("file", "in.csv")]),
        Edge("a", "b", [Item("name", "x"), Item("name", "gen", opaque="a generator")]),
    ],
)


def test_the_picture_is_well_formed_and_names_what_goes_where() -> None:
    root = ET.fromstring(svg(FLOW, title="of <x>"))
    text = " ".join("".join(element.itertext()) for element in root.iter())
    for expected in ('x = "<b>"', "gen not stored", "x, gen (not stored)", "in.csv", "executed, 1.50 s"):
        assert expected in text
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", svg(FLOW))
    assert "<style>" not in svg(FLOW, alone=False) and 'href="#cell-0"' in svg(FLOW, alone=False)
    assert svg(Flow([], []))


def test_many_edges_have_no_names_beside_them() -> None:
    nodes = [Node(str(i), "cell", "x", i, "executed") for i in range(200)]
    edges = [Edge(str(i), str(i + 1), [Item("name", "v")]) for i in range(199)]
    assert 'class="names"' not in svg(Flow(nodes, edges)) and 'class="names"' in svg(FLOW)


def test_the_texts_for_other_tools_escape_what_they_must() -> None:
    assert '"0: x = \\"<b>\\""' in dot(FLOW) and "n1 -> n2" in dot(FLOW) and "style=dashed" in dot(FLOW)
    text = mermaid(FLOW)
    assert text.startswith("flowchart TD") and "#34;#60;b#62;#34;" in text and "-.->" in text
    assert "<- 0: x, gen (not stored)" in words(FLOW) and "<- file in.csv" in words(FLOW)


def test_the_verb_writes_each_form(nbrewind: Command, folder: Path) -> None:
    path = save_book(folder / "x.ipynb", "import json\na = 1", "print(a)")
    assert nbrewind("graph", path).code == 4
    store = new_store(folder)
    store.flush()
    nothing = nbrewind("graph", path)
    assert nothing.code == 2 and "nbrewind audit" in nothing.err
    add_run(
        store,
        [Did("import json\na = 1", writes=["json", "a"]), Did("print(a)", reads=["a", "json"])],
        name="aaaa",
        label=str(path),
    )
    store.close()
    assert "<- 0: a\n" in nbrewind("graph", path).out
    assert "a, json" in nbrewind("graph", path, "--imports").out
    assert "2 nodes, 1 edges" in nbrewind("graph", path, "-o", "flow.svg").out
    assert ET.parse(folder / "flow.svg").getroot().tag.endswith("svg")
    assert nbrewind("graph", path, "--format", "mermaid").out.startswith("flowchart")
    content = nbrewind("graph", path, "--json").json
    assert content["schema"] == 1 and [edge["target"] for edge in content["edges"]] == ["c1"]
    nbrewind("graph", path, "-o", "flow.json")
    assert json.loads((folder / "flow.json").read_text())["edges"] == content["edges"]
    assert nbrewind("graph", path, "-o", "flow.png").code == 2
    assert nbrewind("graph", path, "-o", folder / "absent" / "flow.dot").code == 3
