"""Ctrl-C while a cell executes, is prepared, restored or recorded: nothing is lost, nothing half recorded."""

from __future__ import annotations

import asyncio

import pytest

from live.pair import Pair
from support.kernels import Ran

pytestmark = pytest.mark.real_kernel

PAUSE = """
import os, time
def pause(mark):
    # The first time only: what is interrupted once must come out right the second time.
    if not os.path.exists(mark):
        open(mark, 'w').close()
        time.sleep(60)
"""
MODULE = """
import os, time
class Slow:
    # Local instances are stored attribute by attribute; one that says what it is reduced to is asked.
    def __reduce__(self):
        if self.__dict__.pop('saving', 0):
            open('saving', 'w').close()
            time.sleep(self.__dict__.pop('seconds'))
        return Slow, (), dict(self.__dict__)
    def __setstate__(self, state):
        self.__dict__.update(state)
        if os.path.exists('slowly'):
            open('loading', 'w').close()
            time.sleep(60)
"""


def interrupted(pair: Pair, source: str, mark: str, times: int = 1) -> Ran:
    """Runs a cell in our kernel and presses the stop button when the mark is there."""

    async def work() -> Ran:
        cell = asyncio.create_task(pair.ours.run_cell(source, 0, cell_id=f"c{source}"))
        while not cell.done() and not (pair.ours.folder / mark).exists():
            await asyncio.sleep(0.02)
        for _ in range(times):
            if not cell.done():
                pair.ours.interrupt()
                await asyncio.sleep(0.3)
        return await cell

    return pair.do(work())


def slow(pair: Pair) -> str:
    (pair.ours.folder / "slowly_stored.py").write_text(MODULE)
    assert run(pair, "from slowly_stored import Slow").status == "ok"
    return "from slowly_stored import Slow"


def run(pair: Pair, source: str) -> Ran:
    return pair.do(pair.ours.run_cell(source, 0, cell_id=f"c{source}"))


def value(pair: Pair, expression: str) -> str:
    worked, text = pair.do(pair.ours.evaluate(expression))
    assert worked, text
    return text


def test_a_cell_that_was_interrupted_is_no_hit(pair: Pair) -> None:
    run(pair, PAUSE)
    run(pair, "a=[1]")
    cell = "a.append(2)\npause('one')\na.append(3)"
    stopped = interrupted(pair, cell, "one")
    assert (stopped.status, stopped.ename, stopped.action) == ("error", "KeyboardInterrupt", "failed")
    assert value(pair, "a") == "[1, 2]"
    assert run(pair, "a=[1]").status == "ok"
    again = run(pair, cell)
    assert (again.status, again.action) == ("ok", "executed")
    assert value(pair, "a") == "[1, 2, 3]"


def test_a_cell_that_swallows_the_interrupt_is_no_hit(pair: Pair) -> None:
    run(pair, PAUSE)
    cell = "try:\n    pause('one')\n    x='through'\nexcept KeyboardInterrupt:\n    x='stopped'"
    assert interrupted(pair, cell, "one").status == "ok"
    assert value(pair, "x") == "'stopped'"
    assert run(pair, cell).action == "executed"
    assert value(pair, "x") == "'through'"


def test_an_await_that_is_interrupted_is_no_hit(pair: Pair) -> None:
    cell = (
        "import asyncio, os\nif not os.path.exists('one'):\n    open('one','w').close()\n"
        "    try:\n        for _ in range(600): await asyncio.sleep(.1)\n    except asyncio.CancelledError:\n        pass\nx=1"
    )
    interrupted(pair, cell, "one")
    assert run(pair, cell).action == "executed"
    assert value(pair, "x") == "1"


def test_an_interrupt_while_a_cell_is_recorded_waits(pair: Pair) -> None:
    slow(pair)
    cell = "s=Slow()\ns.v=[1]\ns.saving,s.seconds=1,1"
    done = interrupted(pair, cell, "saving")
    assert done.status == "ok"
    assert run(pair, "s.v.append(2)").status == "ok"
    assert value(pair, "s.v") == "[1, 2]"


def test_a_second_interrupt_breaks_the_recording_off_and_loses_nothing(pair: Pair) -> None:
    slow(pair)
    run(pair, "a=[0]")
    cell = "s=Slow()\ns.v=a\na.append(1)\ns.saving,s.seconds=1,60"
    done = interrupted(pair, cell, "saving", times=2)
    assert done.status == "ok" and done.report is not None
    assert any("not recorded" in warning for warning in done.report["warnings"])
    assert value(pair, "(s.v, s.v is a)") == "([0, 1], True)"
    assert run(pair, "n=len(a)").status == "ok" and value(pair, "n") == "2"
    assert run(pair, "a=[0]").status == "ok"
    assert run(pair, cell.replace("60", "0")).action == "executed"


def test_an_interrupt_while_a_value_is_loaded(pair: Pair) -> None:
    cells = [slow(pair), "s=Slow()\ns.v=[1]\nt=s.v"]
    run(pair, cells[1])
    pair.restart()
    assert [run(pair, cell).action for cell in cells] == ["restored"] * 2
    (pair.ours.folder / "slowly").touch()
    stopped = interrupted(pair, "s.v.append(2)", "loading")
    assert stopped.ename == "KeyboardInterrupt"
    (pair.ours.folder / "slowly").unlink()
    assert run(pair, "s.v.append(2)").status == "ok"
    assert value(pair, "(s.v, s.v is t)") == "([1, 2], True)"


def test_an_interrupt_while_a_value_is_recomputed(pair: Pair) -> None:
    cells = [PAUSE.replace("exists(mark)", "exists(mark) and os.path.exists('later')"), "n=[3]"]
    cells.append("if os.path.exists('later'): pause('one')\ng=(i for i in range(n[0]))")
    for cell in cells:
        run(pair, cell)
    pair.restart()
    assert run(pair, cells[0]).status == run(pair, cells[1]).status == "ok"
    assert run(pair, cells[2]).action == "restored"
    (pair.ours.folder / "later").touch()
    stopped = interrupted(pair, "x=list(g)", "one")
    assert stopped.status == "error"
    assert value(pair, "n") == "[3]"
    assert run(pair, "m=n[0]").status == "ok"


def test_a_cell_that_was_interrupted_is_not_run_again_for_what_it_made(pair: Pair) -> None:
    run(pair, PAUSE)
    made = interrupted(pair, "g=(i for i in range(3))\npause('one')", "one")
    assert made.ename == "KeyboardInterrupt" and made.report is not None
    assert run(pair, "g=None").status == "ok"
    pair.do(pair.ours.execute(f"%rewind to {made.report['commit']}"))
    told = run(pair, "n=next(g)")
    assert told.ename == "RecomputeFailed" and "was interrupted" in told.evalue
