"""SIGKILL: a real process ends at a named step of a protocol, or at any time."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

from faults.life import Tell, promises, usable, verify, write, write_and_collect
from nbrewind.store import points

SAME_STORE = 10
"""Kills one after the other in one store."""


def at_points(folder: Path, rounds: int) -> Counter[str]:
    """Every point, reached for the first, second, third... time."""
    counts: Counter[str] = Counter()
    for point in points.POINTS:
        life = write_and_collect if "garbage" in point or "living" in point or "old" in point else write
        told: list[str] = []
        for nth in range(rounds):
            place = folder / point.replace(" ", "-") / str(nth // SAME_STORE)
            place.parent.mkdir(exist_ok=True)
            if nth % SAME_STORE == 0:
                told = []
            lines, killed = _lived(place, f"s{nth}", life, point=point, nth=1 + nth % 5)
            told += lines
            _after(place, told, counts)
            counts[f"killed at: {point}"] += killed
    return counts


def at_any_time(folder: Path, kills: int, seed: int = 1) -> Counter[str]:
    """At random times of random lives."""
    counts: Counter[str] = Counter()
    dice = random.Random(seed)
    told: list[str] = []
    number = -1
    while counts["killed at any time"] < kills:
        number += 1
        place = folder / f"any-{number // SAME_STORE}"
        if number % SAME_STORE == 0:
            told = []
        life = dice.choice((write, write_and_collect))
        lines, killed = _lived(place, f"s{number}", life, delay=dice.uniform(0.0, 0.4))
        told += lines
        _after(place, told, counts)
        counts["killed at any time"] += killed
    return counts


def _after(place: Path, told: list[str], counts: Counter[str]) -> None:
    if not (place / "catalog.sqlite").exists() or not _is_store(place):
        assert not told
        counts["killed before there was a store"] += 1
        return
    counts["records verified"] += verify(place, told)
    counts["durable cells still there"] += len(promises(told))
    usable(place, f"u{time.monotonic_ns()}")


def _is_store(place: Path) -> bool:
    from nbrewind.errors import NoStore
    from nbrewind.store import Store

    try:
        Store.open(place, readonly=True).close()
    except NoStore:
        return False
    return True


def _lived(
    place: Path, seed: str, life: object, *, point: str = "", nth: int = 0, delay: float = -1.0
) -> tuple[list[str], bool]:
    """What a child told before it was killed, and whether it was."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _child(place, seed, life, writing, point, nth)
    os.close(writing)
    if delay >= 0:
        time.sleep(delay)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    with os.fdopen(reading) as told:
        text = told.read()
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, text
    return text.splitlines(), os.WIFSIGNALED(status)


def _child(place: Path, seed: str, life: object, writing: int, point: str, nth: int) -> None:
    """The life of the child, which never returns."""
    reached = itertools.count(1)

    def die(at: str) -> None:
        if at == point and next(reached) == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    tell: Tell = lambda line: os.write(writing, f"{line}\n".encode()) and None  # noqa: E731
    code = 1
    try:
        points.observe(die)
        life(place, seed, tell)  # type: ignore[operator]
        code = 0
    except BaseException as error:
        tell(f"error {type(error).__name__}: {error}")
    finally:
        os._exit(code)
