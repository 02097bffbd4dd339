"""R14: iteration order, finalisers, foreign memory, and IPython's own names."""

from __future__ import annotations

from support.notebooks import Lab, Notebook

FINALISER = Notebook(["log=[]\nclass R:\n    def __del__(s): log.append('d')\nr=R()", "w=1", "n=len(log)"])


def test_a_set_iterates_as_it_did(lab: Lab) -> None:
    lab.check(
        Notebook(
            [
                "import random\nrandom.seed(5)\ns=set(random.sample(range(10**6),400))\nfor x in list(s)[:350]: s.discard(x)",
                "w=1",
            ]
        ),
        {1: "w=list(s)"},
        execute=[1],
    )


def test_a_view_of_a_bytearray(lab: Lab) -> None:
    lab.check(
        Notebook(
            ["import numpy as np\nb=bytearray(4)\na=np.frombuffer(b,dtype='u1')", "b[0]=9", "r=int(a[0])"]
        ),
        {1: "b[0]=8"},
        skip=[0],
        execute=[1, 2],
        expect=["r==8", "(b.__setitem__(1,7),a[1]==7)[1]"],
    )


def test_copy_on_write_of_pandas_survives(lab: Lab) -> None:
    lab.check(
        Notebook(
            [
                "import pandas as pd\ndf=pd.DataFrame({'a':[1,2],'b':[3,4]})",
                "d2=df[['a']]\ns=df['b']\ni=pd.Index(s)",
                "w=1",
            ]
        ),
        {2: "df.loc[0,'a']=100\ndf.loc[0,'b']=300\nw=(int(d2.a.iloc[0]),int(s.iloc[0]),int(i[0]))"},
        skip=[0, 1],
        execute=[2],
        expect=["w==(1,3,3)", "df.a.iloc[0]==100"],
    )


def test_the_last_results_shift(lab: Lab) -> None:
    lab.check(
        Notebook(["'a'", "'b'", "r=(_,__)"]), {0: "'A'"}, execute=[0, 2], skip=[1], expect=["r==('b','A')"]
    )


def test_results_are_renumbered(lab: Lab) -> None:
    lab.check(
        Notebook(["1", "x=5", "'b'", "r=_"]),
        insert={0: "q=0"},
        execute=[0],
        skip=[2, 3],
        expect=["Out[2]==1", "Out[4]=='b'", "r=='b'"],
    )


def test_no_result_yet(lab: Lab) -> None:
    lab.check(Notebook(["r=(_,__,___)", "w=1"]), {1: "w=2"}, execute=[1], expect=["r==('','','')"])


def test_a_generator_suspended_in_a_with_block_ends_when_dropped(lab: Lab) -> None:
    lab.check(
        Notebook(
            [
                "log=[]\ndef gen():\n    try:\n        yield 1\n    finally:\n        log.append('end')\ng=gen()\nnext(g)",
                "w=1",
                "n=len(log)",
            ]
        ),
        {1: "g=None"},
        execute=[1, 2],
        expect=["n==1"],
    )


def test_without_r14_a_finaliser_of_an_unloaded_value_does_not_run(lab: Lab) -> None:
    lab.breaks_without("R14", FINALISER, {1: "r=None\nw=1"}, execute=[1, 2], expect=["n==1", "log==['d']"])


def test_equal_results_of_two_runs_are_two_objects(lab: Lab) -> None:
    lab.check(
        Notebook(["x=1", "[x, 2]", "[x, 2]", "y=1"]),
        {3: "y=[_ is __, _ == __]"},
        skip=[0, 1, 2],
        execute=[3],
        expect=["y==[False,True]"],
    )


def test_an_empty_cell_takes_no_number(lab: Lab) -> None:
    lab.check(
        Notebook(["x=1", "", "  \n", "x+1", "y=_"]),
        {4: "y=_+len(Out)"},
        skip=[0, 3],
        execute=[4],
        expect=["y==3", "list(Out)==[2]"],
    )


def test_inputs_of_restored_cells_are_as_ipython_keeps_them(lab: Lab) -> None:
    lab.check(Notebook(["%precision 3", "x=1"]), {1: "x=(In[1], In[2][:2])"}, skip=[0], execute=[1])
