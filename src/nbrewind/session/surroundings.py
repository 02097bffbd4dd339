"""What a cell drew from and did to the process around it: random states, ambient and hidden items (R7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from nbrewind.flow.ambient import SECRET, freeze
from nbrewind.flow.code import hash_parts
from nbrewind.flow.hidden import HIDDEN, RELOADED, hidden_version
from nbrewind.model import AmbientValue, Root, State
from nbrewind.session.process import Process

_ENGINES = frozenset({"lib:dask", "lib:distributed", "lib:parsl", "lib:ray"})


@dataclass(slots=True)
class Effects:
    """What a cell did to its surroundings."""

    keep: Callable[[bytes], str]
    """Stores a value and gives its key."""
    written: dict[str, AmbientValue] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def _nowhere(value: bytes) -> str:
    return ""


def random_reads(
    process: Process, before: State, start: dict[str, str], read: set[Root], flags: list[str]
) -> dict[str, str]:
    """Random states that the cell drew from: key -> digest in the state, empty where it knows none."""
    found: dict[str, str] = {}
    ambient = process.ambient
    for item in ambient.items:
        if not item.random or not ambient.available(item):
            continue
        if item.key in ambient.seeded:
            continue
        if ambient.digest(item) == start.get(item.key) and item.key not in ambient.drawn:
            continue
        if item.key == "rng:random" and _engine_drew(read):
            continue
        known = before.ambient.get(item.key)
        found[item.key] = known.digest if known is not None else ""
        if known is None:
            flags.append("nondeterministic")
    return found


def _engine_drew(read: set[Root]) -> bool:
    """Engines' own threads draw from ``random``; a notebook that does not name it did not."""
    return bool(read & _ENGINES) and "lib:random" not in read


def effects(
    process: Process,
    before: State,
    start: dict[str, str],
    *,
    read: set[Root],
    names: frozenset[str],
    untold: list[str],
    trace_key: str,
    private: bool = False,
) -> Effects:
    """Ambient and hidden items that differ from ``start``, the digests before the cell.

    ``names`` are those that the cell's code and the functions that it read mention, ``untold`` labels of what
    it did that no record can give again; of ``private`` cells no value is stored.
    """
    found = Effects(_nowhere if private else process.store.put)
    version_of = partial(hidden_version, trace_key=trace_key, before=before)
    with process.suspended():
        after = process.ambient.snapshot()
        for key, digest in after.items():
            if start.get(key) != digest:
                _changed(process, key, digest, start, read, version_of, found)
        # What the cell set without looking counts as changed, however equal: elsewhere it may not be.
        set_anew = process.ambient.seeded | process.ambient.drawn
        for key in set_anew | {"env:" + name for name in process.ambient.env_writes}:
            if key not in found.written:
                _set(process, key, found)
        reloaded = [RELOADED + name for name in dict.fromkeys(process.imports.reloaded)]
        for label in (*process.hidden.changed(names), *untold, *reloaded):
            _hidden(HIDDEN + label, version_of, found)
    for key in before.ambient:
        if key.startswith("env:") and key not in after:
            found.written[key] = AmbientValue("")
    return found


def _changed(
    process: Process,
    key: str,
    digest: str,
    start: dict[str, str],
    read: set[Root],
    version_of: Callable[[str], str],
    found: Effects,
) -> None:
    ambient = process.ambient
    item = ambient.item(key)
    base = ambient.is_base(key, digest)
    if (key == "rng:random" and _engine_drew(read)) or (base and start.get(key) is None):
        return
    if key.startswith("env:") and SECRET.search(key):
        _secret(key, "" if base else digest, found)
    elif base and not (item is not None and item.random):
        found.written[key] = AmbientValue("")
    else:
        frozen = freeze(ambient.value(key))
        if frozen is None:
            _hidden(key, version_of, found)
        else:
            found.written[key] = AmbientValue(digest, found.keep(frozen))


def _set(process: Process, key: str, found: Effects) -> None:
    ambient = process.ambient
    value = ambient.value(key)
    if key.startswith("env:"):
        digest = "absent" if value is None else hash_parts(value)
        if SECRET.search(key):
            _secret(key, "" if ambient.is_base(key, digest) else digest, found)
            return
    else:
        item = ambient.item(key)
        digest = ambient.digest(item) if item is not None and ambient.available(item) else ""
    base = key.startswith("env:") and ambient.is_base(key, digest)
    frozen = freeze(value)
    if frozen is not None and digest:
        found.written[key] = AmbientValue("") if base else AmbientValue(digest, found.keep(frozen))


def _secret(key: str, digest: str, found: Effects) -> None:
    """Its value is not stored, but later cells find it set, and those that read it depend on it."""
    found.flags.append("never")
    found.written[key] = AmbientValue(digest)


def _hidden(key: str, version_of: Callable[[str], str], found: Effects) -> None:
    """A change that cannot be put back: its version is what made it, and its cell always runs."""
    found.flags.append("process")
    found.written[key] = AmbientValue(version_of(key))
    found.notes.append(
        f"changes {key.removeprefix(HIDDEN)} of the process, which cannot be stored: it runs at every repeat"
    )
