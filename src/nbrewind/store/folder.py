"""The folder of a store: making it, telling it from other people's folders, deleting it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from pathlib import Path

from nbrewind.errors import StoreError
from nbrewind.store import catalog, lease, pack
from nbrewind.store.loose import Loose
from nbrewind.store.objects import LOOSE_FOLDER, PACK_FOLDER

FOLDERS = (LOOSE_FOLDER, PACK_FOLDER)
OWN_ENTRIES = frozenset({".gitignore", *FOLDERS, lease.NAME, catalog.NAME, *catalog.BESIDE})


def prepare(folder: Path) -> None:
    """Make the folder and its tables.

    Raises:
        StoreError: that is impossible, or the folder is somebody else's; the reason.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise StoreError(
                f"{folder} is a file, and the store should be a folder there. Move it away, or name "
                "another place with NBREWIND_STORE."
            )
        if folder.is_dir():
            refuse_foreign(folder)
            upgrade(folder)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in FOLDERS:
            (folder / name).mkdir(mode=0o700, exist_ok=True)
        lease.make(folder)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
        for place in (folder, *(folder / name for name in FOLDERS)):
            if not os.access(place, os.W_OK | os.X_OK):
                why = errno.EROFS if os.statvfs(place).f_flag & os.ST_RDONLY else errno.EACCES
                raise OSError(why, os.strerror(why))
    except OSError as error:
        raise catalog.unwritable(folder, error.strerror or str(error)) from error
    catalog.open_for_writing(folder).close()


def upgrade(folder: Path) -> None:
    """Bring a store of an earlier format to this one; its objects stay as they are.

    Raises:
        StoreError: somebody uses it, or it cannot be written.
    """
    if catalog.format_of(folder) == 1:
        with lease.alone(folder, "it is of an earlier format and could not be brought to this one"):
            for name in FOLDERS:
                (folder / name).mkdir(mode=0o700, exist_ok=True)
            lease.make(folder)
            catalog.open_for_writing(folder, migrating=True).close()


def refuse_foreign(folder: Path) -> None:
    """Keep away from a folder that holds something else than a store.

    Raises:
        StoreError: it names what is there.
        OSError: the folder cannot be listed.
    """
    others = sorted(set(os.listdir(folder)) - OWN_ENTRIES)
    if others and not (folder / catalog.NAME).exists():
        raise StoreError(
            f"{folder} is no nbrewind store: it holds {others[0]!r}. Name another place with NBREWIND_STORE."
        )


def clear(folder: Path) -> None:
    """Delete what is ours; the folder goes too unless other people's files are in it.

    The catalog goes first: what is left of an interrupted deletion is an empty store.

    Raises:
        StoreError: something cannot be deleted.
    """
    try:
        for name in (catalog.NAME, *catalog.BESIDE):
            (folder / name).unlink(missing_ok=True)
        for path in packs(folder):
            path.unlink(missing_ok=True)
        Loose(folder / LOOSE_FOLDER).clear()
        for name in (lease.NAME, ".gitignore"):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            f"The store {folder} cannot be deleted ({error.strerror}): {error.filename}. "
            "Check who owns it and whether a kernel uses it."
        ) from error
    for place in (folder / PACK_FOLDER, folder):
        with contextlib.suppress(OSError):  # somebody else's files are in it
            place.rmdir()


def packs(folder: Path) -> list[Path]:
    """The files of packs, whether a row names them or not."""
    return sorted(path for path in (folder / PACK_FOLDER).glob("*" + pack.SUFFIX) if _is_name(path.stem))


def _is_name(stem: str) -> bool:
    return re.fullmatch("[0-9a-f]{32}", stem) is not None
