"""A live repeat kernel does what a plain kernel does, whatever order a person runs, edits and rewinds cells in.

Hypothesis drives one repeat kernel through executing, editing, inserting, deleting, forcing, looking at and
changing values behind the cells' back, widgets' messages, interrupts, ``%rewind to`` and restarts; a plain kernel is given the same.  After a
rewind the reference is a new plain kernel given the steps on the path to that commit.  A run draws its cells
from one or two themes (``cells.py``).  ``NBREWIND_LIVE_EXAMPLES`` says how many runs (default 30);
``make test-slow`` takes 2000.
"""

from __future__ import annotations

import os
from typing import ClassVar

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

from live.cells import THEMES
from live.pair import Pair, Told
from support.kernels import House

pytestmark = [pytest.mark.slow, pytest.mark.real_kernel, pytest.mark.timeout(7200)]

ONLY_CELLS = frozenset({"files", "modules", "ambient"})
"""Themes of which a front end's request does nothing: only values are followed between the cells (R11)."""
NAMES = ("K", "a", "b", "c", "d", "e", "f", "g", "h", "k", "n", "q", "s", "u", "v", "w", "x", "y", "z")
CHOICE = st.integers(0, 10_000)


class LiveKernel(RuleBasedStateMachine):
    """The notebook that a person works on, in two kernels at once."""

    house: ClassVar[House]

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[tuple[str, str]] = []
        self.fresh_ids = 0
        self.themes: set[str] = set()
        self.pool: list[str] = []
        self.pair = Pair(self.house)
        self.over = False
        """Whether ours has told that it cannot go on."""

    @initialize(
        themes=st.lists(st.sampled_from(sorted(THEMES)), min_size=1, max_size=2, unique=True),
        first=st.lists(CHOICE, min_size=2, max_size=4),
    )
    def begin(self, themes: list[str], first: list[int]) -> None:
        self.themes = set(themes)
        self.pool = [source for theme in themes for source in THEMES[theme]]
        for choice in first:
            self.add(len(self.cells), self.source(choice))

    # -- what a person does --------------------------------------------------------------------------
    def source(self, choice: int) -> str:
        """One cell of the themes; now and then two in one."""
        first, rest = choice % len(self.pool), choice // len(self.pool)
        if rest % 8 or rest == 0:
            return self.pool[first]
        return f"{self.pool[first]}\n{self.pool[rest % len(self.pool)]}"

    def add(self, place: int, source: str) -> None:
        self.fresh_ids += 1
        self.cells.insert(place, (f"c{self.fresh_ids}", source))
        self.run(place)

    def run(self, place: int, *, force: bool = False) -> None:
        cell_id, source = self.cells[place]
        note(f"[{place}] {source!r}")
        if self.over:
            return
        try:
            note(f"    {self.pair.run(cell_id, place, source, force=force)}")
        except Told as told:
            self.give_up(told)

    def give_up(self, told: Told) -> None:
        note(f"    {told}")
        self.over = True

    @precondition(lambda self: self.cells)
    @rule(place=CHOICE, force=st.sampled_from((False, False, False, True)))
    def execute(self, place: int, force: bool) -> None:
        self.run(place % len(self.cells), force=force)

    @precondition(lambda self: self.cells)
    @rule(place=CHOICE, choice=CHOICE)
    def edit(self, place: int, choice: int) -> None:
        place %= len(self.cells)
        self.cells[place] = (self.cells[place][0], self.source(choice))
        self.run(place)

    @precondition(lambda self: self.pool)
    @rule(place=CHOICE, choice=CHOICE)
    def insert(self, place: int, choice: int) -> None:
        self.add(place % (len(self.cells) + 1), self.source(choice))

    @precondition(lambda self: len(self.cells) > 1)
    @rule(place=CHOICE)
    def delete(self, place: int) -> None:
        del self.cells[place % len(self.cells)]

    @precondition(lambda self: self.cells)
    @rule()
    def run_all(self) -> None:
        for place in range(len(self.cells)):
            self.run(place)

    @precondition(lambda self: self.pair.commits and not self.over)
    @rule(which=CHOICE)
    def rewind(self, which: int) -> None:
        note(f"%rewind to commit {which % len(self.pair.commits)}")
        self.pair.rewind(which)

    @precondition(lambda self: self.cells and not self.over)
    @rule()
    def restart_and_run_all(self) -> None:
        note("restart")
        self.pair.restart()
        self.run_all()

    # -- what a front end does -----------------------------------------------------------------------
    @precondition(lambda self: not self.over)
    @rule(name=st.sampled_from(NAMES))
    def touch(self, name: str) -> None:
        self.pair.touch(name)

    @precondition(lambda self: self.pool and not self.over and not self.themes & ONLY_CELLS)
    @rule(choice=CHOICE)
    def poke(self, choice: int) -> None:
        source = self.source(choice)
        note(f"silently {source!r}")
        self.pair.poke(source)

    @precondition(lambda self: not self.over)
    @rule(name=st.sampled_from("abc"), value=st.integers(0, 9))
    def message(self, name: str, value: int) -> None:
        note(f"a widget appends {value} to {name}")
        self.pair.message(name, value)

    @precondition(lambda self: self.pool and not self.over)
    @rule(choice=CHOICE)
    def stop(self, choice: int) -> None:
        source = self.source(choice)
        note(f"stopped after {source!r}")
        self.fresh_ids += 1
        try:
            self.pair.stop(f"stopped{self.fresh_ids}", source)
        except Told as told:
            self.give_up(told)

    @precondition(lambda self: not self.over)
    @rule()
    def look_at_everything(self) -> None:
        try:
            self.pair.compare()
        except Told as told:
            self.give_up(told)

    def teardown(self) -> None:
        try:
            if self.pair.ours.alive() and not self.over:
                self.look_at_everything()
        finally:
            self.pair.close()


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
