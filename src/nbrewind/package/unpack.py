"""Opening a package: its workflow and inputs in a folder, its checkpoints in a store there.

Values of checkpoints are pickles, and loading one runs code.  So without trust only plain files are
laid down; the store is made where the caller says that its values may be loaded.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from nbrewind.errors import PackageError
from nbrewind.model import ABSENT, Commit, FileState, Record, Run, TaskEntry
from nbrewind.package import layout, packs
from nbrewind.package.layout import Manifest, shown
from nbrewind.package.rows import read_rows
from nbrewind.package.source import Source
from nbrewind.store import Store

_BETWEEN_FLUSHES = 64 << 20
"""Bytes that may wait for the store's writer."""

_COPY = 1 << 20
Tell = Callable[[int, int], None]


@dataclass(slots=True)
class Unpacked:
    """What lies where."""

    notebook: Path
    store: Path | None
    """None where nothing vouches for the package."""
    missing: list[str] = field(default_factory=list)
    """Inputs that the package only describes."""


def unpack(
    source: Source,
    manifest: Manifest,
    target: Path,
    *,
    trusted: bool,
    tell: Tell = lambda done, total: None,
) -> Unpacked:
    """Lay a package out in a new folder.

    Raises:
        PackageError: it is damaged, breaks the rules, or the folder cannot be made.
    """
    if target.exists() or target.is_symlink():
        raise PackageError(
            f"{target} exists already: nothing was unpacked. Name another folder, or go on in that one."
        )
    try:
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise _unwritable(target, error) from error
    folder = work / "folder"
    try:
        folder.mkdir()
        missing = _files(source, manifest, folder)
        if trusted:
            _fill(source, manifest, folder / layout.STORE, target / manifest.notebook, missing, tell)
        os.rename(folder, target)
    except OSError as error:
        raise _unwritable(target, error) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    store = target / layout.STORE if trusted else None
    return Unpacked(target / manifest.notebook, store, missing)


def _files(source: Source, manifest: Manifest, folder: Path) -> list[str]:
    """Workflow and inputs, each at the place that the notebook knows it by; what is only described."""
    missing = []
    for name, one in manifest.inputs.items():
        if name.startswith("/") or not (one.file or one.kind == "dir"):
            missing.append(name)
        elif one.kind == "dir" and name != ".":
            (folder / name).mkdir(parents=True, exist_ok=True)
    for name, path in sorted(layout.places(manifest).items()):
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        with source.open(path, manifest.files[path].sha256) as stream, open(place, "xb") as out:
            while data := stream.read(_COPY):
                out.write(data)
    return missing


def _fill(
    source: Source, manifest: Manifest, folder: Path, label: Path, missing: list[str], tell: Tell
) -> None:
    described = {
        name: FileState("dir" if one.kind == "dir" else "file", one.digest, one.size)
        for name, one in manifest.inputs.items()
        if name in missing
    }
    store = Store.open(folder)
    try:
        _objects(source, manifest, store, folder.parent, tell)
        forgotten = []
        for record, counts in read_rows(source, manifest, Record):
            store.add_record(record)
            if not counts:
                forgotten.append(record.id)
        for commit, _ in read_rows(source, manifest, Commit):
            store.add_commit(commit)
        for task, _ in read_rows(source, manifest, TaskEntry):
            store.add_task(task)
        for run, _ in read_rows(source, manifest, Run):
            store.update_run(elsewhere(run, str(label), described))
        store.flush()
        for name in forgotten:
            store.forget(name)
        if store.failures:
            raise PackageError(f"The checkpoints could not be unpacked: {shown(store.failures[0])}.")
    finally:
        store.close()


def _objects(source: Source, manifest: Manifest, store: Store, folder: Path, tell: Tell) -> None:
    waiting = done = 0
    for path in sorted(filter(layout.is_pack, manifest.files)):
        with source.open(path, manifest.files[path].sha256) as stream:
            for digest, size, pieces in packs.objects(stream, path):
                source.spend(size)
                if size > _BETWEEN_FLUSHES:
                    _large(store, pieces, folder)
                else:
                    store.put(b"".join(pieces), digest)
                    waiting += size
                done += 1
                if waiting > _BETWEEN_FLUSHES:
                    store.flush()
                    waiting = 0
                tell(done, manifest.objects)


def _large(store: Store, pieces: Iterator[bytes], folder: Path) -> None:
    """An object that may be larger than the memory goes through a file."""
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        store.put_file(file.name)


def elsewhere(run: Run, label: str, described: dict[str, FileState]) -> Run:
    """A run at another place: nothing that it left lies there, so all paths are as it found them (R6)."""
    left: dict[str, FileState] = dict.fromkeys(run.left, ABSENT)
    return replace(run, notebook=label, left=left, inputs={**run.inputs, **described})


def _unwritable(target: Path, error: OSError) -> PackageError:
    return PackageError(
        f"The package cannot be unpacked to {target} ({error.strerror or error}). Name another folder."
    )
