"""``nbrewind compare`` and ``repeat --compare``: the table, the diff, JSON and the exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from cli.conftest import Command, save_book
from nbrewind.package import layout
from package.conftest import make_package


def save_outputs(path: Path, *texts: str, **more: Any) -> Path:
    """A notebook whose cells printed these texts."""
    cells = [
        new_code_cell(f"print({index})", id=f"c{index}", outputs=[new_output("stream", text=text)], **more)
        for index, text in enumerate(texts)
    ]
    nbformat.write(new_notebook(cells=cells), path)
    return path


def test_equal_close_and_different(nbrewind: Command, folder: Path) -> None:
    one = save_outputs(folder / "a.ipynb", "same\n", "x 1.0\n", "first\nold\n", execution_count=3)
    same = save_outputs(folder / "b.ipynb", "same\n", "x 1.0\n", "first\nold\n")
    equal = nbrewind("compare", one, same)
    assert (equal.code, equal.out) == (0, "outputs compared: 3 equal\n")
    near = save_outputs(folder / "c.ipynb", "same\n", "x 1.0000000001\n", "first\nold\n")
    close = nbrewind("compare", one, near)
    assert close.code == 0 and "outputs compared: 2 equal, 1 close" in close.out
    assert "[1] close      print(1)" in close.out and "numbers differ by up to 1e-10" in close.out
    far = save_outputs(folder / "d.ipynb", "same\n", "x 1.1\n", "first\nnew\n")
    different = nbrewind("compare", one, far)
    assert different.code == 6 and "@@ line 2 @@\n" in different.out
    assert "      -old\n" in different.out and "      +new\n" in different.out
    assert nbrewind("compare", one, far, "--rtol", "0.5").out.count("different") == 3
    told = nbrewind("compare", one, far, "--atol", "0.2", "--json")
    assert told.code == 6 and told.json["verdict"] == "different"
    assert told.json["totals"]["close"] == 1 and told.json["totals"]["different"] == 1
    assert told.json["cells"][1]["outputs"][0]["relative"] == pytest.approx(0.1 / 1.1)
    assert told.json["cells"][2]["outputs"][0]["diff"] == ["@@ line 2 @@", "-old", "+new"]


def test_what_cannot_be_compared(nbrewind: Command, folder: Path) -> None:
    one = save_outputs(folder / "a.ipynb", "1")
    assert nbrewind("compare", one, "none.ipynb").code == 3
    for option in ("--rtol", "--atol", "--pixels"):
        assert nbrewind("compare", one, one, option, "-1").code == 2
        assert nbrewind("compare", one, one, option, "nan").code == 2
    (folder / "text.ipynb").write_text("no notebook", "utf-8")
    assert nbrewind("compare", one, "text.ipynb").code == 3
    (folder / "text.zip").write_text("no package", "utf-8")
    assert nbrewind("compare", one, "text.zip").code == 4


def test_a_package_needs_no_trust(nbrewind: Command, folder: Path) -> None:
    make_package(folder / "zipped.zip")
    package = make_package(folder / "paper")
    assert nbrewind("compare", "zipped.zip", "paper").code == 0
    other = save_outputs(folder / "x.ipynb", "one\n")
    only = nbrewind("compare", "zipped.zip", other, "--json")
    assert only.code == 6 and only.json["cells"][0]["outputs"][0]["verdict"] == "only in B"
    inside = package / layout.WORKFLOW / "x.ipynb"
    inside.write_text(inside.read_text("utf-8") + " ", "utf-8")
    damaged = nbrewind("compare", package, other)
    assert damaged.code == 4 and "another size" in damaged.err


def test_a_hostile_notebook(nbrewind: Command, folder: Path) -> None:
    """Nothing of it steers the terminal, fills it or ends in a traceback."""
    wild = "\x1b]0;title\x07\x9b31m\u202e\udcff"
    path = save_outputs(folder / "a.ipynb", *["x"] * 3)
    content = json.loads(path.read_text("utf-8"))
    for number, cell in enumerate(content["cells"]):
        cell["source"] = [wild]
        cell["outputs"][0]["text"] = [wild * (number + 1), "y" * 3_000_000]
        cell["outputs"] += [{"output_type": "display_data", "metadata": {}, "data": {wild: wild}}] * 200
    hostile = folder / "b.ipynb"
    hostile.write_text(json.dumps(content), "utf-8")
    ran = nbrewind("compare", path, hostile)
    assert ran.code == 6 and not ran.err and len(ran.out) < 20_000
    assert all(line.isprintable() for line in ran.out.splitlines())
    told = nbrewind("compare", path, hostile, "--json")
    assert told.code == 6 and len(told.out) < 200_000 and told.out.rstrip("\n").isprintable()

    deep = '{"nbformat":4,"nbformat_minor":5,"metadata":{},"cells":[{"cell_type":"code","source":"","id":"a",'
    deep += (
        '"metadata":{},"execution_count":null,"outputs":[{"output_type":"display_data","metadata":{},"data":{'
    )
    for depth in (500, 100_000):
        hostile.write_text(f'{deep}"application/json":{"[" * depth}{"]" * depth}' + "}}]}]}", "utf-8")
        ran = nbrewind("compare", path, hostile)
        assert ran.code in {3, 6} and "Traceback" not in ran.err and len(ran.err) < 1000
    content["cells"] = [{"cell_type": wild * 1000}]
    hostile.write_text(json.dumps(content), "utf-8")
    ran = nbrewind("compare", path, hostile)
    assert ran.code == 3 and len(ran.err) < 2000 and ran.err.rstrip("\n").isprintable()


@pytest.mark.real_kernel
def test_a_repeat_that_compares(nbrewind: Command, folder: Path) -> None:
    path = save_book(folder / "x.ipynb", "n = 2", "print(n)", "import time\ntime.time_ns()")
    first = nbrewind("repeat", path, "--compare")
    assert first.code == 6 and "only in B" in first.out  # it held no outputs
    again = nbrewind("repeat", path, "--compare")
    assert again.code == 0 and "outputs compared: 3 equal" in again.out
    save_book(path, "n = 3", "print(n)", "import time\ntime.time_ns()")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[2].outputs = [new_output("stream", text="2\n")]
    notebook.cells[3].outputs = nbformat.read(folder / "x.ipynb", as_version=4).cells[3].outputs
    nbformat.write(notebook, path)
    edited = nbrewind("repeat", path, "--compare", "--json")
    assert edited.code == 6 and edited.json["status"] == "ok"
    printed = edited.json["compared"]["cells"][1]
    assert printed["verdict"] == "different" and printed["outputs"][0]["diff"][1:3] == ["-2", "+3"]
    assert "compared" not in nbrewind("repeat", path, "--json").json
    failing = nbrewind("repeat", save_book(path, "1 / 0"), "--compare")
    assert failing.code == 1 and "only in B" in failing.out


@pytest.mark.real_kernel
def test_a_package_is_compared_with_what_it_recorded(nbrewind: Command, folder: Path) -> None:
    path = save_book(folder / "x.ipynb", "n = 2", "print(n)")
    assert nbrewind("audit", path).code == 0
    assert nbrewind("pack", path, "-o", "paper.zip").code == 0
    repeated = nbrewind("repeat", "paper.zip", "--trust", "--compare", "--json")
    assert repeated.code == 0 and repeated.json["compared"]["verdict"] == "equal"
    assert nbrewind("compare", "paper.zip", "paper-repeat/x.ipynb").code == 0
