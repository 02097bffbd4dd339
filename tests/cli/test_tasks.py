"""The task log on the command line, and notebooks that use pools and joblib, through real kernels."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cli.conftest import Command, Ran, save_book
from nbrewind.kernel.notebook import read_notebook

pytestmark = pytest.mark.real_kernel

FUNCTIONS = """from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from joblib import Parallel, delayed
K = 10
def work(x):
    return x * K
def side(x):
    seen.append(x)
    return x
seen = []"""
POOLS = """a = []
with ProcessPoolExecutor(2) as pool:
    a = list(pool.map(work, range(4), chunksize=2))
a"""
THREADS = """threads = ThreadPoolExecutor(2)
fs = [threads.submit(work, i) for i in range(10, 13)]
b = list(threads.map(side, range(2)))"""
GATHER = "c = [f.result() for f in fs]\nsorted(seen), c"
PARALLEL = "d = Parallel(n_jobs=1)(delayed(work)(i) for i in range(20, 23))\nd"


def ran(command: Ran) -> dict[str, int]:
    cells = command.json["cells"]
    return {what: sum(cell["tasks"][what] for cell in cells) for what in ("served", "run")}


def results(path: Path) -> list[str]:
    cells = read_notebook(path).cells
    return [o["data"]["text/plain"] for c in cells for o in c.get("outputs", ()) if "data" in o]


def test_pools_and_joblib_in_a_notebook(nbrewind: Command, folder: Path) -> None:
    book = save_book(folder / "x.ipynb", FUNCTIONS, POOLS, THREADS, GATHER, PARALLEL)
    assert ran(nbrewind("audit", book, "--json")) == {"served": 0, "run": 12}
    first = results(book)
    assert first == ["[0, 10, 20, 30]", "([0, 1], [100, 110, 120])", "[200, 210, 220]"]
    # What a thread does to the notebook is done again; all other tasks are served.
    save_book(book, FUNCTIONS, *("0;" + source for source in (POOLS, THREADS, GATHER, PARALLEL)))
    again = nbrewind("repeat", book, "--json")
    assert again.code == 0, again.err
    assert results(book) == first
    assert ran(again) == {"served": 10, "run": 2}
    save_book(book, FUNCTIONS.replace("K = 10", "K = 11"), POOLS, THREADS, GATHER, PARALLEL)
    assert ran(nbrewind("repeat", book, "--json")) == {"served": 0, "run": 12}
    assert results(book)[0] == "[0, 11, 22, 33]"

    listed = nbrewind("tasks", book, "--json").json["tasks"]
    assert {task["engine"] for task in listed} == {"futures", "joblib"}
    one, other = listed[-1]["key"], listed[0]["key"]
    store = ("--store", folder / ".nbrewind")
    made_of = nbrewind("tasks", "--explain", one[:14], *store, "--json").json["task"]
    assert "global K" in made_of["parts"] and "argument 0" in made_of["parts"]
    differences = nbrewind("tasks", "--explain", one, other, *store, "--json").json["differences"]
    assert {"global K", "argument 0"} <= {item["what"] for item in differences}
    assert "work" in nbrewind("tasks", book).out
    assert nbrewind("tasks", "--explain", "zzz", *store).code == 2


def test_a_pool_that_was_forked_earlier_is_as_it_was_then(nbrewind: Command, folder: Path) -> None:
    if sys.version_info >= (3, 14):
        pytest.skip("pools do not fork by default any more")
    start = FUNCTIONS + "\npool = ProcessPoolExecutor(2)"
    later = "K = 20\ng = list(pool.map(work, range(3)))\ng"
    book = save_book(folder / "x.ipynb", start, "e = list(pool.map(work, range(3)))\ne", later)
    assert nbrewind("audit", book).code == 0
    assert results(book) == ["[0, 10, 20]", "[0, 10, 20]"], "functions travel by name: the old K"
    save_book(book, start, "e = list(pool.map(work, range(3)))\ne", "1;" + later)
    assert nbrewind("repeat", book).code == 0
    assert results(book) == ["[0, 10, 20]", "[0, 10, 20]"]
