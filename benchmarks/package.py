"""Packing and unpacking in GB/s, against ``tar | zstd``, and sizes against a zip file of pickles.

``python -m benchmarks.package [--megabytes 500]``: CPU seconds count, so that a busy machine matters less.
"""

from __future__ import annotations

import argparse
import os
import pickle
import resource
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import nbformat
import numpy as np
from nbformat.v4 import new_code_cell, new_notebook

from nbrewind.flow.buffers import blocks
from nbrewind.flow.code import source_key
from nbrewind.model import Commit, Delta, Record, Run, Trace, Version
from nbrewind.package.pack import Request, pack
from nbrewind.package.source import reading
from nbrewind.package.unpack import unpack
from nbrewind.package.verify import verify
from nbrewind.store import Store
from nbrewind.values.images import MAGIC, Header


def arrays(megabytes: int) -> dict[str, Any]:
    """Numbers as notebooks have them: noise, tables of rounded values, counts, masks."""
    draw = np.random.default_rng(1)
    size = megabytes * 1_000_000 // 4
    return {
        "noise": draw.standard_normal(size // 8),
        "table": np.round(draw.standard_normal(size // 8), 2),
        "counts": draw.poisson(3, size // 8).astype("int64"),
        "mask": (draw.random(size) > 0.9).astype("uint8"),
    }


def store_of(values: dict[str, Any], folder: Path) -> tuple[Store, Path]:
    """A store with one run of a notebook that made these values."""
    notebook = folder / "x.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("make()", id="c0")]), notebook)
    store = Store.open(folder / ".nbrewind")
    names = {}
    for name, value in values.items():
        buffers: list[pickle.PickleBuffer] = []
        stream = pickle.dumps({name: value}, 5, buffer_callback=buffers.append)
        parts = [[store.put(block, digest) for block, digest in blocks(one.raw())] for one in buffers]
        image = store.put(MAGIC + msgspec.msgpack.encode(Header(stream, parts)))
        names[name] = Version("0" * 32, image)
        store.flush()
    record = Record("a" * 32, source_key("make()"), "make()", Trace(), Delta(names=names))
    store.add_record(record)
    run = Run("b" * 32, str(notebook), started=1.0, ended=2.0, head="c" * 32, status="ended")
    store.start_run(run)
    store.add_commit(Commit(run.head, "", run.id, record.id, "executed", 1, "c0", 0, 1.5))
    store.flush()
    return store, notebook


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds of this process and its children."""

    def used() -> float:
        own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime

    before = used()
    work()
    return used() - before


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=500)
    given = parser.parse_args()
    values = arrays(given.megabytes)
    total = sum(value.nbytes for value in values.values()) / 1e9
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store, notebook = store_of(values, folder)
        plain = folder / "pickles.zip"
        with zipfile.ZipFile(plain, "w", zipfile.ZIP_DEFLATED) as archive:
            for key, value in values.items():
                archive.writestr(key, pickle.dumps(value, 5))
        package = folder / "paper.zip"
        store_folder = store.path

        def unpacked() -> None:
            with reading(package, 1 << 40) as source:
                unpack(source, source.manifest()[0], folder / "out", trusted=True)

        rows = [
            ("pack", cpu(lambda: pack(store, Request(notebook, package, name="paper"), MAGIC))),
            ("verify", cpu(lambda: verify(package, 1 << 40))),
            ("unpack", cpu(unpacked)),
            (
                "tar | zstd -1",
                cpu(lambda: shell(f"tar -C {store_folder} -c . | zstd -q -1 -o {folder}/s.tar.zst")),
            ),
            (
                "zstd -d | tar",
                cpu(lambda: shell(f"mkdir {folder}/t; zstd -dc {folder}/s.tar.zst | tar -C {folder}/t -x")),
            ),
        ]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        for what, seconds in rows:
            print(f"{what:14} {seconds:6.2f} CPU s  {total / seconds:5.2f} GB/s")
        for what, path in (
            ("package", package),
            ("tar.zst", folder / "s.tar.zst"),
            ("zip of pickles", plain),
        ):
            print(f"{what:14} {path.stat().st_size / 1e6:8.1f} MB of {total * 1e3:.0f}")
        print(f"peak memory {peak:.2f} GB, of which the values {total:.2f}; {os.cpu_count()} cores")
        store.close()
        shutil.rmtree(folder / "out", ignore_errors=True)


def shell(command: str) -> None:
    """Run a pipe."""
    subprocess.run(["bash", "-euo", "pipefail", "-c", command], check=True)


if __name__ == "__main__":
    main()
