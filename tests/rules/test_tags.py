"""An author's tags: ``nbrewind:always``, ``nbrewind:never`` and ``nbrewind:pure``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nbrewind.kernel.celltags import CellTags
from nbrewind.session.tags import ALWAYS, NEVER, PURE
from support.notebooks import Lab, Notebook

SECRET = "kirschbluete-4711"


@pytest.mark.parametrize("tag", [ALWAYS, NEVER])
def test_a_tagged_cell_executes_at_every_repeat(lab: Lab, tag: str) -> None:
    lab.tags = {"c1": (tag,)}
    result = lab.check(Notebook(["a=1", "b=a+1\nb", "c=b+1"]), skip=[0, 2], execute=[1], expect=["c==3"])
    assert result.reports[1]["reason"] == f"tagged {tag}"


def test_a_cell_that_always_runs_wakes_its_readers_only_where_it_gives_something_else(lab: Lab) -> None:
    lab.tags = {"c0": (ALWAYS,)}
    notebook = Notebook(["b=[1]", "c=sum(b)"])
    lab.check(notebook, skip=[1], execute=[0], expect=["c==1"])
    lab.check(notebook, {0: "b=[1,1]"}, execute=[0, 1], expect=["c==2"])


def test_nothing_of_a_cell_tagged_never_is_stored(lab: Lab) -> None:
    lab.tags = {"c0": (NEVER,)}
    made = "'-'.join(['kirsch'+'bluete','4711'])"
    source = f"import os\ntoken={made}\nprint(token)\nholder=[token]\nos.environ['PLACE']=token\nholder[0]"
    notebook = Notebook([source, "n=len(token)", "holder.append(1)\nm=len(holder)", "m"])
    result = lab.check(notebook, skip=[1, 2, 3], execute=[0], expect=[f"token=={made}", "n==17", "m==2"])
    assert any("tagged" in w for w in result.reports[0]["warnings"])
    held = [p for p in lab.folder.rglob("*") if p.is_file()]
    assert held
    for path in held:
        assert SECRET.encode() not in path.read_bytes(), path


def test_an_error_of_a_cell_tagged_never_keeps_its_text(lab: Lab) -> None:
    lab.tags = {"c0": (NEVER,)}
    lab.check(
        Notebook(["raise ValueError('-'.join(['kirsch'+'bluete','4711']))", "x=1"]), skip=[1], execute=[0]
    )
    for path in lab.folder.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path


def test_a_cell_tagged_never_runs_again_where_a_rewind_needs_its_value(lab: Lab) -> None:
    lab.tags = {"c1": (NEVER,)}
    notebook = Notebook(["a=[1]", "b=[x+1 for x in a]", "c=sum(b)"])
    lab.audit(notebook)
    lab.tags = {}
    result = lab.repeat(notebook, {2: "c=sum(b)+1"}, expect=["c==3"])
    assert result.problems(skip=[0], execute=[1, 2]) == []
    assert result.reports[1]["reason"] == f"it was tagged {NEVER}: nothing of it is stored"


def test_a_pure_cell_is_excused(lab: Lab) -> None:
    """Strict repeats run what read the clock, unless its author says that it does not matter."""
    notebook = Notebook(["import time\nbegan=time.time()>0", "print(began)"])
    lab.audit(notebook)
    strict = {"strict": True}
    assert lab.repeat(notebook, options=strict).problems(execute=[0]) == []
    lab.tags = {"c0": (PURE,)}
    result = lab.repeat(notebook, options=strict)
    assert result.problems(skip=[0, 1]) == [] and result.warnings == []


def test_an_error_of_a_pure_cell_is_replayed(lab: Lab) -> None:
    lab.tags = {"c0": (PURE,)}
    notebook = Notebook(["import time\nif time.time()>0:\n    raise ValueError('as ever')"], raises=(0,))
    assert lab.check(notebook).actions == ["replayed"]
    lab.tags = {}
    assert lab.check(notebook).actions == ["failed"]


def test_front_ends_send_ids_and_the_file_has_the_tags(tmp_path: Path) -> None:
    path = tmp_path / "n.ipynb"
    tags = CellTags(str(path))
    assert tags.of("a") == ()
    path.write_text(
        json.dumps({"cells": [{"id": "a", "metadata": {"tags": [ALWAYS]}}, {"id": "b"}]}), "utf-8"
    )
    assert tags.of("a") == (ALWAYS,) and tags.of("b") == () and tags.of(None) == ()
    assert tags.of("unknown", "x") == () and tags.of("unknown", "1") == ()
    same = {"source": ["a\n", "b"], "metadata": {"tags": [NEVER]}}
    path.write_text(json.dumps({"cells": [same, {"id": "b", "source": "a\nb"}]}), "utf-8")
    assert tags.of("unknown", "a\nb") == (NEVER,) and tags.of("b", "a\nb") == ()
    path.write_text('{"cells": [{"id": "a", "metadata": {"tags": []}}]}', "utf-8")
    assert tags.of("a") == ()
    path.write_text('{"cells": [', "utf-8")
    assert tags.of("a") == ()
