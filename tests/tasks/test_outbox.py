"""What leaves a worker of Dask: reports that go together, and small results that go with them."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nbrewind.tasks import worker


class Loop:
    """Keeps what it is asked to call later."""

    def __init__(self) -> None:
        self.later: list[tuple[float, Callable[[], None]]] = []

    def add_callback(self, call: Callable[..., Any], *args: Any) -> None:
        call(*args)

    def call_later(self, delay: float, call: Callable[[], None]) -> None:
        self.later.append((delay, call))


class Worker:
    """The part of one of Dask's workers that an outbox needs."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.plugins: dict[str, Any] = {}
        self.sent: list[list[Any]] = []

    def log_event(self, topic: str, message: dict[str, Any]) -> None:
        assert topic == worker.TOPIC
        idents = [report["ident"] for report in message["reports"]]
        if "bad" in idents:
            raise TypeError("it cannot travel")
        self.sent.append(idents)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Worker:
    monkeypatch.setattr(worker, "PAUSE", 1000.0)
    return Worker()


def add(box: worker.Outbox, *idents: str, at_once: bool = False) -> None:
    for ident in idents:
        box.add({"ident": ident}, at_once=at_once)


def test_the_first_report_goes_at_once_and_those_after_it_together(made: Worker) -> None:
    box = worker.Outbox(made)
    add(box, "a", "b", "c")
    assert made.sent == [["a"]]
    assert len(made.loop.later) == 1, "one timer for all of them"
    made.loop.later.pop()[1]()
    assert made.sent == [["a"], ["b", "c"]]
    add(box, "d")
    assert len(made.loop.later) == 1, "the next batch has a timer again"


def test_a_report_that_must_not_be_late_takes_those_before_it_along(made: Worker) -> None:
    box = worker.Outbox(made)
    add(box, "a", "b")
    add(box, "c", at_once=True)
    assert made.sent == [["a"], ["b", "c"]]
    add(box, "d")
    assert len(made.loop.later) == 1, "the timer that runs will do"


def test_a_worker_that_closes_sends_what_waits(made: Worker) -> None:
    box = worker.Outbox(made)
    add(box, "a", "b")
    (plugin,) = made.plugins.values()
    plugin.teardown(worker=made)
    assert made.sent == [["a"], ["b"]]


def test_a_report_that_cannot_travel_spoils_no_other(made: Worker) -> None:
    box = worker.Outbox(made)
    add(box, "bad")
    add(box, "a", "bad", "b")
    add(box, "c", at_once=True)
    assert [ident for sent in made.sent for ident in sent] == ["a", "b", "c"]


class Text(str):
    """Not a plain text."""


LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    "value",
    [None, True, 7, -0.0, 1j, "text", b"bytes", (1, [2, {"a": None}]), {}, np.float64(0.1), np.bool_(True)],
)
def test_small_plain_results_travel_with_the_report(value: Any) -> None:
    data = worker.pickled_small(value)
    assert data is not None
    again = pickle.loads(data)
    assert type(again) is type(value)
    assert repr(again) == repr(value)


@pytest.mark.parametrize(
    "value",
    [
        *("x" * worker.SMALL, b"x" * (worker.SMALL + 1), 1 << 8 * worker.SMALL, [0] * worker.SMALL, LOOP),
        *(Text("a"), [Text("a")], {"a": {1}}, {Text("a"): 1}, object(), len, int, np.zeros(1)),
        *(np.datetime64("2020-01-01"), np.str_("a"), np.void(b"a")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_others_do_not(value: Any) -> None:
    assert worker.pickled_small(value) is None


def test_a_worker_has_one_outbox(made: Worker) -> None:
    box = worker._outbox(made)
    assert worker._outbox(made) is box
    assert list(made.plugins.values()) == [box]
