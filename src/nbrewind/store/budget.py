"""How large a store may grow, and the runs that stay whatever it holds.

Both are rows of the catalog's table ``meta`` (docs/format.md): ``budget`` and ``pin:RUN``.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from nbrewind.errors import StoreError, UsageError
from nbrewind.store import catalog
from nbrewind.store.reader import Reader

VARIABLE = "NBREWIND_BUDGET"
MOST = 50 * 10**9
"""Bytes that a store may grow to where nobody says otherwise, and the file system has five times that."""
ROOM = 0.9
"""Part of the budget that is left full: old runs go now and then, not with each new one."""
_ROW = "budget"
_PIN = "pin:"
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def limit(place: Path) -> int | None:
    """The bytes that a store may grow to, None for as many as there are.

    Its own budget, else ``NBREWIND_BUDGET``, else 50 GB but no more than a fifth of the file system.

    Raises:
        UsageError: the variable holds no size.
        StoreError: the store cannot be read.
    """
    own = _rows(place, _ROW)
    told = own[0][1] if own else os.environ.get(VARIABLE, "")
    if told:
        return size_of(told, VARIABLE)
    return min(MOST, shutil.disk_usage(place).total // 5)


def size_of(text: str, option: str) -> int | None:
    """A budget as a person writes it, None for ``none``.

    Raises:
        UsageError: it is none.
    """
    if text == "none":
        return None
    match = re.fullmatch(r"(\d+)([a-zA-Z]?)", text)
    if match is None or match[2] not in _UNITS:
        raise UsageError(f"{option} is a size such as 500M or 20G, or none, not {text!r}.")
    return int(match[1]) * _UNITS[match[2]]


def set_limit(place: Path, text: str) -> None:
    """Give a store a budget of its own; ``default`` takes it away.

    Raises:
        StoreError: the store cannot be written.
    """
    with _writing(place) as connection:
        connection.execute("delete from meta where key = ?", (_ROW,))
        if text != "default":
            connection.execute("insert into meta values (?, ?)", (_ROW, text))


def held(place: Path) -> int:
    """Bytes of the store's files."""
    total, folders = 0, [place]
    while folders:
        with contextlib.suppress(FileNotFoundError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
    return total


def pinned(place: Path) -> set[str]:
    """The runs that no collection may delete.

    Raises:
        StoreError: the store cannot be read.
    """
    return {key.removeprefix(_PIN) for key, _ in _rows(place, _PIN + "%")}


def pin(place: Path, run: str, *, stays: bool) -> None:
    """Let a run stay, or be one like the others again.

    Raises:
        StoreError: the store cannot be written.
    """
    with _writing(place) as connection:
        connection.execute("delete from meta where key = ?", (_PIN + run,))
        if stays:
            connection.execute("insert into meta values (?, '')", (_PIN + run,))


def _rows(place: Path, like: str) -> list[tuple[str, str]]:
    reader = Reader(place, traceless=True)
    try:
        return [
            (key, value)
            for key, value in reader.rows("select key, value from meta where key like ?", (like,))
        ]
    finally:
        reader.close()


@contextlib.contextmanager
def _writing(place: Path) -> Iterator[sqlite3.Connection]:
    connection = catalog.open_for_writing(place)
    try:
        with connection:
            yield connection
    except sqlite3.Error as error:
        raise StoreError(f"The store at {place} cannot be written ({error}): nothing was changed.") from error
    finally:
        connection.close()
