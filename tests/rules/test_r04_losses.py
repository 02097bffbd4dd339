"""R4 and A4: pickling that loses something makes a hole with the reason; the notebook's own classes lose nothing."""

from __future__ import annotations

import pytest

from support.notebooks import Lab, Notebook

HELPER = {
    "shop.py": "class Box:\n    def __init__(self):\n        self.items = [1]\n        self.n = 0\n"
    "    def __getstate__(self):\n        return {'n': self.n, 'items': []}\n"
    "class Lonely:\n    def __reduce__(self):\n        return 'ONLY'\nONLY = Lonely()\n"
}


@pytest.mark.parametrize(
    ("make", "change", "other", "look", "reason"),
    [
        ("Drops()", "o.add(2)", "o.add(3)", "r=(o.n, list(o.history))", "pickling a Drops loses .history"),
        ("Remade('a')", "o.rows.append(2)", "o.rows.append(3)", "r=list(o.rows)", "pickling a Remade loses .rows"),
        ("Other([1])", "o.append(2)", "o.append(3)", "r=(type(o).__name__, list(o))", "pickling a Other gives a list"),
        ("Closes(log)", "log.append(2)", "log.append(3)", "r=list(log)", "a Closes has a finaliser"),
    ],
)  # fmt: skip
def test_what_pickling_loses_is_computed_again(
    lab: Lab, make: str, change: str, other: str, look: str, reason: str
) -> None:
    notebook = Notebook([f"import lossylib\nlog=[]\no=lossylib.{make}", change, look])
    audited = lab.audit(notebook)
    assert any(reason in warning for warning in audited.warnings), audited.warnings
    read = lab.repeat(notebook, {2: f"{look}\nr=[r]"})
    assert read.problems(skip=[0, 1], execute=[2]) == [], read.problems(skip=[0, 1], execute=[2])
    changed = lab.repeat(notebook, {1: other})
    assert changed.problems(skip=[0], execute=[1, 2]) == [], changed.problems(skip=[0], execute=[1, 2])


def test_pickling_that_loses_nothing_is_used(lab: Lab) -> None:
    notebook = Notebook(["import lossylib\no=lossylib.Exact()", "o.rows.append(2)", "n=len(o.rows)"])
    audited = lab.audit(notebook)
    assert audited.warnings == []
    assert [run.messages for run in audited.runs] == [[], [], []]
    read = lab.repeat(
        notebook, {2: "n=(len(o.rows),o.me is o,o.lock.locked())"}, expect=["n==(2,True,False)"]
    )
    assert "made again" in str(read.runs[2].messages) and read.skipped == {0, 1}


def test_a_lossy_class_of_a_helper_is_stored_by_its_attributes(lab: Lab) -> None:
    lab.check(
        Notebook(
            ["from shop import Box\nb=Box()\nkept=b.items", "b.items.append(2)", "n=len(b.items)"], HELPER
        ),
        {2: "kept.append(3)\nn=len(b.items)"},
        skip=[0, 1],
        execute=[2],
        expect=["n==3"],
    )


def test_one_of_its_kind_stays_the_one(lab: Lab) -> None:
    lab.check(
        Notebook(["import shop\no=shop.ONLY", "w=1"], HELPER),
        {1: "w=o is shop.ONLY"},
        skip=[0],
        execute=[1],
        expect=["w"],
    )


def test_nested_values_are_each_looked_at_a_few_times(lab: Lab) -> None:
    """Looking at one inside the look at another would double the work with each level."""
    made = "x=None\nfor _ in range(40): x=lossylib.Nested(x)\nbefore=lossylib.Nested.made"
    audited = lab.audit(Notebook(["import lossylib", made, "n=lossylib.Nested.made-before\nprint(n < 2000)"]))
    assert audited.runs[2].messages[0]["content"]["text"] == "True\n"


def test_a_singleton_of_a_package_joins_nothing(lab: Lab) -> None:
    notebook = Notebook(
        [
            "import lossylib\na=lossylib.Table([2,1])",
            "b=lossylib.Table([4,3])",
            "b.rows.append(5)",
            "r=list(a.rows)",
        ]
    )
    audited = lab.audit(notebook)
    assert any("pickling a Table loses .rows" in warning for warning in audited.warnings)
    changed = lab.repeat(
        notebook, {0: "import lossylib\na=lossylib.Table([9,1])"}, expect=["a.backend is b.backend"]
    )
    assert changed.problems(skip=[1, 2], execute=[0, 3]) == []


def test_a_singleton_that_holds_what_can_change_joins_as_before(lab: Lab) -> None:
    holds = "import lossylib\nlossylib.Backend.instance().kind=[1]\na=lossylib.Table([2,1])"
    lab.check(
        Notebook([holds, "b=lossylib.Table([4,3])", "b.backend.kind.append(5)", "r=list(a.backend.kind)"]),
        {2: "b.backend.kind.append(6)"},
        execute=[2, 3],
        expect=["r==[1,6]", "a.backend is b.backend"],
    )


def test_a_dead_objects_address_touches_nothing(lab: Lab) -> None:
    """What pickling makes is gone after the cell, and the next cell's values may lie where it lay."""
    cells = [f"t{n}=lossylib.Table([{n},0])\nu{n}=[[{n}], [0]]" for n in range(30)]
    audited = lab.audit(Notebook(["import lossylib", *cells]))
    written = [sorted(report["writes"]) for report in audited.reports[1:]]
    assert written == [[f"name:t{n}", f"name:u{n}"] for n in range(30)]


def test_a_singleton_that_a_cell_changes_joins_those_who_hold_it(lab: Lab) -> None:
    lab.check(
        Notebook(
            [
                "import lossylib\na=lossylib.Table([2,1])\nb=lossylib.Table([4,3])",
                "a.backend.kind=5",
                "r=b.backend.kind",
            ]
        ),
        {1: "a.backend.kind=6"},
        execute=[1, 2],
        expect=["r==6"],
    )
