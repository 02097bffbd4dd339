"""joblib: every backend through the conformance class, batches, generators and scikit-learn."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from nbrewind.engines.joblib import JoblibAdapter
from nbrewind.testing import EngineConformance
from nbrewind.testing.notebook import Notebook
from nbrewind.testing.taskstore import MemoryTaskStore

WAYS = """
from joblib import Parallel, delayed
def submit(func, *args, **kwargs):
    return Parallel(n_jobs={jobs}, backend={backend!r})([delayed(func)(*args, **kwargs)])[0]
def result(handle):
    return handle
"""


@pytest.mark.engines
class TestSequential(EngineConformance):
    adapter = JoblibAdapter
    start = WAYS.format(jobs=1, backend="loky")
    prints = True
    wide = 200


class TestThreading(EngineConformance):
    adapter = JoblibAdapter
    start = WAYS.format(jobs=2, backend="threading")
    prints = True
    wide = 100


@pytest.mark.engines
class TestLoky(EngineConformance):
    adapter = JoblibAdapter
    start = WAYS.format(jobs=2, backend="loky")
    wide = 50


FUNCTIONS = """
from joblib import Parallel, delayed
def square(x):
    mark("square")
    return x * x
"""


@pytest.fixture
def lives(tmp_path: Path) -> Any:
    import joblib  # noqa: F401 - a session installs the adapter when the engine is there

    adapter, store = JoblibAdapter(), MemoryTaskStore()

    def life(source: str) -> Notebook:
        notebook = Notebook(tmp_path, store, adapter)
        notebook.forget_counts()
        notebook.run(FUNCTIONS)
        notebook.run(textwrap.dedent(source))
        return notebook

    yield life
    adapter.uninstall()


@pytest.mark.parametrize("options", ["n_jobs=2", "n_jobs=2, batch_size=5", "n_jobs=2, pre_dispatch='all'"])
def test_items_inside_batches(lives: Any, options: str) -> None:
    source = f"r = Parallel({options})(delayed(square)(x) for x in XS)"
    first = lives("XS = list(range(20))\n" + source)
    assert first.space["r"] == [x * x for x in range(20)]
    changed = "XS = list(range(20))\nXS[3], XS[11], XS[19] = 50, 60, 70\n"
    second = lives(changed + source)
    assert second.space["r"] == [x * x for x in second.space["XS"]]
    assert second.executed() == {"square": 3}


@pytest.mark.parametrize("kind", ["generator", "generator_unordered"])
def test_generators(lives: Any, kind: str) -> None:
    source = f"r = list(Parallel(n_jobs=2, return_as={kind!r})(delayed(square)(x) for x in (1, 2, 3, Y)))"
    assert sorted(lives("Y = 4\n" + source).space["r"]) == [1, 4, 9, 16]
    second = lives("Y = 5\n" + source)
    assert sorted(second.space["r"]) == [1, 4, 9, 25]
    assert second.executed() == {"square": 1}


def test_an_item_that_raises(lives: Any) -> None:
    source = """
    def inverse(x):
        mark("inverse")
        return 1 / x
    try:
        r = Parallel(n_jobs=2, batch_size=1)(delayed(inverse)(x) for x in (1, 0))
    except ZeroDivisionError:
        r = "zero"
    """
    for _ in range(2):
        notebook = lives(source)
        assert notebook.space["r"] == "zero"
        assert notebook.last.failed >= 1


def test_scikit_learn_s_jobs(lives: Any) -> None:
    pytest.importorskip("sklearn")
    source = """
    from sklearn.datasets import make_classification
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score
    X, y = make_classification(200, random_state=SEED)
    r = cross_val_score(LogisticRegression(), X, y, cv=4, n_jobs=2).tolist()
    """
    source = textwrap.dedent(source)
    first = lives("SEED = 0\n" + source)
    assert (first.last.served, first.last.run) == (0, 4)
    again = lives("SEED = 0\n" + source)
    assert again.space["r"] == first.space["r"]
    assert (again.last.served, again.last.run) == (4, 0)
    other = lives("SEED = 1\n" + source)
    assert other.space["r"] != first.space["r"]


def test_trees_that_threads_grow_in_place_are_grown_again(lives: Any) -> None:
    """A forest's trees are changed by their tasks, in the notebook's own process: nothing can be served."""
    pytest.importorskip("sklearn")
    source = """
    from sklearn.datasets import make_classification
    from sklearn.ensemble import RandomForestClassifier
    X, y = make_classification(100, random_state=0)
    model = RandomForestClassifier(5, n_jobs=2, random_state=0).fit(X, y)
    r = model.predict_proba(X).tolist()
    """
    assert lives(source).space["r"] == lives(source).space["r"]
