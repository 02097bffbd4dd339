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


def test_files_that_a_frame_is_written_to(notebooks: Make, tmp_path: Path) -> None:
    """Tasks of Dask's own write them, and the task above these is served."""
    place = tmp_path / "out"
    source = f"""
        import dask.dataframe as dd, pandas as pd
        frame = dd.from_pandas(pd.DataFrame({{"v": [1, 2, 3, 4]}}), npartitions=2)
        r = len(frame.to_csv({str(place)!r} + "/*.csv"))
    """
    assert run(notebooks(), source, "") == 2
    written = {path.name: path.read_text() for path in place.iterdir()}
    assert set(written) == {"0.csv", "1.csv"}
    for path in place.iterdir():
        path.unlink()
    assert run(notebooks(), source, "") == 2
    assert {path.name: path.read_text() for path in place.iterdir()} == written


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


def test_what_a_task_does_to_the_notebook_is_done_again(notebooks: Make) -> None:
    functions = """
    import dask, random
    seen = []
    @dask.delayed
    def note(x):
        mark("note")
        seen.append(x)
        return x
    @dask.delayed
    def same(xs):
        mark("same")
        return xs
    @dask.delayed
    def draw():
        mark("draw")
        return random.random()
    held = (lambda: [1, 2])()
    """
    source = """
    note(5).compute(scheduler="threads")
    a = same(held).compute(scheduler="synchronous", optimize_graph=False)
    random.seed(3)
    draw().compute(scheduler="synchronous")
    r = (seen, random.random())
    """
    value = run(notebooks(), source, functions)
    second = notebooks()
    assert run(second, source, functions) == value
    assert value[0] == [5]  # type: ignore[index]
    assert second.executed()["note"] == second.executed()["draw"] == 1


def test_a_cluster_s_results_are_not_those_of_threads(notebooks: Make, cluster: str) -> None:
    """On a cluster a task changes a copy, in a thread the notebook's own list."""
    functions = """
    from dask.distributed import Client
    import dask
    seen = []
    @dask.delayed
    def note(x):
        mark("note")
        seen.append(x)
        return len(seen)
    """
    source = f"client = Client({cluster!r})\nr = (note(5).compute(), list(seen))"
    assert run(notebooks(), source, functions) == (1, [])
    source = "r = (note(5).compute(scheduler='threads'), list(seen))"
    assert run(notebooks(), source, functions) == (1, [5])
