"""R14: ``_``, ``__`` and ``___`` as IPython moves them, also while one of them is the user's."""

from __future__ import annotations

import random

import pytest

from support.notebooks import Lab, Notebook

SEE = "r=[globals().get(n, 'gone') for n in ('_','__','___')]"


def test_an_assigned_underscore_keeps_the_older_results_in_place(lab: Lab) -> None:
    lab.check(
        Notebook(["'a'", "'b'", "for _ in range(9): pass", "'c'", "'d'", "r=(_,__,___)"]),
        {5: "s=(_,__,___)"},
        skip=range(5),
        expect=["s==(8,'a','')"],
    )


def test_a_record_of_the_newest_result_is_not_used_where_it_stays_behind(lab: Lab) -> None:
    lab.check(
        Notebook(["'a'", "'b'", "for _ in range(9): pass", "'c'", "r=__"]),
        {2: "x=1"},
        skip=[0, 1, 3],
        execute=[2, 4],
        expect=["r=='b'"],
    )


def test_a_deleted_underscore_is_gone_until_the_next_result(lab: Lab) -> None:
    lab.check(
        Notebook(["'a'", "_=77", "'b'", "del _", SEE, "'c'", SEE.replace("r=", "s="), "del __, ___"]),
        {4: f"{SEE}; t=1", 6: SEE.replace("r=", "t=")},
        skip=[0, 1, 2, 3, 5, 7],
        expect=["r==['gone','','']", "t==['c','b','a']"],
    )


def test_an_underscore_bound_to_the_very_result_is_still_ipythons(lab: Lab) -> None:
    lab.check(
        Notebook(["d=[1]", "d", "_=d", "'x'", "r=_", "len('ab')", "for _ in range(3): pass", "'y'", "s=_"]),
        {4: "r=_; q=1", 8: "s=_; t=1"},
        skip=[0, 1, 2, 3, 5, 6, 7],
        expect=["r=='x'", "s=='y'"],
    )


def test_another_result_that_is_the_same_small_number(lab: Lab) -> None:
    notebook = Notebook(["1+1", "for _ in range(4): pass", "'x'", "r=_"])
    lab.check(notebook, {0: "1+2"}, execute=[0, 3], expect=["r=='x'"])
    lab.check(notebook, {0: "1+1+1+1"}, execute=[0], expect=["r==3"])


def test_several_displayed_by_one_cell_that_reads_them(lab: Lab) -> None:
    setting = (
        "from IPython.core.interactiveshell import InteractiveShell as S\nS.ast_node_interactivity='all'"
    )
    lab.check(
        Notebook([setting, "7", "_+1\n_+1\n_=0\n'late'", "r=(_,__,___)"]),
        {3: "s=(_,__,___)"},
        expect=["s==(0,8,7)"],
    )


SHOWN = Notebook(["h=[1]", "h", "0", "h.append(2)", "h.append(3)\nh", "h.append(4)"])


def test_a_cell_above_that_displays_no_more_moves_the_results_of_others(lab: Lab) -> None:
    lab.check(SHOWN, {2: "x=0"}, skip=[0, 1, 3, 4, 5], execute=[2])
    again = lab.repeat(SHOWN, {2: "x=0", 5: "h.append(5)"})
    assert again.problems([0, 1, 2, 3, 4], [5]) == []


def test_a_result_that_is_displayed_no_more_is_left_out(lab: Lab) -> None:
    lab.check(SHOWN, {1: "x=0"}, skip=[0, 2, 3, 4, 5], execute=[1])
    again = lab.repeat(SHOWN, {5: "h.append(5)"})
    assert again.problems([0, 1, 2, 3, 4], [5]) == []


def test_one_more_result_of_a_value_is_in_no_image(lab: Lab) -> None:
    lab.check(SHOWN, {2: "h"}, skip=[0, 1], execute=[2, 3, 4, 5], expect=["Out[2] is Out[3] is Out[5] is h"])


MOVES = (
    "'{n}'",
    "'{n}'",
    "{n}%3",
    "_={n}",
    "_={n}%3",
    "__={n}",
    "for _ in range(3): pass",
    "del _",
    "del __",
    "del _,__,___",
    "_=_",
    "_=globals().get('__')",
    SEE.replace("r=", "r{n}="),
    SEE.replace("r=", "r{n}="),
    "try: t{n}=_\nexcept NameError: t{n}='none'",
    "k=[{n}]\nk",
    "_=globals().get('k',5)",
    "len([2,{n}])",
    "try: k.append({n})\nexcept NameError: k=[1]",
    "globals().get('k')",
)


@pytest.mark.parametrize("seed", range(4))
def test_random_moves(lab: Lab, seed: int) -> None:
    dice = random.Random(seed)
    cells = [dice.choice(MOVES).format(n=n) for n in range(3, 15)]
    notebook = Notebook(cells, raises=range(len(cells)))
    lab.audit(notebook)
    for turn in range(3):
        edit = {dice.randrange(len(cells)): dice.choice(MOVES).format(n=30 + turn)} if turn else {}
        result = lab.repeat(notebook, edit)
        assert result.differences == [], [cells, edit, result.differences, result.actions]
