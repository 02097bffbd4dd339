"""R6: files are state; a repeat starts from the world that the first run found."""

from __future__ import annotations

import pytest

from support.notebooks import Lab, Notebook

UNCHANGED = {
    "write-read-overwrite": [
        "f=open('f','w'); f.write('1'); f.close()",
        "a=open('f').read()",
        "f=open('f','w'); f.write('2'); f.close()",
        "b=open('f').read()",
    ],
    "mkdir if absent": [
        "import os\nif not os.path.exists('out'):\n    os.mkdir('out')\n    made=True",
        "m=made",
    ],
    "bare mkdir": ["import os\nos.mkdir('out')", "ok=os.path.isdir('out')"],
    "append to a log": ["f=open('log','a'); f.write('x'); f.close()", "t=open('log').read()"],
    "load the cache if it exists": [
        "import os, json\nif os.path.exists('c.json'):\n    v=json.load(open('c.json'))\nelse:\n    v=[1]\n"
        "    f=open('c.json','w'); json.dump(v,f); f.close()",
        "n=len(v)",
    ],
    "remove a temporary file": [
        "f=open('tmp','w'); f.write('t'); f.close()",
        "t=open('tmp').read()",
        "import os\nos.remove('tmp')",
        "left=os.path.exists('tmp')",
    ],
    "rename": [
        "f=open('a','w'); f.write('t'); f.close()",
        "import os\nos.rename('a','b')",
        "t=open('b').read()",
    ],
}


@pytest.mark.parametrize("name", UNCHANGED)
def test_an_unchanged_notebook_runs_nothing(lab: Lab, name: str) -> None:
    notebook = Notebook(UNCHANGED[name])
    lab.check(notebook, skip=range(len(notebook.cells)))


@pytest.mark.parametrize("name", UNCHANGED)
def test_a_chain_of_repeats_keeps_the_first_world(lab: Lab, name: str) -> None:
    notebook = Notebook([*UNCHANGED[name], "last=1"])
    lab.check(notebook, {len(notebook.cells) - 1: "last=2"})
    again = lab.repeat(notebook, {len(notebook.cells) - 1: "last=3"})
    assert again.problems(skip=range(len(notebook.cells) - 1)) == []


@pytest.mark.parametrize("name", UNCHANGED)
def test_the_first_cell_changes(lab: Lab, name: str) -> None:
    notebook = Notebook(UNCHANGED[name])
    lab.check(notebook, {0: notebook.cells[0] + "\nextra=1"}, execute=[0])


def test_a_cell_reads_the_file_as_of_its_place(lab: Lab) -> None:
    lab.check(
        Notebook(UNCHANGED["write-read-overwrite"]),
        {1: "a=open('f').read()*3"},
        skip=[0, 2, 3],
        execute=[1],
        expect=["a=='111'", "b=='2'", "open('f').read()=='2'"],
    )


def test_an_input_that_the_user_changed_counts_as_on_disk(lab: Lab) -> None:
    notebook = Notebook(
        [
            "t=open('in.txt').read()",
            "f=open('in.txt','a'); f.write('+'); f.close()",
            "u=open('in.txt').read()",
        ],
        files={"in.txt": "one"},
    )
    lab.check(notebook, files={"in.txt": "two"}, execute=[0], expect=["t=='two'", "u=='two+'"])


def test_a_deleted_output_comes_back(lab: Lab) -> None:
    notebook = Notebook(["f=open('o','w'); f.write('1'); f.close()", "x=1"])
    lab.audit(notebook)
    (lab.folder / "o").unlink()
    result = lab.repeat(notebook, {1: "x=2"})
    assert result.problems(skip=[], execute=[1]) == []


def test_without_r6_an_appending_cell_appends_twice(lab: Lab) -> None:
    lab.breaks_without(
        "R6",
        Notebook(UNCHANGED["append to a log"]),
        {1: "t=open('log').read()*2"},
        skip=[0],
        execute=[1],
        expect=["t=='xx'"],
    )


def test_a_file_that_was_only_touched_is_made_where_there_is_none(lab: Lab) -> None:
    notebook = Notebook(["from pathlib import Path\nPath('flag').touch()", "w=1"], files={"flag": "old"})
    lab.check(notebook, files={"flag": None}, execute=[0], skip=[1], expect=["Path('flag').exists()"])
