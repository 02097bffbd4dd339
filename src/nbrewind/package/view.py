"""The history of a package as a store to look at: rows and outputs, no values; strings made harmless.

For ``log``, ``show``, ``graph``, ``diff`` and the like, which need no trust since nothing that could be
unpickled is in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from nbrewind.model import Commit, Digest, Record, Run, TaskEntry
from nbrewind.package import layout, packs
from nbrewind.package.rows import plain, read_rows
from nbrewind.package.source import reading
from nbrewind.store import Store

_MOST = 64 << 20
"""Bytes of one cell's outputs that are worth a look."""

Row = TypeVar("Row", Run, Commit, Record, TaskEntry)


def view(path: Path, most: int | None = None) -> Store:
    """A temporary store with the package's history; it ends when it is closed.

    Raises:
        PackageError: the package is damaged or breaks the rules.
    """
    store = Store.temporary()
    try:
        with reading(path, most) as source:
            manifest, _ = source.manifest()
            outputs: set[Digest] = set()
            for record, _ in read_rows(source, manifest, Record):
                store.add_record(_harmless(record))
                outputs.add(record.outputs)
            for commit, _ in read_rows(source, manifest, Commit):
                store.add_commit(_harmless(commit))
            for task, _ in read_rows(source, manifest, TaskEntry):
                store.add_task(_harmless(task))
            for run, _ in read_rows(source, manifest, Run):
                store.update_run(_harmless(run))
            for name in sorted(filter(layout.is_pack, manifest.files)):
                with source.open(name, manifest.files[name].sha256) as stream:
                    for digest, size, pieces in packs.objects(stream, name):
                        source.spend(size)
                        if digest in outputs and size <= _MOST:
                            store.put(b"".join(pieces), digest)
        store.flush()
    except BaseException:  # an interrupt too: a temporary store ends with its closing
        store.close()
        raise
    return store


def _harmless(row: Row) -> Row:
    """A row whose strings cannot steer a terminal."""
    return msgspec.convert(plain(msgspec.to_builtins(row)), type(row))
