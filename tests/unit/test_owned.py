"""Arrays that own mapped memory are like those that were stored; nobody's file changes by them."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbrewind.errors import MissingObject
from nbrewind.store import Store, mapping
from nbrewind.store.objects import MAPPED
from nbrewind.testing.desk import Desk
from nbrewind.values import images
from support.stores import place, places

pytestmark = pytest.mark.skipif(not mapping.SUPPORTED, reason="memory is mapped on 64-bit Linux only")
LENGTH = 300_000


@pytest.fixture
def again(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Values as another opening of the store gives them."""
    desk = Desk()

    def load(**roots: Any) -> dict[str, Any]:
        writing = Store.open(tmp_path / "s")
        image = images.save(roots, desk, writing.put)
        writing.close()
        reading = Store.open(tmp_path / "s", readonly=True)
        found = images.load(reading.get(image), desk, reading.join)
        reading.close()
        return found

    return load


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(LENGTH,), (3, LENGTH), (LENGTH, 3), (100, 3, 1000)])
def test_it_is_as_it_was(again: Callable[..., dict[str, Any]], shape: tuple[int, ...], order: Any) -> None:
    array = np.asarray(np.random.default_rng(1).random(shape), order=order)
    assert array.nbytes >= MAPPED
    loaded = again(array=array)["array"]
    assert np.array_equal(loaded, array) and loaded.strides == array.strides
    assert loaded.base is None and loaded.flags.owndata and loaded.flags.writeable
    assert sys.getsizeof(loaded) == sys.getsizeof(array)


def test_it_can_be_resized_in_place(again: Callable[..., dict[str, Any]]) -> None:
    array = np.arange(float(LENGTH))
    for size in (LENGTH // 2, LENGTH * 2):
        found = again(array=array)
        loaded = found.pop("array")
        loaded.resize(size, refcheck=False)
        wanted = array.copy()
        wanted.resize(size, refcheck=False)
        assert np.array_equal(loaded, wanted) and loaded.flags.owndata


def test_a_locked_one_stays_locked_and_can_be_unlocked(again: Callable[..., dict[str, Any]]) -> None:
    array = np.arange(float(LENGTH))
    array.flags.writeable = False
    loaded = again(array=array)["array"]
    assert not loaded.flags.writeable
    loaded.flags.writeable = True
    loaded[0] = 5


def test_changes_stay_in_memory(again: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    array = np.arange(float(LENGTH))
    first, second = again(array=array)["array"], again(array=array)["array"]
    before = {digest: one.bytes() for digest, one in places(tmp_path / "s").items()}
    first[:] = -1
    assert np.array_equal(second, array)
    assert {digest: one.bytes() for digest, one in places(tmp_path / "s").items()} == before


def test_it_outlives_the_store(again: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    array = np.arange(float(LENGTH))
    loaded = again(array=array)["array"]
    Store.open(tmp_path / "s").clear()
    assert not (tmp_path / "s").exists() and np.array_equal(loaded, array)


def test_memory_is_given_back(again: Callable[..., dict[str, Any]]) -> None:
    def mapped() -> int:
        return sum(".pack" in line for line in Path("/proc/self/maps").read_text().splitlines())

    before = mapped()
    loaded = again(array=np.random.default_rng(2).random(LENGTH))
    assert mapped() > before
    del loaded
    gc.collect()
    assert mapped() == before


def test_blocks_of_several_packs_are_one_array(again: Callable[..., dict[str, Any]]) -> None:
    array = np.random.default_rng(3).random(LENGTH)
    again(array=array)
    array[LENGTH // 2] = 0.5
    assert np.array_equal(again(array=array)["array"], array)


def test_a_changed_byte_is_seen_before_the_values_are(tmp_path: Path) -> None:
    desk, array = Desk(), np.random.default_rng(4).random(LENGTH)
    store = Store.open(tmp_path / "s")
    image = images.save({"x": array}, desk, store.put)
    store.close()
    block = images.references(store.get(image))[3]
    store.close()
    place(store.path, block).spoil()
    again = Store.open(tmp_path / "s", readonly=True)
    with pytest.raises(MissingObject, match=block):
        images.load(again.get(image), desk, again.join)
    again.close()


def test_other_buffers_are_views_on_the_mapping(again: Callable[..., dict[str, Any]]) -> None:
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"a": np.random.default_rng(5).random(LENGTH)})
    loaded = again(table=table)["table"]
    gc.collect()
    assert loaded.equals(table)


ENDING = """
import sys
import numpy as np
from nbrewind.store import Store
from nbrewind.testing.desk import Desk
from nbrewind.values import images
desk, store = Desk(), Store.open(sys.argv[1])
image = images.save({"x": np.random.default_rng(6).random(300_000)}, desk, store.put)
store.flush()
kept = images.load(store.get(image), desk, store.join)["x"]
class Late:
    def __init__(self, array):
        self.array, self.me = array, self
    def __del__(self):
        assert self.array[5] > 0
        self.array.resize(400_000, refcheck=False)
late = Late(images.load(store.get(image), desk, store.join)["x"])
"""


def test_an_interpreter_ends_with_arrays_alive(tmp_path: Path) -> None:
    for _ in range(3):
        ended = subprocess.run(
            [sys.executable, "-c", ENDING, str(tmp_path / "s")], capture_output=True, text=True
        )
        assert (ended.returncode, ended.stderr) == (0, "")


def test_a_forked_child_has_its_own_copy(again: Callable[..., dict[str, Any]]) -> None:
    loaded = again(array=np.arange(float(LENGTH)))["array"]
    child = os.fork()
    if child == 0:
        loaded[:] = 0
        del loaded
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert loaded[5] == 5
