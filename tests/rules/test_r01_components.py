"""R1: names that share mutable objects are stored and restored together; what a cell writes, it writes whole."""

from __future__ import annotations

from support.notebooks import Lab, Notebook

SHARED = Notebook(
    ["inner=[0]\nx={'p':inner,'v':1}", "d={'k':inner}", "r=x['v']", "inner.append(len(d))", "n=len(d['k'])"]
)
CUT_OFF = Notebook(["a=[1]\nc=None", "c=a", "b=a", "b.append(2)", "n=len(a)"])


def test_join_sees_a_change_in_the_other_name(lab: Lab) -> None:
    lab.check(
        SHARED,
        {0: "inner=[0]\nx={'p':inner,'v':2}"},
        execute=[0, 2],
        expect=["r==2", "d['k'] is inner is x['p']", "d['k']==[0,1]"],
    )


def test_split_keeps_the_remaining_name(lab: Lab) -> None:
    lab.check(
        Notebook(["a=[1]\nb=a", "b=[9]", "n=len(b)", "a.append(3)"]),
        {0: "a=[2]\nb=a"},
        execute=[0, 3],
        skip=[2],
        expect=["b==[9]", "a==[2,3]"],
    )


def test_a_name_bound_to_an_equal_value_is_written(lab: Lab) -> None:
    lab.check(Notebook(["x=5", "x=5", "y=x"]), {0: "x=6"}, execute=[0], skip=[2], expect=["x==5", "y==5"])


def test_deleted_names_stay_deleted(lab: Lab) -> None:
    lab.check(
        Notebook(["x=[1]\ny=x", "del x", "n=len(y)"]),
        {2: "n=len(y)*10"},
        skip=[0, 1],
        execute=[2],
        expect=["n==10", "'x' not in globals()"],
    )


def test_one_touch_brings_all_names_of_the_component(lab: Lab) -> None:
    lab.check(
        Notebook(["a=[1]\nb=[a]\nc={'b':b}", "m=1"]),
        {1: "a.append(2)\nm=len(c['b'][0])"},
        skip=[0],
        execute=[1],
        expect=["m==2", "c['b'][0] is a", "b[0] is a"],
    )


def test_without_r1_a_restored_alias_cuts_an_unrelated_name_off(lab: Lab) -> None:
    lab.breaks_without(
        "R1", CUT_OFF, {1: "c=[7]"}, skip=[0], execute=[1], expect=["c==[7]", "a is b", "n==2"]
    )
