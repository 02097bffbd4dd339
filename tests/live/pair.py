"""One repeat kernel and one plain kernel that are given the same cells, and every way to compare them."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from support import compare, folders
from support.kernels import House, Kernel, Ran

T = TypeVar("T")


class Step(NamedTuple):
    """One request on the way to the present state."""

    source: str
    kind: str = "cell"
    """``cell``; ``silent``, a front end's request, which leaves no record but changes the state (R11);
    ``stopped``, a cell that is interrupted when it waits; ``message``, what a widget sends."""


class Told(Exception):
    """Ours says that it cannot go on as a plain kernel would, and why: no wrong value, and the end of a run."""


class Pair:
    """Two kernels, the path to their state, and the commits that ours made.

    The reference after a rewind is a new plain kernel given the steps on the path to the commit.
    """

    def __init__(self, house: House) -> None:
        self.house = house
        self.loop = asyncio.new_event_loop()
        self.home = Path(tempfile.mkdtemp(prefix="nbrl")).resolve()
        self.path: list[Step] = []
        self.commits: list[tuple[str, list[Step]]] = []
        self.kernels: list[Kernel] = []
        self.renumbered = False
        self.restarted = False
        self.ours = self.do(self._start("repeat", self.home / "ours"))
        self.plain = self.do(self._start("plain", self.home / "plain0"))

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    async def _start(self, mode: str, folder: Path) -> Kernel:
        folder.mkdir(exist_ok=True)
        kernel = await Kernel.start(self.house, mode, folder, store=self.home / "store")
        await kernel.execute("__import__('front_end').listen()", silent=True)
        self.kernels.append(kernel)
        return kernel

    def close(self) -> None:
        for kernel in self.kernels:
            self.do(kernel.close())
        self.loop.close()
        shutil.rmtree(self.home, ignore_errors=True)

    # -- what a person and a front end do ------------------------------------------------------------
    def run(self, cell_id: str, place: int, source: str, *, force: bool = False) -> str:
        """Runs a cell in both; the action of ours."""
        ours = self.do(self.ours.run_cell(source, place, cell_id=cell_id, force=force))
        plain = self.do(self.plain.run_cell(source, place, cell_id=cell_id))
        assert ours.report is not None
        if ours.ename == "RecomputeFailed" and "was interrupted" in ours.evalue:
            raise Told(ours.evalue)
        left = (plain.status, plain.ename, plain.evalue.replace(str(self.plain.folder), "<root>"))
        right = (ours.status, ours.ename, ours.evalue.replace(str(self.ours.folder), "<root>"))
        assert left == right, f"{source!r}: plain {left}, ours {right} ({ours.action})"
        shown = self._shown(plain.messages, self.plain), self._shown(ours.messages, self.ours)
        assert shown[0] == shown[1], f"{source!r} ({ours.action}): plain {shown[0]}, ours {shown[1]}"
        self.path.append(Step(source))
        if ours.report["commit"]:
            self.commits.append((ours.report["commit"], list(self.path)))
        return ours.action

    def _shown(self, messages: list[dict[str, Any]], kernel: Kernel) -> list[Any]:
        # Results are numbered by the requests of a kernel's life; after a rewind the two lives differ.
        found = compare.outputs(messages, str(kernel.folder))
        return [item[:-1] if self.renumbered and item[0] == "execute_result" else item for item in found]

    def poke(self, source: str) -> None:
        """A front end's request that may change values."""
        left, _ = self.do(self.plain.execute(source, silent=True))
        right, _ = self.do(self.ours.execute(source, silent=True))
        assert (left.status, left.ename) == (right.status, right.ename), source
        self.path.append(Step(source, "silent"))

    def message(self, name: str, value: int) -> None:
        """A widget appends to a list, if there is one of that name."""
        for kernel in (self.plain, self.ours):
            self.do(_message(kernel, name, value))
        self.path.append(Step(json.dumps([name, value]), "message"))

    def stop(self, cell_id: str, source: str) -> None:
        """Runs a cell and presses the stop button after its last line."""
        left = self.do(_stopped(self.plain, cell_id, source))
        right = self.do(_stopped(self.ours, cell_id, source))
        if right.ename == "RecomputeFailed" and "was interrupted" in right.evalue:
            raise Told(right.evalue)
        assert (left.status, left.ename) == (right.status, right.ename), f"{source!r}: {left}, {right}"
        shown = self._shown(left.messages, self.plain), self._shown(right.messages, self.ours)
        assert shown[0] == shown[1], f"{source!r} stopped: plain {shown[0]}, ours {shown[1]}"
        self.path.append(Step(source, "stopped"))
        if right.report and right.report["commit"]:
            self.commits.append((right.report["commit"], list(self.path)))

    def touch(self, name: str) -> None:
        """A front end looks at one value."""
        expression = f"(lambda g: str(type(g[{name!r}])) + str(len(str(dir(g[{name!r}])))) if {name!r} in g else None)(globals())"
        left = self.do(self.plain.evaluate(expression))
        right = self.do(self.ours.evaluate(expression))
        assert left == right, f"{name}: plain {left}, ours {right}"

    def rewind(self, which: int) -> None:
        """Back to the commit of that number (modulo those there are), its files too."""
        commit, path = self.commits[which % len(self.commits)]
        ran, _ = self.do(self.ours.execute(f"%rewind to {commit} --files"))
        assert ran.status == "ok", f"{ran.ename}: {ran.evalue}"
        self._new_plain(path)

    def restart(self) -> None:
        """Both kernels end; new ones begin in the same place, ours with what it recorded."""
        self.do(self.ours.shutdown())
        self.restarted = True
        self.ours = self.do(self._start("repeat", self.home / "ours"))
        self._new_plain([])
        self.renumbered = False

    def _new_plain(self, path: Sequence[Step]) -> None:
        self.do(self.plain.close())
        self.plain = self.do(self._start("plain", self.home / f"plain{len(self.kernels)}"))
        for index, step in enumerate(path):
            if step.kind == "silent":
                self.do(self.plain.execute(step.source, silent=True))
            elif step.kind == "message":
                self.do(_message(self.plain, *json.loads(step.source)))
            elif step.kind == "stopped":
                self.do(_stopped(self.plain, f"p{index}", step.source))
            else:
                self.do(self.plain.run_cell(step.source, index))
        self.path = list(path)
        self.renumbered = True

    # -- comparison ----------------------------------------------------------------------------------
    def compare(self) -> None:
        """All values, their sharing, the ambient facts, and the files.

        Raises:
            Told: a value cannot be had again, because a cell that made it was interrupted.
        """
        found = []
        if not self.restarted:  # what an earlier life left stays on disk until a cell reaches it (R6)
            found = folders.differences(folders.tree(self.plain.folder), folders.tree(self.ours.folder))
        reference = self.do(self.plain.describe())
        described = self.do(self.ours.describe())
        found += compare.values(reference, described, results=not self.renumbered)
        told = [line for line in found if "RecomputeFailed" in line and "was interrupted" in line]
        assert found == told, found
        if told:
            raise Told(told[0])


async def _message(kernel: Kernel, name: str, value: int) -> None:
    session, channel = kernel.client.session, kernel.client.shell_channel
    channel.send(session.msg("comm_open", {"comm_id": "c", "target_name": "box", "data": {}}))
    channel.send(session.msg("comm_msg", {"comm_id": "c", "data": [name, value]}))
    channel.send(session.msg("comm_close", {"comm_id": "c", "data": {}}))
    await kernel.ask("comm_info_request", {"target_name": "box"})  # answered after all of them


async def _stopped(kernel: Kernel, cell_id: str, source: str) -> Ran:
    name = Path(f"/proc/{kernel.pid}/comm")
    waiting = f"{source}\n__import__('front_end').pause()"
    cell = asyncio.create_task(kernel.run_cell(waiting, 0, cell_id=cell_id))
    while not cell.done() and name.read_text() != "waiting\n":
        await asyncio.sleep(0.01)
    if not cell.done():
        kernel.interrupt()
    return await cell
