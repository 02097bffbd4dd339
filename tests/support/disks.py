"""Small disks and read-only places, for tests of what cannot be written.

Root ignores permissions, so they are real mounts; where the user may not mount, the test is
skipped with the reason that ``mount`` gave.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


def mount(*arguments: str) -> None:
    """Mount something, or skip where the user has no right to."""
    try:
        done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if done.returncode:
        pytest.skip(f"mounting needs rights that this user has not: {done.stderr.strip()}")


@contextlib.contextmanager
def read_only(place: Path) -> Iterator[Path]:
    """``place``, a folder or a file, cannot be written for a while."""
    mount("--bind", str(place), str(place))
    try:
        mount("-o", "remount,ro,bind", str(place))
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@contextlib.contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    """``place`` is a disk of its own; ``size`` as ``mount`` has it (``1m``)."""
    place.mkdir(exist_ok=True)
    mount("-t", "tmpfs", "-o", f"size={size}", "none", str(place))
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path) -> Path:
    """Write until nothing more fits; the file to delete for room."""
    filler = place / "filler"
    with pytest.raises(OSError, match="No space"), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    return filler


def photograph(place: Path) -> dict[str, tuple[int, int, bytes]]:
    """Everything below a folder, such that any write shows."""
    return {
        str(path.relative_to(place)): (
            path.stat().st_mtime_ns,
            path.stat().st_mode,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in sorted([place, *place.rglob("*")])
    }
