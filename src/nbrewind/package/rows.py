"""Rows of a package as lines of JSON, and what a stranger's rows must not say."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, TypeVar

from nbrewind.errors import PackageError
from nbrewind.model import AmbientValue, Commit, Delta, FileState, Record, Run, TaskEntry, Version
from nbrewind.package.layout import ROWS, Manifest, shown
from nbrewind.package.source import Source
from nbrewind.store.ledger import decode, delta_needs

Row = TypeVar("Row", Run, Commit, Record, TaskEntry)

KINDS: dict[str, type[Any]] = {"run": Run, "commit": Commit, "record": Record, "task": TaskEntry}
LONGEST_LINE = 256 << 20

FORGOTTEN = b"!"
"""Before the JSON of a record that is history and no hit."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_DIGEST = re.compile(r"(?:[0-9a-f]{32})?")
_IDENTITY = re.compile(r"[0-9a-f]{32}")


def read_rows(source: Source, manifest: Manifest, of: type[Row]) -> Iterator[tuple[Row, bool]]:
    """The rows of a kind, and whether each counts (a forgotten record does not).

    Raises:
        PackageError: one cannot be read, or they are not as many as the manifest says.
    """
    kind = next(name for name, known in KINDS.items() if known is of)
    path, count = ROWS[kind], 0
    with source.open(path, manifest.files[path].sha256 if path in manifest.files else "") as file:
        for line in _lines(file, path):
            count += 1
            forgotten = line.startswith(FORGOTTEN)
            try:
                row = decode(line[len(FORGOTTEN) :] if forgotten else line, of)
            except RecursionError:
                row = None
            if row is None:
                raise PackageError(f"Line {count} of {path} in the package is no {kind}.")
            check(row, f"Line {count} of {path}")
            yield row, not forgotten
    if count != manifest.rows[kind]:
        raise PackageError(
            f"{path} of the package has {count} lines; its manifest says {manifest.rows[kind]}."
        )


def _lines(file: BinaryIO, path: str) -> Iterator[bytes]:
    rest = b""
    while data := file.read(1 << 20):
        *lines, rest = (rest + data).split(b"\n")
        yield from lines
        if len(rest) > LONGEST_LINE:
            raise PackageError(f"{path} of the package has a line that is too long.")
    if rest:
        raise PackageError(f"{path} of the package ends in the middle of a line.")


def check(row: Run | Commit | Record | TaskEntry, where: str) -> None:
    """Refuse names that are no digests, and paths that are not in their plain form.

    Raises:
        PackageError: the first such thing.
    """
    if isinstance(row, Run):
        _names(where, [row.id], [row.head, row.parent, row.environment, *_digests(row.found, row.left)])
        _paths(where, row.found, row.left)
    elif isinstance(row, Commit):
        _names(where, [row.id, row.run, row.record], [row.parent])
        for _, delta in row.between:
            _delta(where, delta)
    elif isinstance(row, Record):
        _names(where, [row.id, row.source_key], [row.outputs, row.environment, *row.tasks])
        trace = row.trace
        _paths(where, trace.files, trace.probes, trace.listings)
        _names(where, [], _digests(trace.files, trace.probes))
        _delta(where, row.delta)
    else:
        _names(where, [row.key], [row.result, *_digests(row.files, row.outputs)])
        _paths(where, row.files, row.outputs)


def _delta(where: str, delta: Delta) -> None:
    _paths(where, delta.files)
    found: list[str] = [*delta_needs(delta), *_digests(delta.files)]
    values: list[Version | AmbientValue] = [*delta.names.values(), *delta.ambient.values()]
    _names(where, [], [*found, *(value.image for value in values)])


def _digests(*groups: dict[str, FileState]) -> list[str]:
    return [state.digest for states in groups for state in states.values()]


def _names(where: str, needed: Iterable[str], others: Iterable[str]) -> None:
    for name in needed:
        if not _IDENTITY.fullmatch(name):
            raise PackageError(f"{where} in the package names {shown(name)}, which is no identity.")
    for name in others:
        if not _DIGEST.fullmatch(name):
            raise PackageError(f"{where} in the package names {shown(name)}, which is no digest.")


def _paths(where: str, *groups: dict[str, Any]) -> None:
    for states in groups:
        for path in states:
            if "\0" in path or path != posixpath.normpath(path) or path.startswith("../") or path == "..":
                raise PackageError(f"{where} in the package names {shown(path)}, which is no plain path.")


def plain(value: Any) -> Any:
    """A stranger's JSON with control characters made visible."""
    if isinstance(value, str):
        return _CONTROL.sub(lambda match: ascii(match[0])[1:-1], value)
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {plain(key): plain(one) for key, one in value.items()}
    return value


def json_line(content: dict[str, Any]) -> bytes:
    """One line of a log for people."""
    return json.dumps(content, ensure_ascii=True, sort_keys=True).encode("ascii") + b"\n"
