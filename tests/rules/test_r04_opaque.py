"""R4: what cannot be stored has its derivation for a version, moves with any touch, and joins what it reaches."""

from __future__ import annotations

import pytest

from support.notebooks import Lab, Notebook

HIDDEN = Notebook(["src=[1,2,3]", "g=(x for x in src)", "src.append(9)", "b=list(g)"])


def test_any_touch_advances_a_generator(lab: Lab) -> None:
    lab.check(
        Notebook(["g=(i for i in range(9))", "a=next(g)", "b=next(g)", "c=b"]),
        {1: "a=next(g)\na=next(g)"},
        execute=[1, 2, 3],
        expect=["(a,b,c)==(1,2,2)"],
    )


def test_a_generator_joins_what_it_reaches(lab: Lab) -> None:
    lab.check(
        Notebook(["src=[1,2,3]", "g=(x for x in src)", "src.append(9)", "b=list(g)"]),
        {3: "b=[0]+list(g)"},
        execute=[3],
        expect=["b==[0,1,2,3,9]", "src==[1,2,3,9]"],
    )


def test_an_unlocked_lock_hinders_nothing(lab: Lab) -> None:
    lab.check(
        Notebook(
            ["import threading\nd={'lock':threading.Lock(),'rows':[1,2]}", "d['rows'].append(3)", "n=1"]
        ),
        {2: "with d['lock']:\n    n=len(d['rows'])"},
        skip=[0, 1],
        execute=[2],
        expect=["n==3", "not d['lock'].locked()"],
    )


def test_aliases_of_one_opaque_object_move_together(lab: Lab) -> None:
    lab.check(
        Notebook(["g=iter(range(9))\nh=(x for x in g)\nk=h", "a=next(h)", "b=next(k)"]),
        {1: "a=next(h)+next(h)"},
        execute=[1, 2],
        expect=["b==2", "k is h"],
    )


def test_a_handle_does_not_move_when_used(lab: Lab) -> None:
    lab.check(
        Notebook(
            ["import logging\nlg=logging.getLogger('nb')", "lg.debug('one')\na=1", "lg.debug('two')\nb=2"]
        ),
        {1: "lg.debug('other')\na=3"},
        execute=[1],
        skip=[0, 2],
        expect=["(a,b)==(3,2)"],
    )


def test_without_r4_a_change_behind_a_generator_is_lost(lab: Lab) -> None:
    lab.breaks_without("R4", HIDDEN, {2: "src.append(8)"}, execute=[2, 3], expect=["b==[1,2,3,8]"])


def test_what_pickle_knows_by_its_name_only_is_not_stored_as_itself(lab: Lab) -> None:
    """Loading it would look the name up in the notebook, and find that it has to be loaded."""
    lab.check(
        Notebook(["from typing import Generic, TypeVar\nT=TypeVar('T')\nclass G(Generic[T]): pass", "z=1"]),
        {1: "z=(G.__parameters__[0] is T, T.__name__)"},
        skip=[0],
        execute=[1],
        expect=["z==(True,'T')"],
    )


def test_a_match_keeps_its_cell(lab: Lab) -> None:
    lab.check(
        Notebook(["import re\nm=re.match('a(.)','ab')", "z=1"]),
        {1: "z=m.group(1)"},
        skip=[0],
        execute=[1],
        expect=["z=='b'"],
    )


@pytest.mark.parametrize(
    ("make", "look"),
    [
        ("(x for x in arr[1:])", "[int(x) for x in g]"),
        ("(x for x in memoryview(arr)[1:])", "[int(x) for x in g]"),
        ("(x for x in arr[1:].reshape(1,-1)[0])", "[int(x) for x in g]"),
        ("(x for x in boxes[1:])", "[x[0] for x in g]"),
        ("arr[1:].flat", "[int(x) for x in g]"),
        ("np.ndenumerate(arr[1:])", "[int(x) for _,x in g]"),
        ("np.nditer(arr[1:])", "[int(x) for x in g]"),
        ("np.broadcast(arr[1:],1)", "[int(x) for x,_ in g]"),
    ],
)
def test_what_goes_over_an_array_follows_it(lab: Lab, make: str, look: str) -> None:
    """Neither arrays nor NumPy's iterators tell the collector what they refer to."""
    first = f"import numpy as np\narr=np.arange(4)\nbox=[2]\nboxes=np.empty(4,dtype=object)\nboxes[:]=[[],[1],box,[3]]\ng={make}"
    lab.check(
        Notebook([first, "arr[2]=100\nbox[0]=100", f"r={look}"]),
        {1: "arr[2]=200\nbox[0]=200"},
        execute=[1, 2],
        expect=["r==[1,200,3]"],
    )
