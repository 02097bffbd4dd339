"""A live repeat kernel does what a plain kernel does, whatever order a person runs, edits and rewinds cells in.

Hypothesis drives one repeat kernel through executing, editing, inserting, deleting, looking at values and
``%rewind to``; a plain kernel is given the same cells.  After a rewind the reference is a new plain kernel
given the cells on the path to that commit.  ``NBREWIND_LIVE_EXAMPLES`` says how many runs (default 30).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from support import compare
from support.kernels import House, Kernel

pytestmark = [pytest.mark.slow, pytest.mark.real_kernel, pytest.mark.timeout(1800)]

T = TypeVar("T")

TEMPLATES = (
    "a=[1]",
    "b=a",
    "b=[9]",
    "a.append(2)",
    "c={'k':a}",
    "c=None",
    "c['k'].append(3)",
    "d=(a,b)",
    "del a",
    "n=len(a)",
    "n=len(b)",
    "def f(z=1):\n    return (z, list(a))",
    "def f(z=2):\n    return z",
    "f.tag=a",
    "x=f()",
    "class K:\n    n=0\n    def m(s): return s.n",
    "K.n+=1",
    "y=K()",
    "y.w=a",
    "e=[K(),y]",
    "x=y.m()",
    "x=type(y) is K",
    "import numpy as np\nu=np.arange(6)",
    "v=u[1:4]",
    "v[0]+=10",
    "u=u.copy()",
    "n=int(u.sum())",
    "1/0",
    "a.append(5)\nb.nope",
    "print(n)",
    "n",
    "g=(i for i in list(a))",
    "x=next(g)",
    "s=set(a)\ns.add(7)",
    "k=(lambda q: (lambda: q.append(1) or len(q)))(a)",
    "x=k()",
    "globals().pop('b',None);",
    "m=sorted(k for k in globals() if len(k)==1 and k.isalpha())",
    "import math\nmath.extra=[1]",
    "math.extra.append(len(math.extra))\nx=len(math.extra)",
    "try:\n    x=q\nexcept NameError:\n    x='none'",
    "q=3",
)
NAMES = ("a", "b", "c", "d", "e", "f", "g", "k", "n", "s", "u", "v", "x", "y", "K")


class LiveKernel(RuleBasedStateMachine):
    """One repeat kernel, one plain kernel, and the cells that both were given."""

    house: ClassVar[House]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.home = Path(tempfile.mkdtemp(prefix="nbrl")).resolve()
        self.cells: list[tuple[str, str]] = []
        self.fresh_ids = 0
        self.path: list[str] = []
        """Sources on the path to the present state."""
        self.commits: list[tuple[str, list[str]]] = []
        self.kernels: list[Kernel] = []
        self.renumbered = False

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    async def start(self, mode: str) -> Kernel:
        folder = self.home / f"{mode}{len(self.kernels)}"
        folder.mkdir()
        kernel = await Kernel.start(self.house, mode, folder)
        self.kernels.append(kernel)
        return kernel

    @initialize(first=st.lists(st.sampled_from(TEMPLATES), min_size=2, max_size=4))
    def begin(self, first: list[str]) -> None:
        self.ours = self.do(self.start("repeat"))
        self.plain = self.do(self.start("plain"))
        for source in first:
            self.add(len(self.cells), source)

    # -- what a person does --------------------------------------------------------------------------
    def add(self, place: int, source: str) -> None:
        self.fresh_ids += 1
        self.cells.insert(place, (f"c{self.fresh_ids}", source))
        self.run(place)

    def run(self, place: int) -> None:
        cell_id, source = self.cells[place]
        ours = self.do(self.ours.run_cell(source, place, cell_id=cell_id))
        plain = self.do(self.plain.run_cell(source, place, cell_id=cell_id))
        note(f"[{place}] {source!r}: {ours.action}")
        assert ours.report is not None
        assert (ours.status, ours.ename, ours.evalue) == (plain.status, plain.ename, plain.evalue), source
        left, right = (self.shown(r.messages) for r in (plain, ours))
        assert left == right, source
        self.path.append(source)
        if ours.report["commit"]:
            self.commits.append((ours.report["commit"], list(self.path)))

    def shown(self, messages: list[dict[str, Any]]) -> list[Any]:
        # Results are numbered by the requests of a kernel's life; after a rewind the two lives differ.
        found = compare.outputs(messages)
        return [item[:-1] if self.renumbered and item[0] == "execute_result" else item for item in found]

    @precondition(lambda self: self.cells)
    @rule(place=st.integers(0, 30))
    def execute(self, place: int) -> None:
        self.run(place % len(self.cells))

    @precondition(lambda self: self.cells)
    @rule(place=st.integers(0, 30), source=st.sampled_from(TEMPLATES))
    def edit(self, place: int, source: str) -> None:
        place %= len(self.cells)
        self.cells[place] = (self.cells[place][0], source)
        self.run(place)

    @rule(place=st.integers(0, 30), source=st.sampled_from(TEMPLATES))
    def insert(self, place: int, source: str) -> None:
        self.add(place % (len(self.cells) + 1), source)

    @precondition(lambda self: len(self.cells) > 1)
    @rule(place=st.integers(0, 30))
    def delete(self, place: int) -> None:
        del self.cells[place % len(self.cells)]

    @precondition(lambda self: self.cells)
    @rule()
    def run_all(self) -> None:
        for place in range(len(self.cells)):
            self.run(place)

    @precondition(lambda self: self.commits)
    @rule(which=st.integers(0, 60))
    def rewind(self, which: int) -> None:
        commit, path = self.commits[which % len(self.commits)]
        note(f"%rewind to {commit[:8]}, after {path}")
        ran, _ = self.do(self.ours.execute(f"%rewind to {commit}"))
        assert ran.status == "ok", f"{ran.ename}: {ran.evalue}"
        self.do(self.plain.close())
        self.plain = self.do(self.start("plain"))
        for index, source in enumerate(path):
            self.do(self.plain.run_cell(source, index))
        self.path = list(path)
        self.renumbered = True

    @rule(name=st.sampled_from(NAMES))
    def touch(self, name: str) -> None:
        expression = f"(lambda g: str(type(g[{name!r}])) + str(len(str(dir(g[{name!r}])))) if {name!r} in g else None)(globals())"
        left = self.do(self.plain.evaluate(expression))
        right = self.do(self.ours.evaluate(expression))
        assert left == right, name

    @rule()
    def look_at_everything(self) -> None:
        self.compare()

    def compare(self) -> None:
        reference = self.do(self.plain.describe())
        found = self.do(self.ours.describe())
        assert compare.values(reference, found, results=not self.renumbered) == []

    def teardown(self) -> None:
        try:
            if self.kernels and self.ours.alive():
                self.compare()
        finally:
            for kernel in self.kernels:
                self.do(kernel.close())
            self.loop.close()
            shutil.rmtree(self.home, ignore_errors=True)


def test_a_live_kernel_is_a_plain_kernel() -> None:
    with House() as house:
        LiveKernel.house = house
        run_state_machine_as_test(
            LiveKernel,
            settings=settings(
                max_examples=int(os.environ.get("NBREWIND_LIVE_EXAMPLES", "30")),
                stateful_step_count=14,
                deadline=None,
                print_blob=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
