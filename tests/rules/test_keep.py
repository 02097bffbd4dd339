"""``--keep``: values that their cells give again are left out of the store, and come back by running them (R5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nbrewind.model import Version
from nbrewind.session.keep import LEFT_OUT, STORED, Keep, repeatable
from support import folders
from support.notebooks import Lab, Notebook

OUTPUTS = {"keep": "outputs"}
BIG = "import numpy as np\nbig = np.arange(400_000.0)"


def audited(lab: Lab, cells: Sequence[str], **options: Any) -> list[dict[str, Any]]:
    """The reports of an audit of these cells."""
    folders.lay_down(lab.folder, {"in.txt": "x"})
    return lab.run("audit", [(f"c{i}", c) for i, c in enumerate(cells)], options=options).reports


def left_out(reports: list[dict[str, Any]]) -> list[int]:
    """Cells that said that something was left out."""
    return [i for i, r in enumerate(reports) if any("left out" in w for w in r["warnings"])]


def repeated(lab: Lab, cells: list[str], edit: dict[int, str]) -> list[str]:
    """What became of each cell in a repeat after an edit, whose end is that of a plain run."""
    audited(lab, cells, **OUTPUTS)
    result = lab.repeat(Notebook(cells, {"in.txt": "x"}), edit, options=OUTPUTS)
    assert not result.differences
    return result.actions


def test_a_value_left_out_is_made_again_where_a_cell_needs_it(lab: Lab) -> None:
    cells = [BIG, "total = big.sum()", "n = 1"]
    assert left_out(audited(lab, cells, **OUTPUTS)) == [0]
    result = lab.repeat(Notebook(cells, {"in.txt": "x"}), {2: "n = big[-1]"}, options=OUTPUTS)
    assert not result.differences
    assert result.actions == ["restored", "restored", "executed"]
    assert result.reports[2]["recomputed"]


def test_nothing_runs_where_nothing_needs_it(lab: Lab) -> None:
    cells = [BIG, "total = big.sum()", "n = 1"]
    audited(lab, cells, **OUTPUTS)
    result = lab.run("repeat", Notebook(cells).edited({2: "n = 2"}), options=OUTPUTS, describe=False)
    assert result.actions == ["restored", "restored", "executed"]


def test_changes_in_place_and_views_follow(lab: Lab) -> None:
    cells = [BIG, "big[0] = 7", "view = big[1:]", "n = 1"]
    assert repeated(lab, cells, {3: "view[0] = 5\nn = big[0]"})[-1] == "executed"


def test_what_was_left_out_is_changed_in_a_cell_that_is_stored(lab: Lab) -> None:
    cells = [BIG, "big[0] = len(open('in.txt').read())", "n = 1"]
    assert left_out(audited(lab, cells, **OUTPUTS)) == [0]
    assert repeated(lab, cells, {2: "n = big[0]"}) == ["restored", "restored", "executed"]


def test_equal_values_of_two_cells_stay_apart(lab: Lab) -> None:
    cells = [f"import numpy as np\none = np.zeros(400_000)\n{name} = [one, 5]" for name in "ab"] + ["n = 1"]
    assert repeated(lab, cells, {2: "n = a[0] is one, b[0] is one"})[-1] == "executed"


def test_what_holds_functions_is_stored(lab: Lab) -> None:
    cells = [BIG + "\ndef f(): return 1\nboth = [big, f]", BIG + "\nclass C: pass\nboth = [big, C()]"]
    assert not left_out(audited(lab, cells, **OUTPUTS))


def test_cells_below_an_equal_value_are_hits(lab: Lab) -> None:
    """What is left out has the version of its content: early cutoff stays."""
    cells = [BIG, "total = big.sum()"]
    assert repeated(lab, cells, {0: BIG.replace("400_000.0", "400_000.0 + 0")}) == ["executed", "restored"]


def test_what_may_come_out_differently_is_stored(lab: Lab) -> None:
    made = "big = np.arange(400_000.0)"
    cells = [
        "import asyncio, logging, subprocess, time\nimport numpy as np",
        "big = np.random.default_rng().random(400_000)",
        made + " + time.time()",
        made + "\nopen('o.txt', 'w').write('x')",
        made + "\nopen('in.txt').read()",
        made + "\nsubprocess.run(['true'])",
        made + "\nlogging.getLogger().addHandler(logging.NullHandler())",
        made + "\nawait asyncio.sleep(0)",
        "g = (i for i in range(3))",
        made + "\nboth = [g, next(g)]",
    ]
    assert not left_out(audited(lab, cells, **OUTPUTS))


def test_small_values_are_stored(lab: Lab) -> None:
    assert not left_out(audited(lab, ["small = list(range(1000))"], **OUTPUTS))


def test_all_is_stored_by_default(lab: Lab) -> None:
    assert not left_out(audited(lab, [BIG]))


def test_rules_tags_and_budget(tmp_path: Any) -> None:
    slow, quick = 1e9, 1e-9
    auto = Keep(tmp_path, "auto", bandwidth=1e9)
    assert auto.cell("r1", quick, (), ())(1 << 30) and not auto.cell("r2", slow, (), ())(1 << 30)
    assert not auto.cell("r3", quick, (), (STORED,))(1 << 30)
    assert Keep(tmp_path).cell("r4", slow, (), (LEFT_OUT,))(1 << 30)
    budget = Keep(tmp_path, budget=3 << 20)
    assert [bool(budget.cell(f"b{i}", slow, (), ())(2 << 20)) for i in range(2)] == [False, True]


def test_what_comes_before_costs_too(tmp_path: Any) -> None:
    keep = Keep(tmp_path, "auto", bandwidth=1e9)
    reason = keep.cell("first", 1e-9, (), ())(1 << 30)
    keep.seconds["first"] = 1e9
    read = Version("d", opaque=reason, chain=("first",))
    assert not keep.cell("second", 1e-9, [read], ())(1 << 30)


def test_only_what_is_sure_to_come_again_is_repeatable() -> None:
    code = compile("x = 1", "cell", "exec")
    hole = Version("d", opaque="a generator", chain=("r",))
    assert repeatable(code, (), [Version("d", image="i")], touched_outside=False)
    assert not repeatable(code, (), [hole], touched_outside=False)
    assert not repeatable(code, ("get_ipython",), (), touched_outside=False)
    assert not repeatable(None, (), (), touched_outside=False)
