"""What the state machine found once: each a short live session in which ours and a plain kernel must agree."""

from __future__ import annotations

import pytest

from live.pair import Pair

pytestmark = pytest.mark.real_kernel


def run(pair: Pair, *sources: str) -> list[str]:
    """Runs cells in both kernels, compares at the end; the actions of ours.

    ``!source`` is a silent request of a front end, ``<N`` goes back to the N-th commit, ``@`` restarts.
    """
    actions = []
    for source in sources:
        if source.startswith("!"):
            pair.poke(source[1:])
        elif source.startswith("<"):
            pair.rewind(int(source[1:]))
        elif source == "@":
            pair.restart()
        else:
            actions.append(pair.run(f"c{source}", 0, source))
    pair.compare()
    return actions


def test_r10_a_component_that_lost_a_name_is_whole_again_after_a_rewind(pair: Pair) -> None:
    run(pair, "a=[1]", "b=a", "b=[9]", "<1", "b.append(2)", "x=a is b")


def test_r10_an_opaque_component_that_lost_a_name(pair: Pair) -> None:
    assert run(pair, "a=[1]", "it=zip(a,range(9))", "a=[1]", "<1") == ["executed", "executed", "restored"]


def test_r3_a_name_deleted_in_the_cell_stays_deleted(pair: Pair) -> None:
    run(
        pair,
        "q=1",
        "del q\ntry:\n    x=q\nexcept NameError:\n    x='gone'\ny='q' in globals()\nz=globals().get('q',3)",
    )


def test_r3_deleting_a_builtin_that_nobody_shadows(pair: Pair) -> None:
    run(pair, "del print", "print(1)\ndel print", "print=None", "del print", "print(1)")


def test_r3_deleting_by_computed_names(pair: Pair) -> None:
    clean = "for k in [k for k in globals() if k in 'mnq']:\n    del globals()[k]\ndel k"
    run(pair, "m=n=q=1", clean, "q=1", "del globals()['q']", "q=1", "exec('del q')")


def test_r3_an_error_about_an_absent_name_is_gone_when_the_name_is_there(pair: Pair) -> None:
    delete, execute = "del globals()['q']", "exec('del q')"
    actions = run(pair, delete, "q=1", delete, execute, "q=1", execute)
    assert actions[:3] == ["failed", "executed", "executed"]


def test_r3_a_parked_name_bound_and_deleted_in_one_cell(pair: Pair) -> None:
    run(pair, "q=[2]", "globals()['q']=4\nglobals().pop('q',None);")


def test_a_reset_finds_what_is_parked(pair: Pair) -> None:
    cells = ("%reset -f", "q=1\nn=2\nq", "a=_", "%reset -f", "q=1\nn=2\nq", "%reset -sf", "q=3", "%xdel q")
    run(pair, *cells)
    run(pair, "@", *cells)


def test_r11_a_silent_request_may_delete(pair: Pair) -> None:
    run(pair, "q=7", "!del q", "x=globals().get('q')", "q=7", "n=q", "!del q", "!del q")


def test_r11_what_changed_between_the_cells_is_part_of_the_history(pair: Pair) -> None:
    run(pair, "a=[1]", "b=len(a)", "!a.append(5)", "b=len(a)", "c=b", "!a.append(6)", "<2")


def test_r11_cells_with_recording_off_are_part_of_the_history(pair: Pair) -> None:
    run(pair, "a=[1]")
    pair.do(pair.ours.execute("%audit off"))
    run(pair, "a.append(2)\nb=a")
    pair.do(pair.ours.execute("%audit on"))
    pair.renumbered = True
    run(pair, "n=len(a)", "b=5", "<1")


def test_r14_a_result_displayed_by_a_silent_request_is_the_last_result(pair: Pair) -> None:
    ours, plain = pair.ours, pair.plain
    for kernel in (plain, ours):
        pair.do(kernel.run_cell("a=[1]\nb='b'", 0))
        pair.do(kernel.execute("b", history=False))
        pair.do(kernel.run_cell("x=_\na.append(2)", 1))
    pair.compare()


def test_r14_a_result_is_no_name_that_the_user_bound(pair: Pair) -> None:
    assert run(pair, "a=3\na", "x=_", "_=4", "x=_")[-1] == "executed"


def test_r14_results_by_number_bind_a_cell_to_the_numbers(pair: Pair) -> None:
    run(pair, "x=len(Out)", "x", "x=len(Out)", "x", "y=Out[2]", "x='z'\nx", "y=Out[2]")


def test_r14_a_mutating_record_holds_only_while_the_same_results_share_its_value(pair: Pair) -> None:
    run(pair, "q=[2]", "q", "q.append(1)", "q=[2]", "q.append(1)")


def test_r6_a_rewind_removes_files_that_the_commit_does_not_know(pair: Pair) -> None:
    write = "open('q.txt','w').write('q');"
    run(pair, "x=1", write, "import os\nos.mkdir('d')", "<0", "import os\nos.mkdir('d')", write)


def test_r7_taking_a_module_out_of_the_table_happens_again(pair: Pair) -> None:
    pop = "import sys\nsys.modules.pop('helper',None);"
    write = "import importlib\nopen('helper.py','w').write('v=1'); importlib.invalidate_caches()"
    run(pair, pop, write, "import helper", pop, "importlib.reload(helper);")


def test_r9_a_named_tuple_comes_back_as_it_was(pair: Pair) -> None:
    cell = "from collections import namedtuple\nN=namedtuple('N','i j')\nM=namedtuple('M','i j',defaults=[1])\nt=M(2)"
    assert run(pair, cell, "@", cell) == ["executed", "restored"]


def test_r5_a_record_that_is_twice_on_the_branch(pair: Pair) -> None:
    make = "g=(i for i in list(a))"
    run(pair, "a=[1,2]", make, "!list(a),g", make, "x=next(g)", make, "x=next(g)")


def test_r8_a_librarys_counters_go_back(pair: Pair) -> None:
    run(pair, "import countlib", "a=countlib.Thing().name\na", "<0", "b=countlib.Thing().name\nb")
