"""R11: nothing live is read after the reply; what touches values between cells counts."""

from __future__ import annotations

from support.notebooks import Lab, Notebook

LENGTH = Notebook(["a=[1]", "n=len(a)", "w=1"])


def test_a_silent_request_that_changes_a_value(lab: Lab) -> None:
    lab.check(LENGTH, between={0: "a.append(5)"}, skip=[0, 2], execute=[1], expect=["n==2", "a==[1,5]"])


def test_a_silent_request_that_only_looks(lab: Lab) -> None:
    lab.check(LENGTH, between={0: "len(a)", 1: "repr(a)"}, skip=[0, 1, 2], expect=["n==1"])


def test_a_snapshot_does_not_move_with_the_value(lab: Lab) -> None:
    lab.check(
        Notebook(["import numpy as np\na=np.zeros(300000)", "a+=1", "a+=1", "s=a.sum()"]),
        {3: "s=a.max()"},
        skip=[0, 1, 2],
        execute=[3],
        expect=["s==2"],
    )


def test_a_thread_that_ends_between_cells(lab: Lab) -> None:
    lab.check(
        Notebook(
            [
                "import threading,time\nbuf=[]\ndef work():\n    time.sleep(.2)\n    buf.append(1)\n"
                "t=threading.Thread(target=work)\nt.start()",
                "t.join()",
                "n=len(buf)",
            ]
        ),
        {2: "n=len(buf)*10"},
        execute=[2],
        expect=["n==10"],
    )


def test_without_r11_a_change_between_cells_goes_unseen(lab: Lab) -> None:
    lab.breaks_without("R11", LENGTH, between={0: "a.append(5)"}, execute=[1], expect=["n==2"])
