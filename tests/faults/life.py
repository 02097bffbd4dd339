"""Lives of writers whose every byte can be told from its number, and what must be true after any fault."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from blake3 import blake3

from nbrewind.model import Commit, Delta, FileState, Record, Run, Trace, Version
from nbrewind.store import Store
from nbrewind.store.check import examine
from nbrewind.store.gc import Limits, collect
from nbrewind.store.loose import digest_of

SIZES = (200, 5_000, 70_000)
STEPS = 10
Tell = Callable[[str], None]


def no_references(image: bytes) -> list[str]:
    """Objects of these lives are no images."""
    return []


def contents(name: str) -> list[bytes]:
    """The objects of a record; the first is shared with its neighbours."""
    seed, _, number = name.rpartition("-")
    parts = (f"{seed}:{int(number) // 3}", f"{name}:1", f"{name}:2")
    return [blake3(part.encode()).digest(size) for part, size in zip(parts, SIZES, strict=True)]


def record_of(name: str, images: list[str], kept: str = "") -> Record:
    """The record of a step."""
    names = {f"x{place}": Version(digest=image, image=image) for place, image in enumerate(images)}
    files = {"f": FileState("file", kept, 1)} if kept else {}
    delta = Delta(names=names, files=files)
    return Record(id=name, source_key="k", source=name, trace=Trace(), delta=delta, outputs=images[0])


def commit_of(name: str, parent: str, run: str) -> Commit:
    """The commit of a step."""
    return Commit(
        id=f"c-{name}", parent=parent, run=run, record=name, action="executed", execution_count=1, created=0.0
    )


def write(folder: Path, seed: str, tell: Tell) -> None:
    """Write records, each with its commit; tell those that are durable."""
    store = Store.open(folder)
    store.start_run(Run(id=seed, notebook=f"notebook {seed}", started=time.time()))
    parent = ""
    for number in range(STEPS):
        name = f"{seed}-{number}"
        images = [store.put(data) for data in contents(name)]
        kept = store.keep_file(str(_file(name))) if number % 4 == 3 else ""
        store.add_record(record_of(name, images, kept))
        store.add_commit(commit_of(name, parent, seed))
        parent = f"c-{name}"
        if number % 2:
            store.flush()
            if store.is_durable(parent):
                tell(parent)
    store.close()


def write_and_collect(folder: Path, seed: str, tell: Tell) -> None:
    """Runs of one notebook, of which only the newest is kept; tell those that must stay."""
    for turn in range(STEPS):
        run = f"{seed}x{turn}"
        store = Store.open(folder)
        parent = ""
        for number in range(3):
            name = f"{run}-{number}"
            store.add_record(record_of(name, [store.put(data) for data in contents(name)]))
            store.add_commit(commit_of(name, parent, run))
            parent = f"c-{name}"
            # Before it is the newest of its notebook: what was told is promised.
        store.start_run(Run(id=run, notebook=f"{seed}{turn % 2}", started=float(turn), head=parent))
        store.close()
        if store.is_durable(parent):
            tell(f"run {run} {parent}")
        store.close()
        collect(folder, Limits(keep_bytes=0), b"no magic")


def _file(name: str) -> Path:
    path = Path(tempfile.gettempdir()) / f"nbrewind-fault-{os.getpid()}"
    path.write_bytes(name.encode() * 100)
    return path


def promises(lines: list[str]) -> set[str]:
    """The commits that must be there, of what a life told: of collected runs the newest of each notebook."""
    kept: dict[str, str] = {}
    for line in lines:
        if line.startswith("run "):
            _, run, commit = line.split()
            seed, _, turn = run.rpartition("x")
            kept[f"{seed}{int(turn) % 2}"] = commit
        else:
            kept[line] = line
    return set(kept.values())


def verify(folder: Path, lines: list[str]) -> int:
    """Everything that must be true after a kill or a failed write; returns how many records were read."""
    reader = Store.open(folder, readonly=True)
    seen = 0
    for record in reader.records("k"):
        assert reader.complete(record), f"{record.id} is in the catalog and not complete"
        for version, data in zip(record.delta.names.values(), contents(record.id), strict=True):
            assert version.image == digest_of(data) and reader.get(version.image) == data
        seen += 1
    for commit in promises(lines):
        assert reader.path_to(commit) or _superseded(reader, commit), (
            f"{commit} was reported durable and is lost"
        )
    reader.close()
    found = examine(folder, no_references)
    assert not found.problems, found.problems
    return seen


def _superseded(reader: Store, commit: str) -> bool:
    """Whether a collector of a later life kept a newer run instead, durable before its own life could tell of it."""
    seed, _, rest = commit.removeprefix("c-").partition("x")
    if not rest:
        return False
    turn = int(rest.partition("-")[0])
    newer = [r for r in reader.runs() if r.notebook == f"{seed}{turn % 2}" and r.started > turn]
    return any(reader.path_to(run.head) for run in newer)


def usable(folder: Path, name: str) -> None:
    """Somebody opens the store, writes to it, and finds what was written."""
    store = Store.open(folder)
    images = [store.put(data) for data in contents(f"{name}-0")]
    store.add_record(record_of(f"{name}-0", images))
    store.close()
    assert not store.failures, store.failures
    assert store.complete(store.record(f"{name}-0"))
    store.close()
