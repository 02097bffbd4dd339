"""Writes that fail: a layer below one process, and disks that are full after so many bytes."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from faults.life import usable, verify

TESTS = Path(__file__).resolve().parents[1]
LIVE = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from faults.life import write
from nbrewind.errors import StoreError
try:
    write(Path(sys.argv[1]), sys.argv[3], lambda line: print(line, flush=True))
except StoreError as error:
    print("refused", error, file=sys.stderr)
"""


def layer(folder: Path) -> Path:
    """The compiled layer.

    Raises:
        FileNotFoundError: there is no C compiler.
    """
    library = folder / "layer.so"
    source = Path(__file__).with_name("layer.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


def lived(place: Path, seed: str, **environment: str) -> list[str]:
    """What a writer told in a process of its own, which ends by itself whatever its disk does."""
    done = subprocess.run(
        [sys.executable, "-c", LIVE, str(place), str(TESTS), seed],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


def failing(folder: Path, each: int) -> Counter[str]:
    """Writes, syncs and creations that fail once, for a while, or from some time on."""
    library = layer(folder)
    counts: Counter[str] = Counter()
    for code in (errno.EIO, errno.EDQUOT, errno.ENOSPC):
        for calls in ("w", "s", "o"):
            for times in (1, 5, 10**9):
                for turn in range(each):
                    place = folder / f"{errno.errorcode[code]}-{calls}-{times}-{turn}" / "s"
                    place.parent.mkdir()
                    told = lived(
                        place,
                        "a",
                        LD_PRELOAD=str(library),
                        FAULT_BELOW=str(place),
                        FAULT_CALLS=calls,
                        FAULT_AFTER=str((7 * turn * (1 if times == 1 else 3)) % 60 + turn),
                        FAULT_TIMES=str(times),
                        FAULT_ERRNO=str(code),
                    )
                    kind = {"w": "writes", "s": "syncs", "o": "creations"}[calls]
                    _after(place, told, counts)
                    counts[f"{errno.errorcode[code]} from {kind}"] += 1
    return counts


def full(folder: Path, sizes: range) -> Counter[str]:
    """Disks that are full after so many KiB; more room afterwards."""
    counts: Counter[str] = Counter()
    for size in sizes:
        with small_disk(folder / "disk", size) as disk:
            told = lived(disk / "s", "a")
            if (disk / "s" / "catalog.sqlite").exists():
                counts["records verified"] += verify_if_store(disk / "s", told)
                subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
                usable(disk / "s", "u")
                counts["durable cells still there"] += len(told)
            counts["full disks"] += 1
    return counts


@contextlib.contextmanager
def small_disk(place: Path, kib: int) -> Iterator[Path]:
    """A tmpfs of so many KiB; ``CalledProcessError`` where one may not mount."""
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "none", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def verify_if_store(place: Path, told: list[str]) -> int:
    """``verify`` unless the store was not even made."""
    from nbrewind.errors import NoStore

    try:
        return verify(place, told)
    except NoStore:
        assert not told
        return 0


def clocks(folder: Path) -> Counter[str]:
    """Two lives in one store, the clock having gone back by a day between them, and a collection by age."""
    from nbrewind.store.gc import Limits, collect

    library = layer(folder)
    place = folder / "clock"
    told = lived(place, "a")
    told += lived(place, "b", LD_PRELOAD=str(library), FAULT_CLOCK="-86400")
    verify(place, told)
    collect(place, Limits(before=1.0), b"no magic")
    return Counter({"clocks pulled back": 1, "records verified": verify(place, told)})


def _after(place: Path, told: list[str], counts: Counter[str]) -> None:
    if (place / "catalog.sqlite").exists():
        counts["records verified"] += verify_if_store(place, told)
        counts["durable cells still there"] += len(told)
        usable(place, "u")
