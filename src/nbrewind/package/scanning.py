"""What of a package is scanned for secrets, and what is withheld without being asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from nbrewind.errors import MissingObject
from nbrewind.flow.ambient import SECRET
from nbrewind.model import AmbientValue, FileState, Record
from nbrewind.package.reach import Reached
from nbrewind.package.secrets import Scanner
from nbrewind.store import Store

_TEXTS = (".py", ".txt", ".json", ".yml", ".yaml", ".toml", ".ini", ".cfg", ".env", ".sh", ".md")
_MOST = 256 << 10
"""Bytes of a file or value that is scanned; larger ones are data."""

WITHHELD = "withheld"
"""In place of the digest of a secret variable: a guess could be tried against the digest."""


def scan(store: Store, found: Reached, notebook: dict[str, Any], folder: Path) -> Scanner:
    """Look at everything that would be packed."""
    scanner = Scanner()
    for number, cell in enumerate(notebook["cells"]):
        scanner.text("".join(cell["source"]), f"cell {number} of the notebook")
        for output in cell.get("outputs", []):
            scanner.messages(_json(output), f"the outputs of cell {number} of the notebook")
    indices = {commit.record: commit.index for commit in found.commits.values()}
    outputs = set()
    for record in found.records.values():
        scanner.text(record.source, f"the recorded source of code cell {indices[record.id]}")
        if record.outputs in found.objects:
            outputs.add(record.outputs)
            place = f"the recorded outputs of code cell {indices[record.id]}"
            scanner.messages(_get(store, record.outputs), place)
        for name, version in record.delta.names.items():
            if version.image in found.objects:
                scanner.value(_get(store, version.image)[:_MOST], f"the value of {name}")
        for path in {*record.trace.files, *record.delta.files}:
            if path.startswith("/"):
                scanner.text(path, f"a path of code cell {indices[record.id]}")
    for task in found.tasks:
        said = "\n".join([task.stdout, task.stderr, task.error, *task.parts.values()])
        scanner.text(said, f"the log of task {task.name}")
    for path, state in found.inputs.items():
        if _is_text(path, state):
            try:
                scanner.text((folder / path).read_text("utf-8", "replace"), f"the file {path}")
            except OSError:
                continue  # not there any more: it is described, not packed
    return scanner


def without_secret_variables(found: Reached) -> tuple[Reached, list[str]]:
    """The rows without digests of variables whose names say that they hold secrets, and what to say of it."""
    records: dict[str, Record] = {}
    notes = []
    for name, record in found.records.items():
        hidden = {key for key in record.trace.ambient if key.startswith("env:") and SECRET.search(key)}
        if hidden:
            ambient = {**record.trace.ambient, **dict.fromkeys(hidden, WITHHELD)}
            record = replace(record, trace=replace(record.trace, ambient=ambient))
            listed = ", ".join(sorted(key[4:] for key in hidden))
            notes.append(f"a cell reads {listed}: it runs again at the other site, with what is set there")
        written = {key for key in record.delta.ambient if key.startswith("env:") and SECRET.search(key)}
        if written:
            values = {**record.delta.ambient, **dict.fromkeys(written, AmbientValue(WITHHELD))}
            record = replace(record, delta=replace(record.delta, ambient=values))
        records[name] = record
    tasks = []
    for task in found.tasks:
        hidden = {name for name in task.variables if SECRET.search(f"env:{name}")}
        if hidden:
            task = replace(task, variables={**task.variables, **dict.fromkeys(hidden, WITHHELD)})
        tasks.append(task)
    return replace(found, records=records, tasks=tasks), list(dict.fromkeys(notes))


def _is_text(path: str, state: FileState) -> bool:
    return path.endswith(_TEXTS) and state.size <= _MOST and bool(state.digest)


def _get(store: Store, digest: str) -> bytes:
    try:
        return store.get(digest)
    except MissingObject:
        return b""  # packing says so


def _json(content: Any) -> bytes:
    import json

    return json.dumps(content).encode("utf-8")
