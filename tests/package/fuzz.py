"""Random damage to a good package: readers give an error of ours or nothing at all.

``make fuzz-packages`` (``python -m tests.package.fuzz --seconds 300 --seed 1``).
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from nbrewind.errors import NBRewindError
from nbrewind.package.source import reading
from nbrewind.package.unpack import unpack
from nbrewind.package.verify import verify
from package import hostile
from package.conftest import make_package

ODD: tuple[Any, ...] = (
    *(None, True, -1, 0, 2**70, 1.5, float("1e308"), "", "..", "/", "a/../b", "\0", "\x1b[2J", "x" * 5000),
    *([], {}, [[]], "0" * 32, "f" * 31, {"kind": "file"}, "é\u202e", "\ud800"),
)


def damaged(data: bytes, draw: random.Random) -> bytes:
    """Bytes with flips, cuts, doublings and insertions."""
    raw = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 5, 30))):
        at = draw.randrange(len(raw) + 1)
        match draw.randrange(5):
            case 0 if raw:
                raw[min(at, len(raw) - 1)] ^= 1 << draw.randrange(8)
            case 1:
                del raw[at : at + draw.choice((1, 4, 100))]
            case 2:
                raw[at:at] = draw.randbytes(draw.choice((1, 8, 200)))
            case 3:
                raw[at:at] = raw[at : at + draw.choice((8, 64, 1000))]
            case 4:
                raw[at : at + 4] = draw.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"))
    return bytes(raw)


def twisted(value: Any, draw: random.Random) -> Any:
    """JSON with one part replaced, renamed, doubled or gone."""
    if isinstance(value, dict) and value and draw.random() < 0.85:
        key = draw.choice(list(value))
        match draw.randrange(5):
            case 0:
                return {k: v for k, v in value.items() if k != key}
            case 1:
                return {**value, str(draw.choice(ODD)): value[key]}
            case _:
                return {**value, key: twisted(value[key], draw)}
    if isinstance(value, list) and value and draw.random() < 0.85:
        at = draw.randrange(len(value))
        return [*value[:at], twisted(value[at], draw), *value[at + draw.randrange(2) :]]
    return draw.choice(ODD)


def mutant(files: hostile.Files, draw: random.Random) -> hostile.Files:
    """A package with one file changed; sealed again or not."""
    changed = dict(files)
    path = draw.choice(list(files))
    data = files[path]
    if path.endswith((".json", ".ipynb")) and draw.random() < 0.7:
        changed[path] = json.dumps(twisted(json.loads(data), draw)).encode()
    elif path.endswith(".jsonl") and data and draw.random() < 0.7:
        lines = data.splitlines()
        at = draw.randrange(len(lines))
        lines[at] = json.dumps(twisted(json.loads(lines[at]), draw)).encode()
        changed[path] = b"\n".join(lines) + b"\n"
    else:
        changed[path] = damaged(data, draw)
    if path != "checkpoints/manifest.json" and draw.random() < 0.8:
        changed = hostile.sealed(changed)
    return changed


def trial(files: hostile.Files, place: Path, draw: random.Random) -> str:
    """One mutant; what happened: ``sound``, ``problems`` or ``error``."""
    changed = mutant(files, draw)
    if draw.random() < 0.5:
        package = hostile.write_zip(hostile.entries_of(changed), place / "paper.zip")
        if draw.random() < 0.3:
            package.write_bytes(damaged(package.read_bytes(), draw))
    else:
        package = hostile.write_folder(changed, place / "paper")
    try:
        found = verify(package, most=1 << 30)
        outcome = "problems" if found.problems else "sound"
    except NBRewindError:
        outcome = "error"
    try:  # as if it were trusted: the store is made, and no value is loaded
        with reading(package, 1 << 30) as source:
            unpack(source, source.manifest()[0], place / "out", trusted=True)
    except NBRewindError:
        pass
    return outcome


def main() -> int:
    """Run for some time; a traceback is a finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    counts: dict[str, int] = {}
    until, number = time.monotonic() + given.seconds, 0
    with tempfile.TemporaryDirectory() as folder:
        files = hostile.files_of(make_package(Path(folder) / "good", history=3))
        while time.monotonic() < until:
            place = Path(folder) / "trial"
            place.mkdir()
            try:
                outcome = trial(files, place, random.Random(given.seed * 1_000_000 + number))
            except (Exception, RecursionError):
                traceback.print_exc()
                print(f"mutant {number} of seed {given.seed}", file=sys.stderr)
                outcome = "CRASH"
            if {path.name for path in place.iterdir()} - {"paper", "paper.zip", "out"}:
                print(f"mutant {number} left {list(place.iterdir())}", file=sys.stderr)
                outcome = "CRASH"
            shutil.rmtree(place)
            counts[outcome] = counts.get(outcome, 0) + 1
            number += 1
    print(f"{number} mutants:", ", ".join(f"{count} {name}" for name, count in sorted(counts.items())))
    return int("CRASH" in counts)


if __name__ == "__main__":
    sys.exit(main())
