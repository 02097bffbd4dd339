"""Changed and missing bytes in every kind of file: what is served is right, and what is lost is named."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from pathlib import Path

from faults.life import contents, no_references, write
from nbrewind.errors import MissingObject, StoreError
from nbrewind.model import Run, TaskEntry
from nbrewind.store import Store
from nbrewind.store.check import examine, repair
from nbrewind.store.loose import digest_of

HOWS = ("flip", "cut", "zero", "remove")


def model(folder: Path) -> Path:
    """A store with everything in it: packs, a loose object, all tables."""
    for seed in ("a", "b"):
        write(folder, seed, lambda line: None)
    store = Store.open(folder)
    store.start_run(Run(id="a", notebook="n", head="c-a-9"))
    store.add_task(TaskEntry(key="t", name="f", result=store.put(b"result" * 100)))
    store.close()
    return folder


def files(folder: Path) -> dict[str, list[Path]]:
    """The files of a store by kind."""
    return {
        "pack": sorted((folder / "packs").iterdir()),
        "loose object": sorted(path for path in (folder / "objects").rglob("*") if path.is_file()),
        "catalog": [folder / "catalog.sqlite"],
        "leases": [folder / "leases"],
        ".gitignore": [folder / ".gitignore"],
    }


def trials(folder: Path, each: int, seed: int = 1) -> Counter[str]:
    """Damage of every kind at random places, and what came of it."""
    original = model(folder / "original")
    whole = _seen(original)
    counts: Counter[str] = Counter()
    dice = random.Random(seed)
    for kind in files(original):
        for number in range(each):
            copy = folder / "copy"
            shutil.copytree(original, copy)
            path = dice.choice(files(copy)[kind])
            how = HOWS[number % len(HOWS)] if number % 8 < len(HOWS) else "flip"
            note = _spoil(path, how, dice)
            try:
                outcome = _outcome(copy, whole)
            except AssertionError as wrong:
                raise AssertionError(f"{kind} {path.name}: {how} {note}: {wrong}") from wrong
            counts[f"{kind}, {how}: {outcome}"] += 1
            shutil.rmtree(copy)
    return counts


def _spoil(path: Path, how: str, dice: random.Random) -> str:
    data = bytearray(path.read_bytes())
    path.chmod(0o600)
    at = dice.randrange(len(data)) if data else 0
    if how == "remove":
        path.unlink()
    elif how == "cut":
        os.truncate(path, at)
    elif data:
        length = 1 if how == "flip" else min(512, len(data) - at)
        data[at : at + length] = (
            bytes([data[at] ^ (1 << dice.randrange(8))]) if how == "flip" else bytes(length)
        )
        path.write_bytes(data)
    return f"at {at}"


def _seen(folder: Path) -> dict[str, object]:
    """Everything that a reader gets: rows by name, and objects that are whole."""
    seen: dict[str, object] = {}
    store = Store.open(folder, readonly=True)
    try:
        for record in store.records("k"):
            seen[f"record {record.id}"] = record
            if not store.complete(record):
                seen[f"incomplete {record.id}"] = True
            for version, data in zip(record.delta.names.values(), contents(record.id), strict=True):
                try:
                    got = store.get(version.image)
                except MissingObject:
                    continue
                assert got == data and digest_of(got) == version.image, "a wrong value was served"
                assert bytes(store.join([version.image])) == data
                seen[f"object {version.image}"] = True
        for seed in ("a", "b"):
            path = store.path_to(f"c-{seed}-9")
            seen |= {f"commit {step.id}": step for step in path}
        seen |= {f"run {run.id}": run for run in store.runs()}
        seen |= {f"task {entry.key}": entry for entry in store.tasks("t")}
    finally:
        store.close()
    return seen


def _outcome(folder: Path, whole: dict[str, object]) -> str:
    """Harmless, named or refused.

    Raises:
        AssertionError: something wrong was served, or a loss was not named.
    """
    try:
        seen = _seen(folder)
    except StoreError as error:
        assert str(folder) in str(error), "the message names the store"
        return "refused"
    wrong = [name for name in seen if not name.startswith("incomplete") and seen[name] != whole.get(name)]
    assert not wrong, f"served otherwise than written: {wrong}"
    try:
        problems = examine(folder, no_references).problems
    except StoreError:
        return "refused"
    lost = set(whole) - set(seen)
    assert problems or not lost, f"lost and not named: {sorted(lost)}"
    if not problems:
        return "harmless"
    if not any(problem.kind == "catalog" for problem in problems):
        repair(folder, no_references, lambda done, total: None)
        left = examine(folder, no_references).problems
        assert not left, f"repaired, and yet {left}"
        again = _seen(folder)
        assert all(again[name] == whole.get(name) for name in again if not name.startswith("incomplete"))
        assert not any(name.startswith("incomplete") for name in again), "repaired and not complete"
    return "named"
