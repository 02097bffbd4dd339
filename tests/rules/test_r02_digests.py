"""R2: versions are content per name; sharing between two names is a fact of its own."""

from __future__ import annotations

import pytest

from support.notebooks import Lab, Notebook

ALIKE = [
    ("x=1", "x=True", "t=type(x).__name__"),
    ("x=1", "x=1.0", "t=repr(x)"),
    ("x=0.0", "x=-0.0", "import math\nt=math.copysign(1,x)"),
    ("x='a'", "x=b'a'", "t=repr(x)"),
    ("x={'a':1,'b':2}", "x={'b':2,'a':1}", "t=list(x)"),
    ("x=(1,2)", "x=[1,2]", "t=repr(x)"),
    ("x=[[1],[1]]", "y=[1]\nx=[y,y]\ndel y", "t=x[0] is x[1]"),
    (
        "import numpy as np\nx=np.arange(4,dtype='i4')",
        "import numpy as np\nx=np.arange(4,dtype='i8')",
        "t=str(x.dtype)",
    ),
    (
        "import numpy as np\nx=np.arange(6.).reshape(2,3)",
        "import numpy as np\nx=np.asfortranarray(np.arange(6.).reshape(2,3))",
        "t=x.flags.f_contiguous",
    ),
    ("def x(a=1): return a", "def x(a=2): return a", "t=x()"),
    ("def x():\n    return 1,2", "def x():\n    return 1,3", "t=x()"),
    ("x=float('nan')", "x=float('inf')", "t=repr(x)"),
]


@pytest.mark.parametrize(("before", "after", "reader"), ALIKE, ids=[a.split("\n")[-1] for _, a, _ in ALIKE])
def test_different_values_are_never_called_equal(lab: Lab, before: str, after: str, reader: str) -> None:
    lab.check(Notebook([before, reader]), {0: after}, execute=[0, 1])


SAME = [
    ("x=['ab','ab']", "y='a'\nx=['ab',y+'b']\ndel y"),
    ("x=float('nan')", "x=float('inf')-float('inf')"),
    ("x={3,1,2}", "x=set()\nx.add(3);x.add(1);x.add(2)"),
    ("def x(a):\n    return a", "# told\n\ndef x(a):\n    # moved\n    return a"),
    (
        "import pandas as pd\nx=pd.DataFrame({'a':[1,2]})",
        "import pandas as pd\nx=pd.DataFrame({'a':[1,2]}).copy()",
    ),
]


@pytest.mark.parametrize(("before", "after"), SAME, ids=[b.split("\n")[-1] for b, _ in SAME])
def test_equal_values_stop_the_wave(lab: Lab, before: str, after: str) -> None:
    lab.check(Notebook([before, "t=type(x).__name__", "u=t"]), {0: after}, skip=[1, 2])


def test_a_cell_that_gives_the_same_result_stops_the_wave(lab: Lab) -> None:
    lab.check(
        Notebook(["x=10", "y=x//3", "z=y*100"]), {0: "x=11"}, execute=[0, 1], skip=[2], expect=["z==300"]
    )


def test_any_subset_of_shared_names_matches_without_the_rest(lab: Lab) -> None:
    lab.check(
        Notebook(["a=[1]\nb=a\nbig=[a]", "b=[2]", "a.append(3)", "n=(len(big[0]),len(b))"]),
        {3: "n=(big[0] is a,b)"},
        skip=[0, 1, 2],
        execute=[3],
        expect=["n==(True,[2])"],
    )


def test_without_r2_lost_sharing_goes_unseen(lab: Lab) -> None:
    lab.breaks_without(
        "R2", Notebook(["a=[1]\nb=a", "r=a is b"]), {0: "a=[1]\nb=[1]"}, execute=[0, 1], expect=["r is False"]
    )
