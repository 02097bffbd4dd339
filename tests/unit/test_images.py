"""Values become bytes and come back as they were (R1, R14)."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbrewind.errors import MissingObject, NotStorable
from nbrewind.flow.buffers import BLOCK, LARGE, SMALL_BLOCK
from nbrewind.flow.digest import content_digest
from nbrewind.flow.room import unwarned
from nbrewind.session.memory import Memory
from nbrewind.store import Store
from nbrewind.values import images
from unit.graphs import canonical, graphs


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Memory]:
    store = Store.open(tmp_path_factory.mktemp("images") / "store")
    yield Memory(store)
    store.close()


def saved(memory: Memory, **roots: Any) -> dict[str, Any]:
    """The roots after a way through the store."""
    image = images.save(roots, memory.world, memory.store.put)
    return images.load(memory.store.get(image), memory, memory.store.join)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(graphs(), min_size=1, max_size=3))
def test_graphs_come_back_as_they_were(memory: Memory, values: list[Any]) -> None:
    roots = {f"v{index}": value for index, value in enumerate(values)}
    loaded = saved(memory, **roots)
    assert canonical(list(loaded.values())) == canonical(list(roots.values()))
    assert [content_digest(value) for value in loaded.values()] == [content_digest(v) for v in roots.values()]


@pytest.mark.skipif("__reduce__" not in itertools.chain.__dict__, reason="chains have no pickles here")
def test_a_chain_at_its_end_is_at_its_end(memory: Memory) -> None:
    begun, spent = itertools.chain([1], [2]), itertools.chain([1])
    assert next(begun) == 1 and list(spent) == [1]
    loaded = saved(memory, begun=begun, spent=spent, new=itertools.chain())
    with unwarned():
        assert [len(loaded[name].__reduce__()) for name in ("spent", "new")] == [2, 3]
    assert list(loaded["begun"]) == [2]


DTYPES = ["?", "i1", "u2", "<i4", ">i4", "f2", "f4", "f8", "c16", "S3", "U3", "M8[s]", "m8[D]", "i4,f8", "O"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 0, 3), (1, 2, 3)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_every_kind(memory: Memory, dtype: str, shape: tuple[int, ...], order: str) -> None:
    array = np.zeros(shape, dtype=dtype, order=order)  # type: ignore[call-overload]
    loaded = saved(memory, a=array)["a"]
    assert (loaded.dtype, loaded.shape, loaded.flags.f_contiguous) == (dtype, shape, array.flags.f_contiguous)
    assert content_digest(loaded) == content_digest(array)
    assert loaded.flags.owndata and loaded.flags.writeable


@pytest.mark.parametrize("shape", [(1, 3, 1), (3, 1), (1, 1), (1,), (2, 3)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_keep_their_strides(memory: Memory, shape: tuple[int, ...], order: Any) -> None:
    for dtype in ("f8", "O"):
        array = np.zeros(shape, dtype, order=order)
        assert saved(memory, a=array)["a"].strides == array.strides


@pytest.mark.parametrize(
    "size", [SMALL_BLOCK - 1, SMALL_BLOCK, SMALL_BLOCK + 1, LARGE - 1, LARGE, LARGE + BLOCK + 7]
)
def test_arrays_of_several_blocks(memory: Memory, size: int) -> None:
    array = np.random.default_rng(size).integers(0, 255, size, dtype="u1")
    loaded = saved(memory, a=array)["a"]
    assert np.array_equal(loaded, array)
    loaded[0] ^= 1
    assert not np.array_equal(loaded, array)


def test_views_stay_views(memory: Memory) -> None:
    base = np.arange(12.0).reshape(3, 4)
    loaded = saved(memory, base=base, row=base[1], back=base[::-1, ::2])
    loaded["base"][1, 0] = -1
    assert loaded["row"][0] == -1 and loaded["back"][1, 0] == -1


def test_a_subclass_that_owns_its_memory(memory: Memory) -> None:
    """Its view as a plain array has the subclass's object for its owner: storing it must come to an end."""
    names = np.ndarray.__new__(np.recarray, (2,), dtype="U2")
    names[:] = ["ab", "cd"]
    first = names.view(np.ndarray)[:1]
    assert names.base is None
    loaded = saved(memory, names=names, first=first)
    assert type(loaded["names"]) is type(names) and loaded["names"].tolist() == ["ab", "cd"]
    loaded["first"][0] = "z"
    assert loaded["names"][0] == "z"
    again = saved(memory, names=names, first=first)
    assert content_digest(list(again.values())) == content_digest([names, first])


def test_a_frame_and_its_column_share_as_before(memory: Memory) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", None]}, index=pd.Index([3, 4], name="k"))
    loaded = saved(memory, frame=frame)["frame"]
    pd.testing.assert_frame_equal(loaded, frame)
    assert content_digest(loaded) == content_digest(frame)


def test_what_cannot_be_stored_says_why_and_stores_nothing(memory: Memory) -> None:
    memory.store.flush()
    before = memory.store.stats()["objects"]
    with pytest.raises(NotStorable, match="generator"):
        images.save({"x": [np.zeros(BLOCK), (i for i in ())]}, memory.world, memory.store.put)
    memory.store.flush()
    assert memory.store.stats()["objects"] == before


@pytest.mark.parametrize("data", [b"", b"NBIMAGE", b"NBIMAGE2abc", b"NBIMAGE1\xff", b"NBIMAGE1\x81\xa1x"])
def test_bytes_that_are_no_image_are_a_miss(memory: Memory, data: bytes) -> None:
    with pytest.raises(MissingObject):
        images.references(data)


def test_the_store_opens_where_it_was(memory: Memory, tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    image = images.save({"x": [1, 2]}, memory.world, store.put)
    store.close()
    again = Store.open(tmp_path / "store", readonly=True)
    assert images.load(again.get(image), memory, again.join) == {"x": [1, 2]}
    again.close()


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_view_made_before_its_base_was_locked(memory: Memory, order: Any) -> None:
    base = np.zeros((3, 4), order=order)
    view = base[1:, 1:]
    base.flags.writeable = False
    loaded = saved(memory, base=base, view=view)
    assert not loaded["base"].flags.writeable and loaded["view"].flags.writeable
    loaded["view"][0, 0] = 5
    assert loaded["base"][1, 1] == 5


class Named(np.ndarray):
    """Arrays that know the names of their rows, as iminuit's do."""

    __slots__ = ("names",)

    def __array_finalize__(self, obj: object) -> None:
        self.names = getattr(obj, "names", [])


def test_an_array_of_a_subclass_keeps_what_its_slots_hold(memory: Memory) -> None:
    named = np.zeros((2, 2)).view(Named)
    named.names = ["a", "b"]
    loaded = saved(memory, named=named, row=named[0])
    assert type(loaded["named"]) is Named and loaded["named"].names == ["a", "b"]
    loaded["row"][0] = 5
    assert loaded["named"][0, 0] == 5 and loaded["row"].names is loaded["named"].names


def test_the_environment_is_referred_to_and_not_stored(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAIN_WORD", "that-must-not-be-stored")
    image = images.save({"v": [os.environ]}, memory.world, memory.store.put)
    assert b"that-must-not" not in bytes(memory.store.get(image))
    assert images.load(memory.store.get(image), memory, memory.store.join)["v"][0] is os.environ
