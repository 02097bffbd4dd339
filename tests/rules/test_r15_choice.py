"""R15: the record of the current branch, else the newest; recorded draws are reused and said once."""

from __future__ import annotations

from support.notebooks import Lab, Notebook

DRAW = Notebook(["import random\nt=random.SystemRandom().random()", "u=t", "w=1"])


def test_the_recorded_draw_is_reused_and_said(lab: Lab) -> None:
    lab.audit(DRAW)
    result = lab.repeat(DRAW, {2: "w=2"}, drawn=["t", "u"], expect=["u==t"])
    assert result.problems(skip=[0, 1], execute=[2]) == []
    assert result.warnings


def test_a_forced_draw_becomes_the_branch(lab: Lab) -> None:
    lab.audit(DRAW)
    forced = lab.run("repeat", DRAW.edited({}), force=[0], expect=["u==t"])
    assert forced.actions == ["executed", "executed", "restored"]
    again = lab.run("repeat", DRAW.edited({}), expect=["u==t"])
    assert again.skipped == {0, 1, 2}
    assert again.described["names"]["t"] == forced.described["names"]["t"]


def test_an_old_parameter_is_a_hit(lab: Lab) -> None:
    notebook = Notebook(["k=1", "r=k*2", "s=r+1"])
    lab.check(notebook, {0: "k=2"}, execute=[0, 1, 2])
    result = lab.repeat(notebook)
    assert result.problems(skip=[0, 1, 2]) == []


def test_strict_executes_draws_and_their_readers(lab: Lab) -> None:
    lab.audit(DRAW)
    result = lab.repeat(DRAW, options={"strict": True}, drawn=["t", "u"], expect=["u==t"])
    assert result.problems(skip=[2], execute=[0, 1]) == []


def test_a_forgotten_record_is_not_used(lab: Lab) -> None:
    notebook = Notebook(["a=1"])
    lab.audit(notebook)
    lab.run("repeat", [("c0", "a=1"), ("x", "%rewind forget")])
    again = lab.run("repeat", notebook.edited({}))
    assert again.actions == ["executed"]


def test_without_r15_an_older_draw_comes_back(lab: Lab) -> None:
    def draws(without: str) -> tuple[object, object]:
        lab.audit(DRAW, without=without)
        forced = lab.run("repeat", DRAW.edited({}), force=[0], without=without)
        again = lab.run("repeat", DRAW.edited({}), without=without)
        return forced.described["names"]["t"], again.described["names"]["t"]

    first, second = draws("")
    assert first == second
    first, second = draws("R15")
    assert first != second
