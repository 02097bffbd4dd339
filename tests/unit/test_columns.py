"""Long sequences walked by column and stored in parts give the verdicts of the walk one by one (R2, R1)."""

from __future__ import annotations

import copy
import random
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbrewind.flow import columns
from nbrewind.flow.digest import Walk, content_digest
from nbrewind.flow.room import deep
from nbrewind.session.memory import Memory
from nbrewind.store import Store
from nbrewind.values import images, parts
from unit.graphs import Node, canonical, graphs

EVEN_IN_SMALL = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is long, so that graphs of a few nodes go all the ways."""
    monkeypatch.setattr(columns, "LONG", 1)
    monkeypatch.setattr(columns, "CHUNK", 2)
    monkeypatch.setattr(columns, "_SHAPES", 2)
    monkeypatch.setattr(columns, "_KINDS", 3)
    monkeypatch.setattr(parts, "LONG", 1)


@EVEN_IN_SMALL
@given(graphs(), graphs())
def test_equal_digests_mean_equal_descriptions(tiny: None, one: Any, other: Any) -> None:
    assert (content_digest(one) == content_digest(other)) == (canonical(one) == canonical(other))


@EVEN_IN_SMALL
@given(graphs(10))
def test_a_copy_has_the_digest_of_its_original(tiny: None, value: Any) -> None:
    assert content_digest(copy.deepcopy(value)) == content_digest(value)


@EVEN_IN_SMALL
@given(st.lists(graphs(3), min_size=2, max_size=3))
def test_sharing_is_part_of_the_value(tiny: None, given_parts: list[Any]) -> None:
    first = given_parts[0]
    shared, unshared = [first, first], [first, copy.deepcopy(first)]
    assert (content_digest(shared) == content_digest(unshared)) == (canonical(shared) == canonical(unshared))


class Other:
    """Instances of a second class."""


class Slotted:
    """No dict, or not only."""

    __slots__ = ("x",)


class Heap:
    """A large random value, and random changes of it; ``dice`` decides."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.nodes: list[Any] = []

    def value(self, depth: int = 0) -> Any:
        dice = self.dice
        kind = dice.randrange(12 if depth < 3 else 6)
        if kind < 6:
            return dice.choice(
                (dice.randrange(5), dice.random(), None, True, str(dice.randrange(9)), 1 << 70, b"x", 1j)
            )
        if kind == 6 and self.nodes and dice.random() < 0.1:
            return dice.choice(self.nodes)
        if kind <= 7:
            return tuple(self.value(depth + 1) for _ in range(dice.randrange(4)))
        made: Any
        if kind == 8:
            made = [self.value(depth + 1) for _ in range(dice.randrange(4))]
        elif kind == 9:
            made = {
                dice.choice("abc1") if dice.random() < 0.9 else 1: self.value(depth + 1) for _ in range(3)
            }
        else:
            made = dice.choice((Node, Node, Node, Other, Slotted))()
            for name in ("x",) if type(made) is Slotted else dice.choice(("x", "xy", "yx", "xyz")):
                setattr(made, name, self.value(depth + 1))
        self.nodes.append(made)
        return made

    def long(self) -> Any:
        """A list or dict of many elements, most of them of one kind."""
        count = self.dice.randrange(columns.LONG, 200)
        plain = self.dice.random() < 0.5
        items = [self._point() if plain and self.dice.random() < 0.99 else self.value() for _ in range(count)]
        return dict(enumerate(items)) if self.dice.random() < 0.5 else items

    def _point(self) -> Node:
        made = Node()
        made.x, made.y = self.dice.randrange(3), [self.dice.choice("ab")]  # type: ignore[attr-defined]
        self.nodes += [made, made.y]  # type: ignore[attr-defined]
        return made

    def change(self) -> None:
        """Change one node, perhaps to what it was."""
        node = self.dice.choice(self.nodes)
        value = self.dice.choice((1, True, 1.0, "1", None, self.dice.choice(self.nodes)))
        if isinstance(node, list):
            node.append(value)
        elif isinstance(node, dict):
            node[self.dice.choice("abc1")] = value
        elif type(node) is Slotted:
            node.x = value
        else:
            setattr(node, self.dice.choice("xyz"), value)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1 << 32))
def test_a_change_is_seen_exactly_where_there_is_one(seed: int) -> None:
    heap = Heap(seed)
    value = [heap.long(), heap.long()] if heap.dice.random() < 0.3 else heap.long()
    before, then = content_digest(value), canonical(value)
    assert content_digest(copy.deepcopy(value)) == before
    for _ in range(3):
        if heap.nodes:
            heap.change()
        assert (content_digest(value) == before) == (canonical(value) == then)


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Memory]:
    store = Store.open(tmp_path_factory.mktemp("columns") / "store")
    yield Memory(store)
    store.close()


def through_the_store(memory: Memory, stored: parts.Stored, roots: dict[str, Any]) -> dict[str, Any]:
    keep: list[Any] = []
    walks = {name: Walk(memory.world, keep) for name in roots}
    with deep():
        for name, walk in walks.items():
            walk.visit(roots[name])
    image = images.save(parts.divided(roots, walks), memory.world, memory.store.put, stored=stored)
    return images.load(memory.store.get(image), memory, memory.store.join)


@EVEN_IN_SMALL
@given(st.lists(graphs(), min_size=1, max_size=3))
def test_graphs_come_back_as_they_were(tiny: None, memory: Memory, values: list[Any]) -> None:
    roots = {f"v{index}": value for index, value in enumerate(values)}
    roots["again"] = values[-1]
    stored = parts.Stored(memory.store.has)
    for _ in range(2):  # the second time parts are found in the store
        loaded = through_the_store(memory, stored, roots)
        assert canonical(list(loaded.values())) == canonical(list(roots.values()))
        assert list(map(content_digest, loaded.values())) == list(map(content_digest, roots.values()))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 1 << 32))
def test_changed_long_values_come_back_as_they_are(
    monkeypatch: pytest.MonkeyPatch, memory: Memory, seed: int
) -> None:
    monkeypatch.setattr(columns, "CHUNK", 16)
    monkeypatch.setattr(parts, "LONG", 32)
    heap = Heap(seed)
    roots = {"one": heap.long(), "other": heap.long()}
    if heap.dice.random() < 0.3:
        roots["alias"] = heap.dice.choice(
            [roots["one"], [roots["one"]], heap.dice.choice(heap.nodes or [None])]
        )
    stored = parts.Stored(memory.store.has)
    for _ in range(3):
        loaded = through_the_store(memory, stored, roots)
        assert canonical(list(loaded.values())) == canonical(list(roots.values()))
        if heap.nodes:
            heap.change()


def points(count: int) -> dict[int, Any]:
    made: dict[int, Any] = {}
    for number in range(count):
        made[number] = Node()
        made[number].x, made[number].tags = number, ["a", str(number)]
    return made


def stored_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_one_changed_object_of_many_stores_its_part_only(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    memory, value = Memory(store), points(50_000)
    stored = parts.Stored(store.has)
    through_the_store(memory, stored, {"value": value})
    store.flush()
    first = stored_bytes(tmp_path)
    value[7].x = -1
    loaded = through_the_store(memory, stored, {"value": value})["value"]
    store.flush()
    assert stored_bytes(tmp_path) - first < first / 4
    assert content_digest(loaded) == content_digest(value) and loaded[7].x == -1
    assert list(loaded[8].__dict__) == ["x", "tags"]
    store.close()


def test_what_something_else_refers_to_is_no_part_of_its_own(memory: Memory) -> None:
    value = points(20_000)
    roots = {"value": value, "first": value[0], "tags": value[9999].tags}
    loaded = through_the_store(memory, parts.Stored(memory.store.has), roots)
    assert loaded["value"][0] is loaded["first"] and loaded["value"][9999].tags is loaded["tags"]


def test_a_callback_on_an_element_makes_it_opaque() -> None:
    value = list(points(100).values())
    watch = weakref.ref(value[50], lambda ref: None)
    walk = Walk(None)
    walk.visit(value)
    assert walk.opaque and walk.finaliser and watch() is value[50]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1] * 99, [1] * 98 + [True]),
        ([0.0] * 99, [0.0] * 98 + [-0.0]),
        (["ab", "c"] * 50, ["a", "bc"] * 50),
        ([("a",)] * 99, [("a",)] * 98 + [["a"]]),
        ([(1, 2), (3,)] * 50, [(1,), (2, 3)] * 50),
        ([{"a": 1, "b": 2} for _ in range(99)], [{"b": 2, "a": 1} for _ in range(99)]),
        ([{1: "a"} for _ in range(99)], [{True: "a"} for _ in range(99)]),
        ([[] for _ in range(99)], [[]] * 99),
        (dict.fromkeys(range(99)), dict.fromkeys(range(98, -1, -1))),
        (tuple(range(99)), list(range(99))),
        (["\ud800", "\udc00"] * 50, ["\ud800\udc00", ""] * 50),
    ],
)
def test_different_long_values_have_different_digests(one: Any, other: Any) -> None:
    assert content_digest(one) != content_digest(other)
