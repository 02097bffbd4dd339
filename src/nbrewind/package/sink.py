"""Writing a package: a folder, or a zip file whose bytes depend on its content only.

Both appear under their name when they are complete, and not before.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol

from nbrewind.errors import PackageError
from nbrewind.package.layout import File, is_pack, safe_path

_MOMENT = (1980, 1, 1, 0, 0, 0)
_COPY = 1 << 20


class Sink(Protocol):
    """Where the files of a package go, one after the other."""

    def open(self, path: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        """Begin a file; it is complete when the context ends."""


class Writer:
    """Writes files to a sink and knows the size and SHA-256 of each."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.files: dict[str, File] = {}

    @contextlib.contextmanager
    def file(self, path: str) -> Iterator[Hashed]:
        """A new file of the package."""
        with self._sink.open(safe_path(path)) as raw:
            hashed = Hashed(raw)
            yield hashed
        self.files[path] = File(hashed.size, hashed.sha256.hexdigest())

    def put(self, path: str, data: bytes) -> None:
        """A file of these bytes."""
        with self.file(path) as file:
            file.write(data)

    def copy(self, path: str, source: Path) -> None:
        """A file with the content of another."""
        with open(source, "rb") as stream, self.file(path) as file:
            while data := stream.read(_COPY):
                file.write(data)


class Hashed:
    """A file that is hashed as it is written."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self.sha256 = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes, /) -> None:
        """Append bytes."""
        self._raw.write(data)
        self.sha256.update(data)
        self.size += len(data)


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    @contextlib.contextmanager
    def open(self, path: str) -> Iterator[IO[bytes]]:
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "xb") as file:
            yield file


class _Zip:
    def __init__(self, archive: zipfile.ZipFile, top: str) -> None:
        self._archive = archive
        self._top = top

    @contextlib.contextmanager
    def open(self, path: str) -> Iterator[IO[bytes]]:
        info = zipfile.ZipInfo(f"{self._top}/{path}", _MOMENT)
        info.create_system = 3
        info.external_attr = (stat.S_IFREG | 0o644) << 16
        # Packs are compressed already, and read much faster where zip does nothing to them.
        info.compress_type = zipfile.ZIP_STORED if is_pack(path) else zipfile.ZIP_DEFLATED
        with self._archive.open(info, "w", force_zip64=True) as file:
            yield file


def must_be_free(target: Path) -> None:
    """Never write over something; asked before the work begins, and again before anything is written.

    Raises:
        PackageError: the place is taken.
    """
    if target.exists() or target.is_symlink():
        raise PackageError(f"{target} exists already: nothing was packed. Name another place, or delete it.")


@contextlib.contextmanager
def writing(target: Path, name: str) -> Iterator[Writer]:
    """A package under way: a zip file if ``target`` ends so, else a new folder.

    Raises:
        PackageError: the place is taken or cannot be written.
    """
    must_be_free(target)
    try:
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise _unwritable(target, error) from error
    try:
        if target.suffix == ".zip":
            finished = work / "package.zip"
            with zipfile.ZipFile(finished, "w", compresslevel=6) as archive:
                yield Writer(_Zip(archive, name))
        else:
            finished = work / "package"
            finished.mkdir()
            yield Writer(_Folder(finished))
        os.rename(finished, target)
    except OSError as error:
        raise _unwritable(target, error) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _unwritable(target: Path, error: OSError) -> PackageError:
    return PackageError(
        f"The package cannot be written to {target} ({error.strerror or error}). Name another place with -o."
    )
