"""Two writers, a reader and a collector in one store at the same time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from faults.disks import TESTS
from faults.life import contents, verify
from nbrewind.store import Store
from nbrewind.store.gc import Limits, collect

WRITER = """
import itertools, sys, time
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from faults.life import write
until = time.monotonic() + float(sys.argv[4])
for turn in itertools.count():
    if time.monotonic() > until:
        break
    write(Path(sys.argv[1]), f"{sys.argv[3]}{turn}", lambda line: print(line, flush=True))
"""


def together(folder: Path, seconds: float) -> Counter[str]:
    """Everything that was told durable is there, and nobody ever read anything wrong."""
    place = folder / "s"
    Store.open(place).close()
    call = [sys.executable, "-c", WRITER, str(place), str(TESTS)]
    writers = [
        subprocess.Popen(
            [*call, name, str(seconds)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for name in ("a", "b")
    ]
    counts: Counter[str] = Counter()
    # Not only for reading: within a process SQLite would share that, and the collector could not write.
    reader = Store.open(place)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for record in reader.records("k")[:20]:
            assert reader.complete(record)
            for version, data in zip(record.delta.names.values(), contents(record.id), strict=True):
                assert reader.get(version.image) == data
            counts["records read while others wrote"] += 1
        collect(place, Limits(), b"no magic")
        counts["collections while others wrote"] += 1
    reader.close()
    told: list[str] = []
    for writer in writers:
        said, complaint = writer.communicate(timeout=120)
        assert writer.returncode == 0, complaint[-2000:]
        told += said.split()
    counts["records verified"] += verify(place, told)
    counts["durable cells still there"] += len(told)
    return counts


def removed(folder: Path) -> Counter[str]:
    """The store is deleted under a writer, who says what is not recorded and goes on."""
    store = Store.open(folder / "gone")
    store.put(b"first" * 1000)
    store.flush()
    shutil.rmtree(folder / "gone")
    store.tolerant = True
    from faults.life import record_of

    for number in range(5):
        images = [store.put(os.urandom(1000)) for _ in range(3)]
        store.add_record(record_of(f"a-{number}", images))
        assert store.flush(60)
        assert store.records("k") == []
    assert all("deleted or replaced" in store.lost[f"record a-{number}"] for number in range(5))
    store.close()
    return Counter({"stores removed under a writer": 1})
