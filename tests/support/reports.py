"""Notebooks with histories to make reports of: an everyday one, a hostile one, a large one."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from nbrewind.model import CellError, TaskCounts, TaskEntry, Version
from nbrewind.store import Store
from support.history import Did, add_run, identity, new_store, shown, stream
from support.hostile import HOSTILE

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def save(folder: Path, name: str, cells: Sequence[Did], texts: dict[int, str]) -> Path:
    """The notebook of these cells; ``texts`` stand before the code cells of these numbers."""
    content = []
    for index, did in enumerate(cells):
        if index in texts:
            content.append(new_markdown_cell(texts[index], id=f"t{index}"))
        content.append(new_code_cell(did.source, id=f"c{index}"))
    path = folder / name
    nbformat.write(new_notebook(cells=content), path)
    return path


def everyday(folder: Path) -> Path:
    """Audited, edited and repeated: restored, executed, recomputed and failed cells, tasks, a hole."""
    path = folder / "everyday.ipynb"
    store = new_store(folder)
    table = "<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody><tr><td>1</td><td>2</td></tr></tbody></table>"
    drawing = "<svg xmlns='http://www.w3.org/2000/svg' width='120' height='40'><rect width='80' height='30' fill='teal'/></svg>"
    first = [
        Did("import numpy as np\nSCALE = 3", writes=["np", "SCALE"], packages={"numpy": "2.4.1"}),
        Did("rows = open('in.csv').read()", writes=["rows"], files_read=["in.csv"]),
        Did("gen = (row for row in rows)", reads=["rows"], opaque=["gen"]),
        Did(
            "out = pool.map(work, rows)\nout",
            reads=["SCALE", "rows"],
            writes=["out"],
            files_written=["out.parquet"],
            seconds=4.0,
            outputs=[shown(text_html=table, text_plain="out"), stream("\x1b[31mslow\x1b[0m\n", "stderr")],
            tasks=_tasks(24, 2_000_000.4),
            counts=TaskCounts(run=24),
        ),
        Did("plot(out)", reads=["out"], outputs=[shown(image_png=PNG, text_plain="<Figure>")]),
        Did(
            "draw(out)",
            reads=["out", "gen"],
            outputs=[{"type": "display_data", "content": {"data": {"image/svg+xml": drawing}}}],
        ),
        Did("client", versions={"client": Version(identity("h"), deps=("handle:Client",), summary="Client")}),
        Did("client.close(); 1 / 0", reads=["client"]),
    ]
    add_run(store, first, name="aaaa", label=str(path), started=2_000_000.0)
    again = [
        replace(did, action="restored", reason="trace holds", took=0.001, counts=TaskCounts())
        for did in first
    ]
    hole = store.records(identity(first[2].source))[0].id
    again[0] = replace(
        first[0], source="import numpy as np\nSCALE = 4", reason="source changed", packages={"numpy": "2.5.0"}
    )
    again[3] = replace(
        first[3],
        reason="name:SCALE changed",
        changed=["name:SCALE"],
        outputs=[stream("other\n")],
        tasks=_tasks(8, 2_000_100.4),
        counts=TaskCounts(served=16, run=8),
        recomputed=[hole],
    )
    again[7] = replace(
        first[7],
        action="failed",
        reason="changed",
        error=CellError("ZeroDivisionError", "division by zero"),
        outputs=[
            {
                "type": "error",
                "content": {
                    "ename": "ZeroDivisionError",
                    "evalue": "division by zero",
                    "traceback": ["1 / 0"],
                },
            }
        ],
    )
    add_run(store, again, name="bbbb", label=str(path), mode="repeat", started=2_000_100.0)
    store.close()
    return save(
        folder,
        path.name,
        again,
        {0: "# Everyday\nText with *marks*, `code` and [a link](https://example.org)."},
    )


def _tasks(count: int, started: float) -> list[TaskEntry]:
    return [
        TaskEntry(
            f"{number:032x}",
            f"work-{number:08x}",
            "",
            created=started + 0.1 * number,
            seconds=0.35,
            worker=f"tcp://127.0.0.1:{40000 + number % 2}",
            engine="dask",
            error="Boom" if number == 5 else "",
        )
        for number in range(count)
    ]


def hostile(folder: Path) -> Path:
    """Every hostile text as HTML, drawing, prose, stream and source."""
    path = folder / "hostile.ipynb"
    attacks = [text.replace("alert(", "globalThis.hacked=alert(") for text in HOSTILE]
    cells = [
        Did(
            f"# {attack}",
            writes=[f"v{number}"],
            reason=attack,
            outputs=[
                shown(text_html=attack, text_plain=attack),
                shown(text_markdown=attack),
                {"type": "display_data", "content": {"data": {"image/svg+xml": attack}}},
                stream(attack),
            ],
        )
        for number, attack in enumerate(attacks)
    ]
    store = new_store(folder)
    add_run(store, cells, name="aaaa", label=str(path))
    changed = [replace(did, outputs=did.outputs[::-1]) for did in cells]
    add_run(store, changed, name="bbbb", label=str(path), started=3_000_000.0)
    store.close()
    return save(folder, path.name, cells, dict(enumerate(attacks)))


def large(folder: Path, *, cells: int = 500, tasks: int = 100_000, runs: int = 4) -> Path:
    """Many cells and many tasks."""
    path = folder / "large.ipynb"
    store = new_store(folder)
    content: list[Did] = []
    for number in range(runs):
        content = _large_run(store, str(path), number, runs, cells, tasks)
    store.close()
    texts = {index: f"## Part {index // 25}\nSome *text*." for index in range(0, cells, 25)}
    return save(folder, path.name, content, texts)


def _large_run(store: Store, label: str, number: int, runs: int, cells: int, tasks: int) -> list[Did]:
    rng = random.Random(7)
    last = number == runs - 1
    started = clock = 2_000_000.0 + 10_000 * number
    heavy = range(20, cells, max(1, cells // 10))
    found = []
    for index in range(cells):
        body = "\n".join(f"    total += x * {line}" for line in range(6))
        before = (
            [f"v{rng.randrange(max(0, index - 40), index)}" for _ in range(rng.randrange(1, 4))]
            if index
            else []
        )
        source = f"# step {index}\ndef work_{index}(x, total=0.0):\n{body}\n    return total\n"
        source += f"v{index} = work_{index}({' + '.join(before) or '1'})"
        restored = number > 0 and not (last and index >= cells // 2 and index % 3 == 0)
        seconds = 600.0 if index in heavy else 0.1
        did = Did(
            source,
            reads=before,
            writes=[f"v{index}", f"work_{index}"],
            action="restored" if restored else "executed",
            reason="trace holds" if restored else "name:v0 changed",
            seconds=seconds,
            took=0.001 if restored else seconds,
            outputs=[stream(f"value {index} of {0 if restored else number}\n")],
            opaque=["gen"] if index % 50 == 7 else (),
        )
        if index in heavy and number == 0:
            share = tasks // len(heavy)
            did.tasks = [
                TaskEntry(
                    f"{index:08d}{task:024d}",
                    f"{rng.choice(('simulate', 'reduce', 'merge'))}-{task:08x}",
                    "",
                    created=clock + 6 + 590 * task / share,
                    seconds=rng.uniform(0.5, 6),
                    worker=f"tcp://10.0.0.{task % 64}:4000",
                    engine="dask",
                    error="Boom" if task % 997 == 1 else "",
                )
                for task in range(share)
            ]
            did.counts = TaskCounts(run=share)
        elif index in heavy and not restored:
            did.counts = TaskCounts(served=tasks // len(heavy))
        clock += seconds if not restored else 0.001
        found.append(did)
    add_run(
        store, found, name=f"{number:04x}", label=label, mode="repeat" if number else "audit", started=started
    )
    return found
