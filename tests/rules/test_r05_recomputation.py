"""R5: what cannot be stored is rebuilt by running its cells again, in the live namespace, leaving no trace."""

from __future__ import annotations

import pytest

from support.notebooks import Lab, Notebook

GENERATOR = Notebook(
    ["n=3\nlog=[]", "g=(i*n for i in range(5))\nlog.append('made')", "a=next(g)", "b=next(g)"]
)


def test_a_generator_comes_back_at_its_place(lab: Lab) -> None:
    result = lab.check(
        GENERATOR,
        {3: "b=next(g)+100"},
        skip=[0, 1, 2],
        execute=[3],
        expect=["b==103", "log==['made']", "next(g)==6"],
    )
    assert result.reports[3]["recomputed"]


def test_recomputation_sees_the_state_of_its_time(lab: Lab) -> None:
    lab.check(
        Notebook(["k=2", "g=(i*k for i in [k,k+1])\nfirst=next(g)", "k=50", "r=k"]),
        {3: "r=next(g)"},
        skip=[0, 1, 2],
        execute=[3],
        expect=["r==150", "k==50", "first==4"],
    )


def test_classes_made_again_are_adopted(lab: Lab) -> None:
    lab.check(
        Notebook(["class N: pass\nn=N()\ng=(x for x in [n])", "m=N()", "r=1"]),
        {2: "r=next(g)\nsame=(type(m) is type(r) is N, r is n)"},
        skip=[0, 1],
        execute=[2],
        expect=["same==(True,True)"],
    )


def test_files_of_recomputed_cells_stay_as_they_are(lab: Lab) -> None:
    lab.check(
        Notebook(
            [
                "f=open('o.txt','a'); f.write('x'); f.close()\ng=(i for i in range(3))",
                "f=open('o.txt','a'); f.write('y'); f.close()",
                "a=1",
            ]
        ),
        {2: "a=next(g)\nt=open('o.txt').read()"},
        skip=[0, 1],
        execute=[2],
        expect=["t=='xy'"],
    )


def test_a_producer_that_gives_something_else_is_told(lab: Lab) -> None:
    notebook = Notebook(
        ["import random\nt=random.SystemRandom().random()\ng=(i for i in range(3))", "u=t", "v=next(g)"]
    )
    lab.audit(notebook)
    result = lab.repeat(notebook, {2: "v=next(g)+10"}, drawn=["t", "u", "g", "v"])
    consistent = result.runs[2].status != "error"
    if consistent:
        again = lab.run("repeat", notebook.edited({2: "v=next(g)+10"}), expect=["u==t"])
        assert not again.untrue
    else:
        assert result.runs[2].ename == "RecomputeFailed", result.runs[2]


def test_without_r5_a_generator_cannot_come_back(lab: Lab) -> None:
    lab.breaks_without("R5", GENERATOR, {3: "b=next(g)+100"}, execute=[3], expect=["b==103"])


def test_an_error_that_comes_again_on_the_way_is_not_shown(lab: Lab) -> None:
    notebook = Notebook(["def walk():\n    yield i\na=walk()\nb=[next(a,None)]", "z=1"], raises=(0,))
    lab.check(notebook, {1: "for item in a:\n    break\nz=d"}, skip=[0], execute=[1])


def test_a_class_in_use_stays_the_object_that_it_is(lab: Lab) -> None:
    cached = "import functools\n@functools.lru_cache\ndef f(v):\n    return v"
    lab.check(
        Notebook([cached, "f.cache_clear()\nclass Base: pass\nd=Base\nb=Base()", "z=1"]),
        {2: "e=d\nz=(f(3), e is Base, type(b) is Base, f.cache_info().currsize)"},
        skip=[0, 1],
        execute=[2],
        expect=["z==(3,True,True,1)"],
    )


def test_a_value_of_asynchronous_cells_met_in_the_middle_of_a_cell(lab: Lab) -> None:
    made = "@functools.cache\ndef c(v):\n    return v * 6\nawait asyncio.sleep(0)\nc(3)"
    lab.check(
        Notebook(["import asyncio, functools", made, "z=1"]),
        {2: "c_=globals()['c']\nz=(c_(3), c_.cache_info().hits)"},
        skip=[0, 1],
        execute=[2],
        expect=["z==(18,1)"],
    )


def test_what_belongs_to_the_event_loop_makes_a_headless_run_start_over(lab: Lab) -> None:
    made = "async def f():\n    return 3\nt=asyncio.ensure_future(f())\nawait asyncio.sleep(0)"
    notebook = Notebook(["import asyncio", made, "z=1"])
    edit = {2: "z=await globals()['t']"}
    lab.audit(notebook)
    result = lab.run("repeat", notebook.edited(edit))
    assert result.reports[2]["start_over"] == [1] and result.runs[2].ename == "RecomputeFailed"
    again = lab.run("repeat", notebook.edited(edit), force=[1], expect=["z==3"])
    assert not again.untrue and again.actions == ["restored", "executed", "executed"]


def test_what_shares_objects_with_a_module_comes_back(lab: Lab) -> None:
    lab.check(
        Notebook(
            ["import string\nw=[3,6]", "d=(v*2 for v in w)", "string.box=w", "g=next(d)", "z=1"],
        ),
        {4: "z=list(d)"},
        skip=[0, 1, 2, 3],
        execute=[4],
        expect=["z==[12]", "string.box is w"],
    )


def test_only_cells_since_it_could_not_be_stored_run_again(lab: Lab) -> None:
    """The function is stored before its coroutine joins it: who made it, and when, does not matter."""
    notebook = Notebook(["async def a():\n    return 2\nb=9", "x=a()", "z=1"])
    lab.check(
        notebook,
        {0: "async def a():\n    return 2\nb=6", 2: "z=await x"},
        skip=[1],
        execute=[0, 2],
        expect=["z==2"],
    )


TWO_VALUES = "def g():\n    yield 1\n    yield 2"


@pytest.mark.parametrize("shown", ["q=g()\nq", "q=g();\nq ;  # hidden\nq"])
@pytest.mark.parametrize("name", ["_2", "Out[2]", "_"])
def test_a_displayed_result_is_rebuilt(lab: Lab, shown: str, name: str) -> None:
    notebook = Notebook([TWO_VALUES, shown, "x=1"])
    lab.check(notebook, skip=[0, 2])
    lab.check(notebook, {2: f"x=next({name})"}, skip=[0])


def test_what_formatting_a_result_does_is_done_again(lab: Lab) -> None:
    counting = (
        f"{TWO_VALUES}\nclass Shown:\n    n=0\n    def __repr__(self):\n        self.n+=1\n        return 'S'"
    )
    notebook = Notebook([counting, "s=Shown()\ns.g=g()\ns", "x=1"])
    lab.check(notebook, skip=[0, 2])
    lab.check(notebook, {2: "x=_2.n, next(s.g)"}, skip=[0])


def test_a_hidden_result_is_not_bound(lab: Lab) -> None:
    notebook = Notebook([TWO_VALUES, "q=g()\nq;", "x=1"])
    lab.check(notebook, {2: "x=next(q), '_2' in globals()"}, skip=[0])


def test_each_of_several_results_is_rebuilt(lab: Lab) -> None:
    notebook = Notebook(
        ["%config InteractiveShell.ast_node_interactivity='all'\n" + TWO_VALUES, "a=g()\na\n5\n[a]", "x=1"]
    )
    lab.check(notebook, {2: "x=next(_[0]), __, next(___)"}, skip=[0])


def test_a_class_whose_method_an_unstorable_value_holds(lab: Lab) -> None:
    """The class is loaded for its own sake, and for that the cells run again which need it as it was before."""
    make = (
        "class M:\n def __init__(self): self.f=self.go; self.g=(i for i in range(9))\n def go(self): return 1"
    )
    lab.check(
        Notebook([make, "m=M()\nx=next(m.g)", "n=1"]),
        {2: "n=2"},
        skip=[0, 1],
        execute=[2],
        expect=["type(m) is M", "m.f()==1"],
    )


_GEN = "def gen(n):\n    while True:\n        yield n\n        n += 1\n"


def test_a_name_that_shared_was_bound_anew_unseen(lab: Lab) -> None:
    """What runs code when it goes is touched before it goes; run again for another name, the cell touches nothing."""
    lab.check(
        Notebook([_GEN + "a=gen(1)\nb=[a]", "b=(b,)", "b=5", "c=1"]),
        {3: "c=next(a)"},
        skip=[0, 1, 2],
        execute=[3],
        expect=["c==1", "b==5"],
    )


def test_a_class_that_shared_with_a_function_made_anew(lab: Lab) -> None:
    lab.check(
        Notebook(
            [_GEN + "a=gen(1)", "class Box:\n    held=a\nb=[a]", "def gen(n): return 6\nb=[gen(2)]", "c=1"]
        ),
        {3: "c=next(Box.held), Box.held is a"},
        skip=[0, 1, 2],
        execute=[3],
        expect=["c==(1,True)", "b==[6]"],
    )


def test_chains_of_values_that_came_to_share_objects(lab: Lab) -> None:
    lab.check(
        Notebook([_GEN + "a=gen(1)\nb=gen(5)", "next(a)", "next(b)", "next(a)\nc=1", "d=[b,a]", "e=1"]),
        {5: "e=next(a), next(b), d[1] is a"},
        skip=[0, 1, 2, 3, 4],
        execute=[5],
        expect=["e==(3,6,True)"],
    )
