"""What the views gather from a store, the data-flow between its cells, and the page made of it."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from nbrewind.model import CellError, TaskCounts, TaskEntry, Version
from nbrewind.report.book import Cell, displayed, gather, tasks_of
from nbrewind.report.dataflow import flow_of, headline, imported_names
from nbrewind.report.html.facts import family
from nbrewind.report.html.page import page
from nbrewind.store import Store
from nbrewind.values.images import references
from support.history import Did, add_run, identity, new_store, shown, stream
from support.stores import place

NOTEBOOK = "/somewhere/x.ipynb"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return new_store(tmp_path)


def cells(*sources: str) -> list[Cell]:
    return [Cell(f"c{index}", index, "code", source) for index, source in enumerate(sources)]


STORY = [
    Did("import json\nscale = 3", writes=["json", "scale"], settings=["cwd"]),
    Did("data = [1]", writes=["data"], files_read=["in.csv"], files_written=["out.csv"]),
    Did(
        "gen = (x for x in data)",
        reads=["data", "json"],
        opaque=["gen"],
        outputs=[stream("<script>alert(1)</script>\n"), shown(text_html="<b>bold</b>", text_plain="b")],
    ),
    Did("total = scale", reads=["scale", "data"], writes=["total"], files_read=["out.csv"]),
]


def test_edges_are_what_was_read_of_what_was_written(store: Store) -> None:
    add_run(store, STORY, name="aaaa", label=NOTEBOOK)
    book = gather(store, title="x", label=NOTEBOOK)
    flow = flow_of(book.runs[0].steps)
    edges = {(e.source, e.target): sorted((i.kind, i.label) for i in e.items) for e in flow.edges}
    assert edges == {
        ("file:in.csv", "c1"): [("file", "in.csv")],
        ("c1", "c2"): [("name", "data")],
        ("c0", "c2"): [("import", "json")],
        ("c0", "c3"): [("name", "scale")],
        ("c1", "c3"): [("file", "out.csv"), ("name", "data")],
    }
    nodes = {node.key: node for node in flow.nodes}
    assert nodes["c2"].opaque == ("gen",) and nodes["file:in.csv"].kind == "file"
    assert ("c0", "c2") not in {(e.source, e.target) for e in flow.without_faint().edges}
    assert json.loads(json.dumps(flow.object()))["nodes"][1]["label"] == "import json"


def test_the_last_writer_before_a_cell_feeds_it(store: Store) -> None:
    again = [
        Did("a = 1", writes=["a"]),
        Did("a += 1", reads=["a"], writes=["a"]),
        Did("print(a)", reads=["a"], writes=["gone"]),
        Did("a = 1", writes=["a"], cell_id="c0"),
    ]
    add_run(store, again, name="bbbb", label=NOTEBOOK)
    flow = flow_of(gather(store, title="x", label=None).runs[0].steps)
    assert {(e.source, e.target) for e in flow.edges} == {("c0", "c1"), ("c1", "c2")}
    assert [node.key for node in flow.nodes] == ["c1", "c2", "c0"]


def test_handles_and_reasons_are_told(store: Store) -> None:
    version = Version(identity("h"), deps=("handle:Client",), summary="Client")
    add_run(
        store,
        [Did("c = Client()", versions={"c": version}), Did("c.gather()", reads=["c"])],
        name="cccc",
        label=NOTEBOOK,
    )
    (edge,) = flow_of(gather(store, title="x", label=NOTEBOOK).runs[0].steps).edges
    assert edge.items[0].handle and edge.items[0].summary == "Client"


def test_tasks_are_told_by_what_ran_in_this_run(store: Store) -> None:
    def task(key: str, created: float, error: str = "") -> TaskEntry:
        return TaskEntry(
            key, f"work-{key}", "", created=created, seconds=0.5, worker="tcp://1", engine="dask", error=error
        )

    tasks = [task("k1", 1000.9), task("k2", 500.0), task("k3", 1000.8, "Boom")]
    did = Did("go()", seconds=1.0, tasks=tasks, counts=TaskCounts(served=1, run=1, failed=1))
    add_run(store, [did], name="dddd", label=NOTEBOOK, started=1000.0)
    book = gather(store, title="x", label=NOTEBOOK)
    rows = tasks_of(book, book.runs[0], book.runs[0].steps[0])
    assert [(row.name, row.state) for row in rows] == [
        ("work-k3", "failed"),
        ("work-k1", "run"),
        ("work-k2", "served"),
    ]
    assert rows[1].start == pytest.approx(0.4)


def test_messages_become_what_was_seen_in_the_end() -> None:
    def display(kind: str, text: str) -> dict[str, object]:
        content = {"data": {"text/plain": text}, "transient": {"display_id": "d"}}
        return {"type": kind, "content": content}

    assert displayed([stream("a"), stream("b"), stream("c", "stderr")])[0]["text"] == "ab"
    assert displayed([display("display_data", "1"), display("update_display_data", "2")])[0]["data"] == {
        "text/plain": "2"
    }
    clear = {"type": "clear_output", "content": {"wait": True}}
    assert [one["text"] for one in displayed([stream("1"), clear, stream("2")])] == ["2"]
    assert displayed([stream("1"), {"type": "clear_output", "content": {}}]) == []
    assert displayed([{"type": "stream"}, {}]) == []


def test_lines_and_names() -> None:
    assert headline("# why\n%%time\nx = 1") == "x = 1" and headline("# only") == "# only"
    assert headline("") == "(empty)"
    assert imported_names("import a.b, c as d\nfrom e import f as g") == {"a", "d", "g"}
    assert imported_names("%magic") == frozenset()
    assert family("climate-06090b78-7a5e-45e3-a180") == "climate"
    assert family("read-csv-0a9b8c7d6e5f") == "read-csv" and family("sum-up") == "sum-up"


class Reader(HTMLParser):
    """Collects what a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[dict[str, str | None]] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.text: list[str] = []
        self.policy = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "script":
            self.scripts.append(found)
        if tag == "meta" and found.get("http-equiv"):
            self.policy = found["content"] or ""
        self.links += [v or "" for k, v in attrs if k in {"href", "src"}]
        self.ids += [v or "" for k, v in attrs if k == "id"]
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    return reader


def edited(store: Store) -> str:
    """The page of an audit and a repeat after an edit, with a cell that failed."""
    add_run(store, STORY, name="aaaa", label=NOTEBOOK)
    changed = [
        Did("scale = 4", writes=["scale"], reason="source changed"),
        *(
            Did(**{**one.__dict__, "action": "restored", "reason": "trace holds", "took": 0.001})
            for one in STORY[1:3]
        ),
        Did(
            "total = scale",
            reads=["scale"],
            action="failed",
            reason="changed",
            changed=["name:scale"],
            error=CellError("ValueError", "bad </script>"),
        ),
    ]
    add_run(store, changed, name="bbbb", label=NOTEBOOK, mode="repeat", started=2_000_000.0)
    book = gather(
        store,
        title="x <b>.ipynb",
        label=NOTEBOOK,
        cells=[
            Cell("t", -1, "markdown", "# Heading\n<script>alert(2)</script>"),
            *cells("scale = 4", *(one.source for one in STORY[1:])),
        ],
    )
    return page(book, store, references)


def test_the_page_stands_alone_and_says_what_happened(store: Store) -> None:
    text = edited(store)
    reader = read(text)
    assert len(reader.scripts) == 2 and reader.scripts[0]["type"] == "application/json"
    assert re.fullmatch(
        r"default-src 'none'; script-src 'sha256-[^']+'; style-src 'unsafe-inline'; img-src data:; "
        r"base-uri 'none'; form-action 'none'",
        reader.policy,
    )
    assert all(link.startswith(("#", "data:image/")) for link in reader.links)
    assert len(set(reader.ids)) == len(reader.ids)
    assert all(link[1:] in reader.ids for link in reader.links if link.startswith("#"))
    words = " ".join(reader.text)
    for expected in ("2 of 4", "source changed", "name:scale", "ValueError", "x <b>.ipynb", "Heading"):
        assert expected in words
    assert "<b>bold</b>" in text and "<script>alert" not in text


def test_the_facts_of_all_runs_are_in_the_page(store: Store) -> None:
    text = edited(store)
    found = re.search(r'<script type="application/json" id="facts">(.*?)</script>', text, re.DOTALL)
    assert found
    facts = json.loads(found.group(1))
    assert [run["mode"] for run in facts["runs"]] == ["repeat", "audit"]
    assert [step["action"] for step in facts["steps"][0]] == ["executed", "restored", "restored", "failed"]
    assert facts["runs"][0]["counts"]["failed"] == 1 and len(facts["cells"]) == 4


def test_a_store_without_runs_gives_a_page_with_the_notebook(store: Store) -> None:
    saved = ({"output_type": "stream", "name": "stdout", "text": "saved"},)
    book = gather(store, title="x", label=NOTEBOOK, cells=[Cell("a", 0, "code", "x", saved)])
    text = page(book, store, references)
    assert "no run of this notebook" in text and "saved" in text


def test_damage_is_no_reason_not_to_look(store: Store) -> None:
    add_run(store, STORY, name="aaaa", label=NOTEBOOK)
    record = store.records(identity("gen = (x for x in data)"))[0]
    store.flush()
    place(store.path, record.outputs).write(b"spoilt")
    store.close()
    again = Store.open(store.path, create=False, readonly=True)
    text = page(gather(again, title="x", label=NOTEBOOK), again, references)
    assert "gen" in text and "alert" not in text
