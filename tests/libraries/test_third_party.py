"""A codec that a library offers by entry point, in real kernels."""

from __future__ import annotations

from support.notebooks import Lab, Notebook

GRID = Notebook(
    [
        "import gridlib\ng = gridlib.Grid(2, 2)",
        "g.set(0, 1, 5.0)\nh = g.cells",
        "n = len(g.history)\nprint(n, h)",
    ]
)


def test_an_unchanged_notebook_is_restored(lab: Lab) -> None:
    lab.check(GRID, skip=[0, 1, 2], expect=["g.history==[(0,1)]", "g.cells is h"])


def test_what_pickling_forgets_is_there_for_an_edited_cell(lab: Lab) -> None:
    lab.check(GRID, {2: "g.set(1, 1, 2.0)\nprint(g.history, h)"}, skip=[0, 1], execute=[2])


def test_a_change_in_place_reaches_the_readers(lab: Lab) -> None:
    lab.check(GRID, {1: "g.set(0, 1, 5.0)\ng.history.pop()\nh = g.cells"}, skip=[0], execute=[1, 2])
