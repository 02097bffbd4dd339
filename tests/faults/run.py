"""``python -m tests.faults.run [KIND...]``: faults in numbers; what goes wrong raises.

Kinds: points, times, bytes, writes, full, company, clock, removed. Without any, all of them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from faults import company, damage, disks, kills

KINDS: dict[str, Callable[[Path, int], Counter[str]]] = {
    "points": lambda folder, size: kills.at_points(folder, 2 * size),
    "times": lambda folder, size: kills.at_any_time(folder, 32 * size),
    "bytes": lambda folder, size: damage.trials(folder, 16 * size),
    "writes": lambda folder, size: disks.failing(folder, size),
    "full": lambda folder, size: disks.full(folder, range(16, 1400, 320 // size)),
    "company": lambda folder, size: company.together(folder, 12.0 * size),
    "clock": lambda folder, size: disks.clocks(folder),
    "removed": lambda folder, size: company.removed(folder),
}


def main() -> int:
    """Run what is asked for and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []], metavar="KIND")
    parser.add_argument("--size", type=int, default=10, help="10 is more than 500 kills")
    arguments = parser.parse_args()
    for kind in arguments.kinds or KINDS:
        with tempfile.TemporaryDirectory(dir=_memory()) as folder:
            counts = KINDS[kind](Path(folder), arguments.size)
        print(f"\n{kind}")
        for what, count in sorted(counts.items()):
            print(f"| {what} | {count} |", flush=True)
    return 0


def _memory() -> str | None:
    """A folder in memory: a killed process leaves there what it leaves on a disk, only sooner."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


if __name__ == "__main__":
    raise SystemExit(main())
