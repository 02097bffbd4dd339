"""Digests of values (R2): equal exactly where an independent description is equal."""

from __future__ import annotations

import copy
import mmap
import os
import pickle
import subprocess
import sys
import threading
from collections import Counter
from decimal import Decimal
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbrewind.errors import NotStorable
from nbrewind.flow import lending
from nbrewind.flow.buffers import LARGE, blocks, buffer_digest
from nbrewind.flow.digest import Walk, content_digest
from nbrewind.flow.names import is_own_class
from unit.graphs import canonical, graphs


@settings(max_examples=400, deadline=None)
@given(graphs(), graphs())
def test_equal_digests_mean_equal_descriptions(one: Any, other: Any) -> None:
    assert (content_digest(one) == content_digest(other)) == (canonical(one) == canonical(other))


@settings(max_examples=300, deadline=None)
@given(graphs())
def test_a_copy_has_the_digest_of_its_original(value: Any) -> None:
    copied = copy.deepcopy(value)
    assert canonical(copied) == canonical(value)
    assert content_digest(copied) == content_digest(value)


@settings(max_examples=200, deadline=None)
@given(st.lists(graphs(3), min_size=2, max_size=3))
def test_sharing_is_part_of_the_value(parts: list[Any]) -> None:
    shared, unshared = [parts[0], parts[0]], [parts[0], copy.deepcopy(parts[0])]
    assert (content_digest(shared) == content_digest(unshared)) == (canonical(shared) == canonical(unshared))


PAIRS = [
    (1, True),
    (1, 1.0),
    (0.0, -0.0),
    ("1", b"1"),
    (b"1", bytearray(b"1")),
    ((1,), [1]),
    ({1}, frozenset({1})),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ([["ab"], "c"], [["a"], "bc"]),
    (np.zeros(3), np.zeros((3, 1))),
    (np.zeros(3), np.zeros(3, dtype="f4")),
    (np.zeros((2, 3)), np.zeros((2, 3), order="F")),
    (np.array([1, None], dtype=object), np.array([1, 0], dtype=object)),
    (range(3), range(0, 3, 2)),
    (slice(1), slice(1, None)),
    (float("nan"), 0.0),
]


@pytest.mark.parametrize("pair", PAIRS, ids=repr)
def test_what_python_takes_for_equal_or_alike_is_told_apart(pair: tuple[Any, Any]) -> None:
    assert content_digest(pair[0]) != content_digest(pair[1])


def test_one_nan_is_like_another() -> None:
    assert content_digest(float("nan")) == content_digest(-float("nan"))


@pytest.mark.parametrize("seed", ["0", "1", "random"])
def test_process_and_hash_seed_do_not_enter(seed: str) -> None:
    value = {"k": [1, 2.5, "x"], "n": {"a": None}}
    script = "from nbrewind.flow.digest import content_digest as d; print(d({'k': [1, 2.5, 'x'], 'n': {'a': None}}))"
    found = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONHASHSEED": seed, "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert found.stdout.strip() == content_digest(value), found.stderr


def test_what_has_no_content_says_so() -> None:
    with pytest.raises(NotStorable, match="generator"):
        content_digest([(i for i in ())])
    with open(os.devnull, "rb") as file, pytest.raises(NotStorable):
        content_digest({"f": file})


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2 * LARGE), st.integers(0, 2 * LARGE))
def test_one_changed_byte_changes_one_block(size: int, where: int) -> None:
    before = bytearray(size)
    after = bytearray(size)
    if where < size:
        after[where] = 1
    one, other = [d for _, d in blocks(before)], [d for _, d in blocks(after)]
    assert sum(a != b for a, b in zip(one, other, strict=True)) == (where < size)
    assert (buffer_digest(before) == buffer_digest(after)) == (where >= size)


def test_pickled_bytes_are_not_what_counts() -> None:
    word = "".join(["sha", "red"])
    interned, copied = [word, word], ["".join(["sha", "red"]), "".join(["sh", "ared"])]
    assert pickle.dumps(interned) != pickle.dumps(copied)
    assert content_digest(interned) == content_digest(copied)


def test_what_an_extension_keeps_to_itself_is_no_class_of_the_notebook() -> None:
    """Its instances have content that no walk over attributes sees."""
    lock = type(threading.Lock())
    assert not is_own_class(lock) and not is_own_class(type(iter([])))
    made = type("Made", (), {"__slots__": ("a",), "__repr__": object.__repr__, "m": lambda self: 1})
    assert is_own_class(made) and is_own_class(type("Sub", (int,), {}))


def test_a_mask_is_content() -> None:
    array = np.ma.array([1.0, 2.0], mask=[True, False])
    before = content_digest(array)
    array.mask[1] = True
    assert content_digest(array) != before
    assert content_digest(np.ma.masked) == content_digest(np.ma.masked)


def test_a_class_without_a_module_has_a_digest() -> None:
    made = type("f", (), {})
    made.__module__ = None  # type: ignore[assignment]
    assert content_digest([made]) == content_digest([made])


def test_memory_that_is_lent_joins_who_borrows_it() -> None:
    array, other = np.arange(4.0), np.arange(4.0)
    owner, stranger, user = Walk(None), Walk(None), Walk(None)
    owner.visit(array)
    stranger.visit(other)
    user.borrow(array.__array_interface__["data"][0] + 8, 8)
    lending.join([owner, stranger, user])
    assert user.nodes == [id(array)] and list(user.opaque) == [lending.REASON]
    assert not owner.opaque and not stranger.opaque


def test_an_array_over_foreign_memory_leads_to_who_has_it() -> None:
    memory = mmap.mmap(-1, 16)
    walk = Walk(None)
    walk.visit(np.frombuffer(memory, dtype="u1"))
    assert id(memory) in walk.nodes


class Tagged(np.ndarray):
    """An array with attributes."""


def test_attributes_of_an_array_of_a_subclass_are_content() -> None:
    one, other = np.zeros(2).view(Tagged), np.zeros(2).view(Tagged)
    one.unit, other.unit = "m", "s"
    assert content_digest(one) != content_digest(other)
    walk = Walk(None)
    walk.visit([one, other])
    kept = [id(value) for value in (one, other, one.base, other.base)]
    assert set(kept) <= set(walk.nodes) and len(walk.nodes) == len(set(walk.nodes)) == 5


class Slotted(np.ndarray):
    """An array with an attribute in a slot."""

    __slots__ = ("unit",)


def test_slots_of_an_array_of_a_subclass_are_content() -> None:
    one, other = np.zeros(2).view(Slotted), np.zeros(2).view(Slotted)
    one.unit, other.unit = "m", "s"
    assert content_digest(one) != content_digest(other)


def test_a_digest_is_the_same_on_all_versions_of_python() -> None:
    values = [PurePosixPath("a"), Decimal("1.5"), Counter("ab"), PureWindowsPath("c/d").parts, Path]
    assert content_digest(values) == "5b0c4b1658b66c14b4d172d0b3135a6c"


def test_equal_paths_count_the_same_however_they_were_made() -> None:
    assert content_digest(Path("a") / "b") == content_digest(Path("a/b"))
