"""R13: packages are compared by rule; hash seeds are pinned; pip is never skipped in silence."""

from __future__ import annotations

import os

import pytest

from support.notebooks import Lab, Notebook, Result

PACKAGE = Notebook(["import fakepkg\na=fakepkg.value()", "b=a+1", "c=5"])


def install(lab: Lab, version: str) -> dict[str, str]:
    """A package with metadata in a folder of site packages; returns the environment that finds it."""
    site = lab.home / "env" / "site-packages"
    info = site / "fakepkg-1.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (site / "fakepkg.py").write_text("def value(): return 1\n")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: fakepkg\nVersion: {version}\n")
    (info / "RECORD").write_text("fakepkg.py,,\n")
    (info / "top_level.txt").write_text("fakepkg\n")
    return {"PYTHONPATH": os.pathsep.join([str(site), lab.house.environment()["PYTHONPATH"]])}


def upgraded(lab: Lab, to: str, rule: str, without: str = "") -> Result:
    env = install(lab, "1.2.3")
    lab.audit(PACKAGE, env=env, without=without)
    install(lab, to)
    return lab.repeat(PACKAGE, env=env, options={"env": rule}, without=without)


@pytest.mark.parametrize(
    ("to", "rule", "runs"),
    [
        ("1.2.4", "compatible", False),
        ("1.3.0", "compatible", True),
        ("2.0.0", "compatible", True),
        ("1.2.4", "exact", True),
        ("2.0.0", "any", False),
    ],
)
def test_versions_by_rule(lab: Lab, to: str, rule: str, runs: bool) -> None:
    result = upgraded(lab, to, rule)
    assert result.problems(skip=[2] if runs else [0, 1, 2], execute=[0] if runs else []) == [], result.reports


def test_the_order_of_string_sets_is_the_same_everywhere(lab: Lab) -> None:
    lab.check(
        Notebook(["s={'alpha','beta','gamma','delta'}", "o=list(s)", "w=1"]),
        {2: "w=list(s)==o"},
        skip=[0, 1],
        execute=[2],
        expect=["w"],
    )


def test_pip_is_not_restored_in_silence(lab: Lab) -> None:
    notebook = Notebook(["!python -m pip --version", "w=1"])
    lab.audit(notebook)
    result = lab.repeat(notebook, drawn=["ambient:path"])
    assert result.actions[0] == "executed" or result.reports[0]["warnings"], result.reports[0]


def test_without_r13_another_package_goes_unseen(lab: Lab) -> None:
    assert upgraded(lab, "2.0.0", "compatible").problems(execute=[0]) == []
    assert upgraded(lab, "2.0.0", "compatible", without="R13").problems(execute=[0])


def test_what_a_package_holds_that_is_not_installed_here_stops_no_cell_of_others(lab: Lab) -> None:
    """An engine keeps what was started as an attribute: a site without it repeats all that does not use it."""
    notebook = Notebook(["import fakepkg\nfakepkg.kernel={'started': [1]}", "a=[3]", "b=len(a)"])
    lab.audit(notebook, env=install(lab, "1.2.3"))
    cells = [("c0", notebook.cells[0]), ("c1", notebook.cells[1]), ("c2", "b=len(a)+1")]
    result = lab.run("repeat", cells, options={"env": "any"}, expect=["b==2"], describe=False)
    assert [(run.status, run.skipped) for run in result.runs] == [("ok", True), ("ok", True), ("ok", False)]
