"""What a notebook has set of its process stays, whatever other threads of ours do meanwhile."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from nbrewind.flow import room
from nbrewind.flow.items import items


@pytest.fixture(autouse=True)
def _limit() -> Iterator[None]:
    before = sys.getrecursionlimit()
    yield
    sys.setrecursionlimit(before)


@contextmanager
def another_thread_inside() -> Iterator[None]:
    """A thread that looks at a deep value as long as the block lasts."""
    entered, leave = threading.Event(), threading.Event()

    def look() -> None:
        with room.deep():
            entered.set()
            leave.wait(20)

    thread = threading.Thread(target=look)
    thread.start()
    assert entered.wait(20)
    try:
        yield
    finally:
        leave.set()
        thread.join()


def test_the_limit_is_told_as_the_notebook_has_it() -> None:
    item = next(item for item in items() if item.key == "recursionlimit")
    sys.setrecursionlimit(4321)
    with another_thread_inside():
        assert item.get() == 4321
        item.put(4567)
    assert sys.getrecursionlimit() == 4567


def test_a_limit_set_meanwhile_stays() -> None:
    with another_thread_inside():
        sys.setrecursionlimit(4321)
        assert room.limit() == 4321
        with room.deep():
            assert sys.getrecursionlimit() == room.RECURSION
        assert room.limit() == 4321
    assert sys.getrecursionlimit() == 4321


def test_threads_that_leave_in_another_order_put_back_what_was() -> None:
    before = sys.getrecursionlimit()
    first = room.deep()
    first.__enter__()
    with another_thread_inside():
        first.__exit__(None, None, None)
        assert room.limit() == before
    assert sys.getrecursionlimit() == before


def in_thread(call: Callable[[], None]) -> None:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert not failures, failures


def depth(levels: int) -> int:
    return depth(levels - 1) + 1 if levels else 0


def test_beside_a_cell_the_limit_is_raised_only_where_it_does_not_do() -> None:
    before = sys.getrecursionlimit()
    seen: list[int] = []

    def shallow() -> int:
        seen.append(sys.getrecursionlimit())
        return depth(10)

    def look() -> None:
        assert room.with_room(shallow) == 10
        assert room.with_room(lambda: depth(before + 500)) == before + 500

    in_thread(look)
    assert seen == [before]
    assert sys.getrecursionlimit() == before


def test_filters_of_warnings_set_meanwhile_stay() -> None:
    with warnings.catch_warnings():
        entered, leave = threading.Event(), threading.Event()

        def look() -> None:
            with room.unwarned():
                entered.set()
                leave.wait(20)

        thread = threading.Thread(target=look)
        thread.start()
        assert entered.wait(20)
        warnings.simplefilter("error", FutureWarning)
        leave.set()
        thread.join()
        assert warnings.filters[0][0] == "error"
