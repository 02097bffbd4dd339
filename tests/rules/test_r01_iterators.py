"""R1: an iterator over a dict or a set belongs to what it runs over, and is restored as what it is."""

from __future__ import annotations

import pytest

from support.notebooks import Lab, Notebook

KINDS = ("iter(d)", "iter(d.values())", "iter(d.items())", "reversed(d)", "reversed(d.items())", "iter(s)")


@pytest.mark.parametrize("kind", KINDS)
def test_an_iterator_in_progress_goes_on_where_it_was(lab: Lab, kind: str) -> None:
    notebook = Notebook(
        [
            "d = {'a': [1], 'b': [2], 'c': [3]}\ns = {1, 2, 3}",
            f"it = {kind}\nx = next(it)",
            f"ended = {kind}\nfor _ in ended: pass",
            "y = 1",
        ]
    )
    lab.check(notebook, skip=[0, 1, 2, 3])
    lab.check(notebook, {3: "y = next(it)"}, skip=[0, 1, 2])
    lab.check(notebook, {3: "y = list(it), list(ended)"}, skip=[0, 1, 2])
    grown = "d['z'] = 1; s.add(9)\ntry: next(it)\nexcept RuntimeError as error: y = str(error)"
    lab.check(notebook, {3: grown}, skip=[0, 1, 2])


@pytest.mark.parametrize("change", ["del d['a']; d['z'] = 1", "d['z'] = 1"])
def test_what_changed_under_its_iterator_is_rebuilt(lab: Lab, change: str) -> None:
    notebook = Notebook(
        ["d = {'a': [1], 'b': [2], 'c': [3]}", f"it = iter(d)\nx = next(it)\n{change}", "y = 1"]
    )
    lab.check(notebook)
    lab.check(notebook, {2: "try: y = list(it)\nexcept RuntimeError as error: y = str(error)"})


def test_a_group_stays_with_its_iterator(lab: Lab) -> None:
    notebook = Notebook(
        [
            "import itertools",
            "runs = itertools.groupby('aab')\nkey, run = next(runs)",
            "x = next(run)",
            "y = 1",
        ]
    )
    lab.check(notebook)
    lab.check(notebook, {3: "y = type(run).__name__, next(run), list(run), next(runs)[0]"})
