"""Dask without a cluster: threads and the synchronous scheduler."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from nbrewind.testing.notebook import Notebook

Make = Callable[[], Notebook]

CHAIN = """
import dask
@dask.delayed
def load(i):
    mark("load"); return i
@dask.delayed
def clean(x):
    mark("clean"); return x // 10
@dask.delayed
def fit(x):
    mark("fit"); return x + 1
@dask.delayed
def total(xs):
    mark("total"); return sum(xs)
"""


def run(notebook: Notebook, source: str, functions: str = CHAIN) -> object:
    notebook.run(textwrap.dedent(functions))
    notebook.run(textwrap.dedent(source))
    return notebook.space["r"]


@pytest.mark.parametrize("scheduler", ["threads", "synchronous", "default"])
def test_served_and_cut_off(notebooks: Make, scheduler: str) -> None:
    how = "" if scheduler == "default" else f"scheduler={scheduler!r}"
    source = f"r = total([fit(clean(load(i))) for i in (11, 22, 33)]).compute({how})"
    assert run(notebooks(), source) == 9
    second = notebooks()
    assert run(second, source) == 9
    assert not second.executed()
    assert (second.last.served, second.last.run) == (10, 0)
    third = notebooks()
    assert run(third, source.replace("22", "23")) == 9
    assert third.executed() == {"load": 1, "clean": 1}
    assert third.last.run == 2


def test_processes_run_as_ever(notebooks: Make) -> None:
    source = (
        "import dask\nfrom operator import add\nr = dask.delayed(add)(1, 2).compute(scheduler='processes')"
    )
    assert run(notebooks(), source, "") == 3


def test_files_and_errors(notebooks: Make, tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_text("4")
    functions = CHAIN + "@dask.delayed\ndef read(p):\n    mark('read')\n    return 8 / int(open(p).read())\n"
    source = f"r = fit(read({str(path)!r})).compute()"
    assert run(notebooks(), source, functions) == 3
    path.write_text("2")
    second = notebooks()
    assert run(second, source, functions) == 5
    assert second.executed() == {"read": 1, "fit": 1}
    path.write_text("0")
    with pytest.raises(ZeroDivisionError):
        run(notebooks(), source, functions)
    path.write_text("4")
    fourth = notebooks()
    assert run(fourth, source, functions) == 3
    assert not fourth.executed()


def test_arrays_and_bags(notebooks: Make) -> None:
    source = """
    import dask.array as da, dask.bag as db
    r = (int(da.arange(10, chunks=5).map_blocks(lambda b: b * 2, dtype=int).sum().compute()),
         db.from_sequence(range(6), npartitions=2).map(lambda x: x + 1).compute(scheduler="threads"))
    """
    value = run(notebooks(), source, "")
    second = notebooks()
    assert run(second, source, "") == value == (90, [1, 2, 3, 4, 5, 6])
    assert second.last.run == 0
