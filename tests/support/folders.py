"""Folders of test notebooks: laid down, photographed, put back at the same path, compared."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

NOT_COMPARED = {".nbrewind", "__pycache__", ".ipynb_checkpoints"}


def lay_down(folder: Path, files: Mapping[str, str]) -> None:
    """Creates ``folder`` with ``files``, their times some seconds in the past."""
    folder.mkdir(parents=True, exist_ok=True)
    past = time.time() - 60
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        os.utime(path, (past, past))


def empty(folder: Path) -> None:
    """Deletes everything inside ``folder`` but not the folder."""
    for entry in list(folder.iterdir()):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def photograph(folder: Path, copy: Path) -> None:
    """Copies a folder with its times."""
    shutil.copytree(folder, copy, symlinks=True, copy_function=shutil.copy2)


def put_back(copy: Path, folder: Path) -> None:
    """Makes ``folder`` equal to the copy, at its own path, times included."""
    empty(folder)
    shutil.copytree(copy, folder, symlinks=True, copy_function=shutil.copy2, dirs_exist_ok=True)


def later(path: Path) -> None:
    """Gives a path a time at least two seconds after the one it had."""
    now = max(time.time(), path.stat().st_mtime + 3)
    os.utime(path, (now, now))


def tree(folder: Path) -> dict[str, str]:
    """What a folder holds: relative path to ``dir`` or a digest of the content."""
    found: dict[str, str] = {}
    for parent, dirs, files in os.walk(folder):
        dirs[:] = sorted(d for d in dirs if d not in NOT_COMPARED)
        here = Path(parent)
        for name in dirs:
            found[str((here / name).relative_to(folder))] = "dir"
        for name in files:
            content = (here / name).read_bytes()
            found[str((here / name).relative_to(folder))] = hashlib.sha256(content).hexdigest()[:16]
    return found


def differences(reference: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """Differences between two trees, as sentences."""
    found = []
    for name in sorted({*reference, *other}):
        if name not in other:
            found.append(f"file {name}: in the reference, absent here")
        elif name not in reference:
            found.append(f"file {name}: absent in the reference, present here")
        elif reference[name] != other[name]:
            found.append(f"file {name}: other content than in the reference")
    return found
