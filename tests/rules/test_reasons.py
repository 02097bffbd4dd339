"""The reason that a report gives names the first difference, inside a value where that can be known."""

from __future__ import annotations

import pytest

from support.notebooks import Lab, Notebook


@pytest.mark.parametrize(
    ("first", "edited", "reader", "reason"),
    [
        ("cfg={'lr':1,'n':2}", "cfg={'lr':3,'n':2}", "m=cfg['n']", "name:cfg differs at cfg['lr']"),
        ("cfg=[1,[2,3]]", "cfg=[1,[2,4]]", "m=len(cfg)", "name:cfg differs at cfg[1][1]"),
        ("cfg=1", "cfg=2", "m=cfg", "name:cfg changed"),
        (
            "class C: pass\ncfg=C(); cfg.size=1; cfg.n=2",
            "class C: pass\ncfg=C(); cfg.size=1; cfg.n=3",
            "m=cfg.size",
            "name:cfg differs at cfg.n",
        ),
        ("x=1", "len=max", "m=len([1,2])", "name:len is now defined"),
        (
            "a=[1]; cfg=[a]",
            "a=[1]; cfg=[[1]]",
            "m=cfg[0] is a",
            "name:a and name:cfg are not shared any more",
        ),
    ],
)
def test_the_first_difference(lab: Lab, first: str, edited: str, reader: str, reason: str) -> None:
    result = lab.check(Notebook([first, reader, "w=1"]), {0: edited}, skip=[2], execute=[0, 1])
    assert result.reports[1]["reason"] == reason


def test_a_changed_file_is_named(lab: Lab) -> None:
    notebook = Notebook(["t=open('in.csv').read()"], files={"in.csv": "1"})
    result = lab.check(notebook, files={"in.csv": "2"}, execute=[0])
    assert result.reports[0]["reason"] == "file:in.csv changed"
