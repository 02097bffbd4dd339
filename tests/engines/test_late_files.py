"""Files that an app of Parsl writes after the cell that submitted it has ended."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from examples.support import Site, outputs

pytest.importorskip("parsl")
pytestmark = [pytest.mark.real_kernel, pytest.mark.slow]

CELLS = [
    "import time, parsl\nfrom parsl import python_app\nfrom parsl.config import Config\n"
    "from parsl.executors import ThreadPoolExecutor\n"
    "kernel = parsl.load(Config(executors=[ThreadPoolExecutor(max_threads=2)], initialize_logging=False))",
    "@python_app\ndef write(path, text):\n    import time\n    time.sleep(0.6)\n"
    "    with open(path, 'w') as out:\n        out.write(text)\n    return len(text)",
    "f = write('out.txt', 'one')",
    "time.sleep(2)\nx = 1",
    "WAIT",
    "print(open('out.txt').read())",
]
Make = Callable[[str], Site]


@pytest.fixture
def site(tmp_path: Path) -> Make:
    def make(wait: str) -> Site:
        folder = tmp_path / "work"
        made = Site(folder, folder / "late.ipynb", tmp_path / "marks", tmp_path / "cluster")
        folder.mkdir()
        (tmp_path / "preload.py").write_text("def dask_setup(node):\n    pass\n")
        cells = [new_code_cell(text.replace("WAIT", wait), id=f"c{n}") for n, text in enumerate(CELLS)]
        made.notebook.write_text(json.dumps(new_notebook(cells=cells)), encoding="utf-8")
        return made

    return make


def run(site: Site, verb: str) -> tuple[set[str], str]:
    """Cells that were executed, and what the last one printed."""
    out = site.folder.parent / "out.ipynb"
    cells = site.command(verb, "-o", str(out))["cells"]
    shown = outputs(out)["c5"][0][2]
    return {f"c{n}" for n, cell in enumerate(cells) if cell["action"] != "restored"}, shown


@pytest.mark.parametrize("wait", ["print(f.result())", "print('somewhere else')"])
def test_they_are_there_when_a_later_cell_runs_again(site: Make, wait: str) -> None:
    here = site(wait)
    assert run(here, "audit")[1] == "one\n"
    assert run(here, "repeat")[1] == "one\n"
    assert run(here, "repeat") == (set(), "one\n")
    here.edit("x = 1", "x = 2")
    assert run(here, "repeat") == ({"c3"}, "one\n"), "the cell that ran meanwhile runs again"
    (here.folder / "out.txt").unlink()
    here.edit("out.txt').read())", "out.txt').read() + '!')")
    assert run(here, "repeat") == ({"c5"}, "one!\n")


def test_the_cell_that_ran_meanwhile_does_not_bring_an_earlier_file_back(site: Make) -> None:
    here = site("print(f.result())")
    assert run(here, "audit")[1] == "one\n"
    here.edit("'one'", "'two'")
    assert run(here, "repeat")[1] == "two\n"
    assert (here.folder / "out.txt").read_text() == "two"
    here.edit("'two'", "'one'")
    assert run(here, "repeat")[1] == "one\n"
    assert (here.folder / "out.txt").read_text() == "one"
