"""Stores with a history that no kernel made: for views, at any size."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbrewind.model import (
    CellError,
    Commit,
    Delta,
    FileState,
    Record,
    Run,
    TaskCounts,
    TaskEntry,
    Trace,
    Version,
)
from nbrewind.store import Store
from nbrewind.store.loose import digest_of


@dataclass
class Did:
    """What a cell did in a run."""

    source: str
    reads: Sequence[str] = ()
    writes: Sequence[str] = ()
    cell_id: str = ""
    action: Any = "executed"
    reason: str = ""
    changed: Sequence[str] = ()
    seconds: float = 0.1
    took: float | None = None
    """Seconds in this run where they are not those recorded."""
    outputs: Sequence[dict[str, Any]] = ()
    files_read: Sequence[str] = ()
    files_written: Sequence[str] = ()
    settings: Sequence[str] = ()
    opaque: Sequence[str] = ()
    versions: dict[str, Version] = field(default_factory=dict)
    error: CellError | None = None
    tasks: Sequence[TaskEntry] = ()
    counts: TaskCounts = field(default_factory=TaskCounts)
    recomputed: Sequence[str] = ()
    """Numbers of cells, as record ids are made of them."""
    packages: dict[str, str] = field(default_factory=dict)


def stream(text: str, name: str = "stdout") -> dict[str, Any]:
    """An output message."""
    return {"type": "stream", "content": {"name": name, "text": text}}


def shown(**data: Any) -> dict[str, Any]:
    """A displayed result; ``text_html`` stands for ``text/html``."""
    bundle = {key.replace("_", "/", 1): value for key, value in data.items()}
    return {"type": "display_data", "content": {"data": bundle, "metadata": {}}}


def add_run(
    store: Store,
    cells: Iterable[Did],
    *,
    name: str,
    label: str,
    mode: str = "audit",
    started: float = 1_000_000.0,
) -> Run:
    """One run with a commit per cell; the clock goes on by what each took."""
    run = Run(id=name * 8, notebook=label, mode=mode, started=started, status="ended")
    now, parent = started, ""
    for index, did in enumerate(cells):
        record = record_of(store, did, index)
        store.add_record(record)
        took = did.seconds if did.took is None else did.took
        now += took
        commit = Commit(
            identity(f"{run.id} {index}"),
            parent,
            run.id,
            record.id,
            did.action,
            index + 1,
            did.cell_id or f"c{index}",
            index,
            now,
            reason=did.reason,
            changed_inputs=tuple(did.changed),
            seconds=took,
            tasks=did.counts,
            recomputed=tuple(did.recomputed),
        )
        store.add_commit(commit)
        parent = commit.id
    run = Run(run.id, label, mode, started, now, parent, status="ended")
    store.start_run(run)
    store.flush()
    return run


def record_of(store: Store, did: Did, index: int) -> Record:
    """The record of what a cell did; equal source and results make the same one."""
    outputs = store.put(json.dumps(list(did.outputs)).encode()) if did.outputs else ""
    versions = {n: Version(identity(f"{n} {did.source}"), summary="int 1") for n in did.writes}
    versions |= {n: Version(identity(n), opaque="a generator", summary="generator") for n in did.opaque}
    for task in did.tasks:
        store.add_task(task)
    return Record(
        identity(repr((index, did.source, outputs, did.error, sorted(versions)))),
        identity(did.source),
        did.source,
        Trace(
            reads={name: identity(name) for name in did.reads},
            files={path: FileState("file", "f" * 32, 10) for path in did.files_read},
            ambient=dict.fromkeys(("logging", *did.settings), identity("x")),
            packages=did.packages,
        ),
        Delta(
            names={**versions, **did.versions},
            files={path: FileState("file", "e" * 32, 20) for path in did.files_written},
        ),
        outputs=outputs,
        error=did.error,
        seconds=did.seconds,
        tasks=tuple(dict.fromkeys(task.key for task in did.tasks)),
    )


def identity(text: str) -> str:
    """A digest as the store's rows have them."""
    return digest_of(text.encode())


def new_store(folder: Path) -> Store:
    """An empty store in a folder."""
    return Store.open(folder / ".nbrewind")
