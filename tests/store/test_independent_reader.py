"""docs/format.md is enough: a reader written from it alone restores what a kernel stored."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from nbrewind.model import Delta, Record, Trace, Version
from nbrewind.store import Store
from nbrewind.testing.desk import Desk
from nbrewind.values import images
from store import reader
from support.stores import places

READER = Path(reader.__file__)


def test_it_restores_arrays(store: Store) -> None:
    matrix = np.asfortranarray(np.random.default_rng(0).random((700, 2000)))
    small = np.arange(5, dtype="i2")
    image = images.save({"matrix": matrix, "small": small}, Desk(), store.put)
    names = {name: Version(digest="", image=image) for name in ("matrix", "small")}
    store.add_record(
        Record(id="r", source_key="k", source="", trace=Trace(), delta=Delta(names=names), outputs="")
    )
    store.close()
    found = reader.Store(store.path).image_of("matrix")
    assert np.array_equal(found["matrix"], matrix) and found["matrix"].flags.f_contiguous
    assert np.array_equal(found["small"], small) and found["small"].flags.writeable
    (pack,) = (store.path / "packs").iterdir()
    assert {name: (offset, length) for name, offset, length in reader.entries(pack)} == {
        digest: (place.offset, place.length) for digest, place in places(store.path).items()
    }


def test_it_imports_nothing_of_ours(store: Store) -> None:
    test_it_restores_arrays(store)
    code = f"import runpy, sys; sys.argv = ['x', {str(store.path)!r}, 'small']; " + (
        f"runpy.run_path({str(READER)!r}, run_name='__main__'); "
        "assert not any(name.startswith('nbrewind') for name in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (said.stdout, said.stderr) == ("[0 1 2 3 4]\n", "")
    assert len(READER.read_text().splitlines()) <= 130
