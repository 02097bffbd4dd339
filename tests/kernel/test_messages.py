"""What front ends ask of a kernel besides running cells goes on working under both of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from support.kernels import House, Kernel

pytestmark = pytest.mark.real_kernel

Work = Callable[[Kernel], Awaitable[None]]


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with House() as house:
        yield house


@pytest.fixture(params=["audit", "repeat"])
def with_kernel(request: pytest.FixtureRequest, house: House, tmp_path: Path) -> Callable[[Work], None]:
    async def main(work: Work) -> None:
        kernel = await Kernel.start(house, request.param, tmp_path)
        try:
            await work(kernel)
        finally:
            await kernel.close()

    return lambda work: asyncio.run(main(work))


def test_completion_and_inspection_see_parked_names(with_kernel: Callable[[Work], None]) -> None:
    async def work(kernel: Kernel) -> None:
        await kernel.run_cell("alphabet={'beta': 1}\ndef alphanumeric(x):\n    'Says so.'", 0)
        await kernel.run_cell("b=1", 1)
        found = await kernel.ask("complete_request", {"code": "alpha", "cursor_pos": 5})
        assert {"alphabet", "alphanumeric"} <= set(found["matches"])
        keys = await kernel.ask("complete_request", {"code": "alphabet['", "cursor_pos": 10})
        assert any("beta" in match for match in keys["matches"])
        shown = await kernel.ask(
            "inspect_request", {"code": "alphanumeric", "cursor_pos": 5, "detail_level": 0}
        )
        assert shown["found"] and "Says so." in shown["data"]["text/plain"]
        ran = await kernel.run_cell("b+1", 2)
        assert ran.report is not None and ran.report["reads"] == ["name:b"]

    with_kernel(work)


def test_input_is_asked_and_its_recorded_answer_kept_until_forced(
    with_kernel: Callable[[Work], None],
) -> None:
    async def work(kernel: Kernel) -> None:
        ran = await kernel.run_cell("who=input('name? ')\nprint(who)", 0, answers=["Ada"])
        assert ran.status == "ok" and ran.messages[-1]["content"]["text"] == "Ada\n"
        again = await kernel.run_cell("who=input('name? ')\nprint(who)", 0, answers=["Eve"])
        answer = "Eve" if kernel.mode == "audit" else "Ada"
        assert again.messages[-1]["content"]["text"] == f"{answer}\n"
        again = await kernel.run_cell("who=input('name? ')\nprint(who)", 0, answers=["Eve"], force=True)
        assert again.action == "executed" and again.messages[-1]["content"]["text"] == "Eve\n"

    with_kernel(work)


def test_top_level_await(with_kernel: Callable[[Work], None]) -> None:
    async def work(kernel: Kernel) -> None:
        ran = await kernel.run_cell("import asyncio\nx=await asyncio.sleep(0, 'slept')\nx", 0)
        assert ran.messages[-1]["content"]["data"] == {"text/plain": "'slept'"}

    with_kernel(work)


def test_comms_open_answer_and_close(with_kernel: Callable[[Work], None]) -> None:
    async def work(kernel: Kernel) -> None:
        target = (
            "import comm\nheard=[]\ndef target(c, opening):\n"
            "    c.on_msg(lambda m: (heard.append(m['content']['data']), c.send({'got': len(heard)})))\n"
            "comm.get_comm_manager().register_target('t', target)"
        )
        await kernel.run_cell(target, 0)
        session, channel = kernel.client.session, kernel.client.shell_channel
        channel.send(session.msg("comm_open", {"comm_id": "c", "target_name": "t", "data": {}}))
        channel.send(session.msg("comm_msg", {"comm_id": "c", "data": "hello"}))
        info = await kernel.ask("comm_info_request", {"target_name": "t"})
        assert "c" in info["comms"]
        ran = await kernel.run_cell("n=len(heard)\nprint(n)", 1)
        assert ran.messages[-1]["content"]["text"] == "1\n"
        channel.send(session.msg("comm_close", {"comm_id": "c", "data": {}}))
        assert "c" not in (await kernel.ask("comm_info_request", {"target_name": "t"}))["comms"]

    with_kernel(work)


def test_the_debugger_answers(with_kernel: Callable[[Work], None]) -> None:
    pytest.importorskip("debugpy")

    async def work(kernel: Kernel) -> None:
        request = {"type": "request", "seq": 1, "command": "initialize", "arguments": {"clientID": "test"}}
        answer = await kernel.ask("debug_request", request, "control")
        assert answer["success"] is True
        assert (await kernel.run_cell("x=1", 0)).status == "ok"

    with_kernel(work)


def test_a_defect_of_ours_is_answered(with_kernel: Callable[[Work], None]) -> None:
    async def work(kernel: Kernel) -> None:
        broken = "import nbrewind.session.prepare as ours\nkept, ours.compiled = ours.compiled, None"
        await kernel.run_cell(broken, 0)
        ran = await kernel.run_cell("x=1", 1)
        assert ran.status == "error" and ran.ename == "NBRewindError"
        assert "not callable" in ran.evalue and "report it" in ran.evalue

    with_kernel(work)
