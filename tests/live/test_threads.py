"""Threads of the notebook and of front ends beside our own work: no deadlock, no read unseen, no torn snapshot."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from live.pair import Pair
from support.kernels import Kernel

pytestmark = [pytest.mark.real_kernel, pytest.mark.timeout(120)]

JOINING = """
import os, sys, threading
class Joining:
    # Local instances are stored attribute by attribute; one that says what it is reduced to is asked.
    def __reduce__(self):
        return Joining, (), dict(self.__dict__)
    def __setstate__(self, state):
        self.__dict__.update(state)
        if os.path.exists('restarted'):
            os.remove('restarted')
            t = threading.Thread(target=look)
            t.start()
            t.join()
def look():
    main = sys.modules['__main__']
    main.seen.append((main.other, getattr(main, '__file__', None), hasattr(main, 'no_such_name')))
"""


def restart_and_restore(pair: Pair, *cells: str) -> None:
    for index, cell in enumerate(cells):
        pair.do(pair.ours.run_cell(cell, index))
    pair.restart()
    for index, cell in enumerate(cells):
        assert pair.do(pair.ours.run_cell(cell, index)).action == "restored", cell


def value(kernel: Kernel, pair: Pair, expression: str) -> str:
    worked, text = pair.do(kernel.evaluate(expression))
    assert worked, text
    return text


def test_a_load_that_waits_for_a_thread_that_loads(pair: Pair) -> None:
    (pair.ours.folder / "joining.py").write_text(JOINING)
    restart_and_restore(pair, "from joining import Joining", "seen=[]", "other=[1]", "s=Joining()\ns.v=1")
    (pair.ours.folder / "restarted").touch()
    ran = pair.do(pair.ours.run_cell("s.v+=1", 4))
    assert ran.status == "ok" and ran.report is not None
    assert value(pair.ours, pair, "(s.v, seen)") == "(2, [([1], None, False)])"
    assert "name:other" in ran.report["reads"]


def test_threads_read_while_the_cell_waits_for_them(pair: Pair) -> None:
    restart_and_restore(
        pair,
        "import threading\nimport numpy as np",
        "".join(f"a{i}=[np.ones(200000)*{i}]\n" for i in range(8)),
        "def work(i):\n    found.append(float(globals()[f'a{i}'][0][0]) + len(globals()['a0']))\nfound=[]",
    )
    cell = (
        "ts=[threading.Thread(target=work,args=(i,)) for i in range(8)]\n"
        "for t in ts: t.start()\nb=a3[0].sum()\nfor t in ts: t.join()\ndel ts,t\nr=sorted(found)"
    )
    ran = pair.do(pair.ours.run_cell(cell, 3))
    assert ran.status == "ok" and ran.report is not None
    assert value(pair.ours, pair, "r") == str([float(i + 1) for i in range(8)])
    assert {f"name:a{i}" for i in range(8)} <= set(ran.report["reads"])


def test_a_thread_reads_while_ipython_looks_at_the_next_cell(pair: Pair) -> None:
    cells = ("import threading,time\nword='w'\nbad=[]\nstop=threading.Event()",)
    work = (
        "def work():\n    while not stop.is_set():\n        if word != 'w': bad.append(word)\n"
        "t=threading.Thread(target=work)\nt.start()"
    )
    for index, cell in enumerate((*cells, work, *["word"] * 20, "stop.set()\nt.join()\nn=len(bad)")):
        ran = pair.do(pair.ours.run_cell(cell, index))
        assert ran.status == "ok", (ran.ename, ran.evalue)
    assert value(pair.ours, pair, "n") == "0"


# -- callbacks of a front end in a subshell's thread ---------------------------------------------------

COMMS = """
import comm, threading, time
gate, got, go = threading.Event(), [0], threading.Event()
def target(channel, opening):
    @channel.on_msg
    def receive(message):
        got.append(message['content']['data'])
        gate.set()
        if message['content']['data'] == 'wait':
            go.wait(60)
            got.append('late')
comm.get_comm_manager().register_target('t', target)
"""


async def subshell(kernel: Kernel) -> str:
    message = kernel.client.session.msg("create_subshell_request", {})
    box = kernel._box(message)
    kernel.client.control_channel.send(message)
    while True:
        channel, answer = await box.get()
        if channel == "control":
            return str(answer["content"]["subshell_id"])


def send(kernel: Kernel, subshell_id: str, kind: str, content: dict[str, Any]) -> None:
    message = kernel.client.session.msg(kind, content)
    message["header"]["subshell_id"] = subshell_id
    kernel.client.shell_channel.send(message)


def say(kernel: Kernel, subshell_id: str, data: str) -> None:
    send(kernel, subshell_id, "comm_msg", {"comm_id": "c1", "data": data})


def test_a_callback_in_a_subshell_while_a_cell_waits_for_it(pair: Pair) -> None:
    kernel = pair.ours
    pair.do(kernel.run_cell(COMMS, 0))

    async def work() -> str:
        thread = await subshell(kernel)
        cell = asyncio.create_task(kernel.run_cell("found=gate.wait(60)\nn=len(got)", 1))
        await asyncio.sleep(0.2)
        send(kernel, thread, "comm_open", {"comm_id": "c1", "target_name": "t", "data": {}})
        say(kernel, thread, "go")
        return (await cell).status

    assert pair.do(work()) == "ok"
    assert value(kernel, pair, "(found, n, got)") == "(True, 2, [0, 'go'])"
    assert pair.do(kernel.run_cell("m=len(got)", 2)).status == "ok"
    assert value(kernel, pair, "m") == "2"


def test_a_callback_that_waits_for_a_later_cell_does_not_stop_the_kernel(pair: Pair) -> None:
    kernel = pair.ours
    pair.do(kernel.run_cell(COMMS, 0))

    async def work() -> list[Any]:
        thread = await subshell(kernel)
        send(kernel, thread, "comm_open", {"comm_id": "c1", "target_name": "t", "data": {}})
        say(kernel, thread, "wait")
        first = await kernel.run_cell("found=gate.wait(60)\nn=len(got)", 1)
        second = await kernel.run_cell("go.set()", 2)
        while "late" not in (await kernel.evaluate("got"))[1]:
            await asyncio.sleep(0.05)
        return [first, second, await kernel.run_cell("m=len(got)", 3)]

    first, second, third = pair.do(work())
    assert first.status == second.status == third.status == "ok"
    assert any("callback" in warning for warning in first.report["warnings"])
    assert value(kernel, pair, "(n, m)") == "(2, 3)"


def test_a_request_in_a_subshell_leaves_the_running_cell_its_report(pair: Pair) -> None:
    kernel = pair.ours
    pair.do(kernel.run_cell("import threading\ngate=threading.Event()", 0))

    async def work() -> Any:
        thread = await subshell(kernel)
        cell = asyncio.create_task(kernel.run_cell("x=gate.wait(60)", 1))
        await asyncio.sleep(0.2)
        request = {"code": "gate.set()", "silent": True, "store_history": False, "user_expressions": {}}
        send(kernel, thread, "execute_request", {**request, "allow_stdin": False})
        return await cell

    ran = pair.do(work())
    assert ran.status == "ok" and ran.report is not None and ran.action == "executed"
