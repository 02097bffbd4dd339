"""R10: a component is wholly live or wholly parked; live values at the wanted version are kept."""

from __future__ import annotations

from support.notebooks import Lab, Notebook

PAIR = Notebook(["a=[1]\nb=[a]", "m=1", "n=1"])


def test_touching_one_name_then_the_other(lab: Lab) -> None:
    lab.check(
        PAIR,
        {1: "a.append(2)\nm=len(a)", 2: "b[0].append(3)\nn=len(a)"},
        skip=[0],
        execute=[1, 2],
        expect=["n==3", "b[0] is a"],
    )


def test_a_look_between_the_cells_keeps_the_sharing(lab: Lab) -> None:
    lab.check(
        PAIR,
        {2: "b[0].append(3)\nn=len(a)"},
        between={0: "len(a)", 1: "len(b)"},
        execute=[2],
        expect=["n==2", "b[0] is a"],
    )


def test_a_record_applied_over_live_values_replaces_them(lab: Lab) -> None:
    lab.check(
        Notebook(["a=[1]\nb=a", "b.append(2)", "c=[9]", "n=len(a)"]),
        {2: "c=[len(a)]"},
        between={0: "a", 1: "b"},
        skip=[0, 1, 3],
        execute=[2],
        expect=["c==[2]", "a is b", "n==2"],
    )


def test_a_live_class_and_parked_instances(lab: Lab) -> None:
    lab.check(
        Notebook(["class K: pass", "x=K()", "y=K()", "w=1"]),
        {1: "x=K()\nx.v=1", 3: "w=type(x) is type(y) is K"},
        execute=[1, 3],
        expect=["w"],
    )


def test_without_r10_names_of_one_component_come_back_apart(lab: Lab) -> None:
    lab.breaks_without(
        "R10",
        PAIR,
        {1: "a.append(2)\nm=len(a)", 2: "b[0].append(3)\nn=len(a)"},
        execute=[1, 2],
        expect=["n==3", "b[0] is a"],
    )
