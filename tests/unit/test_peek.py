"""Where two stored values differ first, found without running any code of theirs."""

from __future__ import annotations

import collections
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbrewind.session.memory import Memory
from nbrewind.store import Store
from nbrewind.values import images
from nbrewind.values.peek import difference, peek


class Exploding:
    """Runs code when it is loaded."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __setstate__(self, state: dict[str, Any]) -> None:
        raise AssertionError("code of the value ran")


class Held:
    """Has a slot."""

    __slots__ = ("items_",)

    def __init__(self, items: list[int]) -> None:
        self.items_ = items


Pair = collections.namedtuple("Pair", "a b")
LONG = "k" * 100


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ({"lr": 1, "n": 2}, {"lr": 3, "n": 2}, "x['lr']"),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 5]}}, "x['a']['b'][1]"),
        ({"a": 1}, {"a": 1, "b": 2}, "x['b'] (new)"),
        ({"a": 1, "b": 2}, {"a": 1}, "x['b'] (gone)"),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, "x (order)"),
        ([1, 2], [1, 2, 3], "x (3 elements, were 2)"),
        ([1, 2.0], [1, 2], "x[1] (type)"),
        (1, 2, "x"),
        (Exploding(1), Exploding(2), "x.size"),
        ([Exploding(1)], [Exploding(1)], ""),
        (collections.OrderedDict(a=1), collections.OrderedDict(a=2), "x['a']"),
        (np.arange(3), np.arange(3) + 1, "x"),
        (np.arange(5000), np.arange(5000) + 1, "x"),
        ({"w": np.zeros(3)}, {"w": np.ones(3)}, "x['w']"),
        ({1, 2}, {1, 3}, "x"),
        (Pair(1, 2), Pair(1, 3), "x[1]"),
        (np.ma.array([1, 2]), np.ma.array([1, 3]), "x"),
        ({"m": np.ma.array([1, 2])}, {"m": np.ma.array([1, 2], mask=[0, 1])}, "x['m']._mask (type)"),
        (Held([1]), Held([2]), "x.items_[0]"),
        ({LONG: 1}, {LONG: 2}, f"x['{'k' * 36}...]"),
        (float("nan"), float("nan"), ""),
    ],
)
def test_the_first_difference(tmp_path: Path, old: Any, new: Any, place: str) -> None:
    store = Store.open(tmp_path / "s")
    try:
        sides = [
            peek(store.get(images.save({"x": value}, Memory(store).world, store.put))) for value in (old, new)
        ]
        assert sides[0] is not None and sides[1] is not None
        assert difference(sides[0]["x"], sides[1]["x"], "x") == place
    finally:
        store.close()


def test_values_that_refer_to_themselves(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "s")
    try:
        old: list[Any] = [1]
        new: list[Any] = [2]
        old.insert(0, old)
        new.insert(0, new)
        sides = [
            peek(store.get(images.save({"x": value}, Memory(store).world, store.put))) for value in (old, new)
        ]
        assert sides[0] is not None and sides[1] is not None
        assert difference(sides[0]["x"], sides[1]["x"], "x") == "x[1]"
    finally:
        store.close()


@pytest.mark.parametrize("data", [b"", b"NBIMAGE1", b"NBIMAGE1\x82nonsense", b"something else"])
def test_what_is_no_image_gives_nothing(data: bytes) -> None:
    assert peek(data) is None
