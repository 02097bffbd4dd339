"""Reading a package from anywhere: whatever it claims, nothing outside it is read or written.

A folder with links or special files, a zip file with such entries, with doubled names, absolute
names or names that climb out is refused before anything of it is used.  What is read counts
against a budget, so that a small file cannot become a large one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO, cast

from nbrewind.errors import PackageError
from nbrewind.package.layout import (
    MANIFEST,
    MOST_FILES,
    SIGNATURE,
    Manifest,
    decode_manifest,
    safe_path,
    shown,
)

_MOST_SMALL = 64 << 20
_MOST_DIRECTORY = 16 << 20
"""Bytes of a zip file's central directory: `zipfile` holds all of it in memory."""

_SLACK = 1 << 30
_RATIO = 20


class Source:
    """The files of one package by their path in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sizes: dict[str, int] = {}
        self._budget = 0

    def allow(self, most: int | None) -> None:
        """How many bytes may come out of it; by default 1 GiB and 20 times what went in."""
        packed = self.path.stat().st_size if self.path.is_file() else sum(self.sizes.values())
        self._budget = most if most is not None else _SLACK + _RATIO * packed

    def spend(self, size: int) -> None:
        """Count what is unpacked.

        Raises:
            PackageError: it is more than a package of this size should hold.
        """
        self._budget -= size
        if self._budget < 0:
            raise PackageError(
                "The package unpacks to far more than its size suggests. If you expect that, allow it "
                "with --max-size."
            )

    @contextlib.contextmanager
    def open(self, path: str, sha256: str = "") -> Iterator[BinaryIO]:
        """One file; reading it spends the budget.  With a digest its whole content is compared at the end."""
        if path not in self.sizes:
            raise PackageError(f"The package lacks {shown(path)}.")
        try:
            with self._open(path) as raw:
                file = _Counted(raw, self)
                yield cast(BinaryIO, file)
                if sha256 and file.rest() != sha256:
                    raise PackageError(
                        f"{shown(path)} of the package is damaged or forged: its SHA-256 differs."
                    )
        except (
            OSError,
            EOFError,
            zipfile.BadZipFile,
            zlib.error,
            NotImplementedError,
            RuntimeError,
        ) as error:
            raise PackageError(
                f"{shown(path)} of the package cannot be read ({shown(str(error))})."
            ) from error

    def read(self, path: str, sha256: str = "", most: int = _MOST_SMALL) -> bytes:
        """All bytes of a small file.

        Raises:
            PackageError: it is larger than that, cannot be read, or has another digest.
        """
        with self.open(path, sha256) as file:
            data = file.read(most + 1)
            if len(data) > most:
                raise PackageError(f"{shown(path)} of the package is larger than it should be.")
        return data

    def manifest(self) -> tuple[Manifest, bytes]:
        """The manifest and its bytes, compared with the list of files but not yet with their content.

        Raises:
            PackageError: a file is missing, or one too many.
        """
        data = self.read(MANIFEST)
        found = decode_manifest(data)
        there = set(self.sizes) - {MANIFEST, SIGNATURE}
        for path in sorted(found.files.keys() - there):
            raise PackageError(f"The package lacks {shown(path)}, which its manifest lists.")
        for path in sorted(there - found.files.keys()):
            raise PackageError(f"The package holds {shown(path)}, which its manifest does not list.")
        for path, file in found.files.items():
            if self.sizes[path] != file.size:
                raise PackageError(f"{shown(path)} of the package has another size than its manifest says.")
        return found, data

    def _open(self, path: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        raise NotImplementedError

    def _add(self, path: str, size: int) -> None:
        if path in self.sizes:
            raise PackageError(f"The package holds {shown(path)} twice.")
        if len(self.sizes) >= MOST_FILES:
            raise PackageError(f"The package holds more than {MOST_FILES} files.")
        self.sizes[safe_path(path)] = size

    def _refuse_clashes(self) -> None:
        """Names that are one file on some systems, and files that are folders of others."""
        folded: dict[str, str] = {}
        for path in self.sizes:
            if (other := folded.setdefault(path.casefold(), path)) != path:
                raise PackageError(
                    f"The package holds {shown(other)} and {shown(path)}: one name in two cases."
                )
        for path in self.sizes:
            above = path.rpartition("/")[0]
            while above:
                if above.casefold() in folded:
                    raise PackageError(f"The package holds {shown(above)} as a file and as a folder.")
                above = above.rpartition("/")[0]


class _Counted:
    """A file that is hashed as it is read, and whose reading spends a package's budget."""

    def __init__(self, raw: IO[bytes], source: Source) -> None:
        self._raw = raw
        self._source = source
        self._sha256 = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes, fewer only at the end."""
        data = self._raw.read(size)
        self._source.spend(len(data))
        self._sha256.update(data)
        return data

    def rest(self) -> str:
        """Read to the end; the SHA-256 of everything."""
        while self.read(1 << 20):
            pass
        return self._sha256.hexdigest()


class _FolderSource(Source):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._list("")

    def _list(self, inside: str) -> None:
        with os.scandir(self.path / inside) as entries:
            for entry in sorted(entries, key=lambda one: one.name):
                if entry.name.startswith(".") and not inside:
                    continue  # of git, or of the system: nothing of the package's own begins so
                name = f"{inside}{entry.name}"
                if entry.is_symlink():
                    raise PackageError(f"The package holds {shown(name)}, a link: packages have none.")
                if entry.is_dir(follow_symlinks=False):
                    if inside.count("/") > 50:
                        raise PackageError(f"The package has folders in folders without end: {shown(name)}.")
                    self._list(name + "/")
                elif entry.is_file(follow_symlinks=False):
                    self._add(name, entry.stat(follow_symlinks=False).st_size)
                else:
                    raise PackageError(f"The package holds {shown(name)}, which is no ordinary file.")

    @contextlib.contextmanager
    def _open(self, path: str) -> Iterator[IO[bytes]]:
        descriptor = os.open(self.path / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            yield file


class _ZipSource(Source):
    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        super().__init__(path)
        self._archive = archive
        self._infos: dict[str, zipfile.ZipInfo] = {}
        tops = set()
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.orig_filename != info.filename or kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
                raise PackageError(
                    f"The package holds {shown(info.orig_filename)}, which is no ordinary file."
                )
            if info.flag_bits & 1 or info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
                raise PackageError(f"The package holds {shown(info.filename)} encrypted or in an odd coding.")
            if kind == stat.S_IFDIR or info.filename.endswith("/"):
                safe_path(info.filename.rstrip("/"))
                continue
            top, _, rest = safe_path(info.filename).partition("/")
            tops.add(top)
            self._add(rest, info.file_size)
            self._infos[rest] = info
        if len(tops) != 1:
            raise PackageError("The package should be one folder in a zip file, and is not.")

    @contextlib.contextmanager
    def _open(self, path: str) -> Iterator[IO[bytes]]:
        with self._archive.open(self._infos[path]) as file:
            yield file


@contextlib.contextmanager
def reading(path: Path, most: int | None = None) -> Iterator[Source]:
    """The package at ``path``, a folder or a zip file.

    Raises:
        PackageError: it is none, or holds what no package may hold.
    """
    with contextlib.ExitStack() as around:
        try:
            source: Source
            if path.is_dir():
                source = _FolderSource(path)
            else:
                _check_directory(path)
                archive = around.enter_context(zipfile.ZipFile(path))
                source = _ZipSource(path, archive)
        except (OSError, zipfile.BadZipFile, NotImplementedError, struct.error, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise PackageError(f"{path} cannot be read as a package ({shown(reason)}).") from error
        source._refuse_clashes()
        source.allow(most)
        yield source


def _check_directory(path: Path) -> None:
    """Refuse a zip file whose list of entries alone would fill the memory.

    Raises:
        PackageError: the list is too long.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        end = file.seek(0, os.SEEK_END)
        tail = min(end, (1 << 16) + 22 + 20 + 56)
        file.seek(end - tail)
        data = file.read(tail)
    at = data.rfind(b"PK\5\6")
    if at < 0 or len(data) < at + 22:
        raise PackageError(f"{path} is no zip file.")
    size = struct.unpack_from("<L", data, at + 12)[0]
    if size == 0xFFFFFFFF:
        large = data.rfind(b"PK\6\6", 0, at)
        size = struct.unpack_from("<Q", data, large + 40)[0] if 0 <= large <= len(data) - 48 else 1 << 62
    if size > _MOST_DIRECTORY:
        raise PackageError(f"{path} lists too many files for a package.")
