"""R15: the record of the current branch, else the newest; recorded draws are reused and said once."""

from __future__ import annotations

import pytest

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


DRAWS = [
    "r=np.random.default_rng()",
    "r=np.random.default_rng(None)",
    "r=np.random.RandomState()",
    "r=np.random.Generator(np.random.PCG64())",
    "r=random.Random()",
    "r=random.Random(None)",
    "r=random.SystemRandom().random()",
    "r=os.urandom(3)",
    "r=secrets.token_hex(3)",
    "r=uuid.uuid1()",
    "r=uuid.uuid4()",
    "r=np.random.RandomState(None)",
    "none=None\nr=[np.random.RandomState(seed=none) for _ in range(2)]",
    "r=helper.rng()",
    "r=helper.rng(None)",
]
FIXED = [
    "s=np.random.default_rng(0)",
    "s=np.random.RandomState(0)",
    "s=[np.random.RandomState(n) for n in range(2)]",
    "s=sklearn.utils.check_random_state(0)",
    "s=random.Random(3)",
    "s=copy.deepcopy(random.Random(3))",
    "s=copy.deepcopy(np.random.default_rng(1))",
    "s=helper.rng(4)",
    "s=uuid.uuid5(uuid.NAMESPACE_DNS,'a')",
    "pd.DataFrame({'a':[1]}).style",
    "s=tempfile.gettempprefix()",
]


def test_draws_are_flagged_and_seeds_are_not(lab: Lab) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    imports = "import copy, os, random, secrets, tempfile, uuid\nimport numpy as np, pandas as pd\nimport helper, sklearn.utils"
    helper = {"helper.py": "import numpy as np\ndef rng(*seed): return np.random.default_rng(*seed)\n"}
    notebook = Notebook([imports, *DRAWS, *FIXED], helper)
    lab.audit(notebook)
    again = lab.run("repeat", notebook.edited({}), describe=False)
    flagged = {
        cell
        for cell, report in zip(notebook.cells, again.reports, strict=True)
        if "unseeded randomness" in str(report["warnings"])
    }
    assert flagged == set(DRAWS)
