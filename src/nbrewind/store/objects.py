"""Objects: bytes named by their BLAKE3 digest, one file each (docs/format.md, "Objects")."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from blake3 import blake3

from nbrewind.errors import MissingObject
from nbrewind.model import Digest

CHUNK = 4 << 20
"""Bytes read at a time when a file is hashed or copied."""


def digest_of(data: bytes | bytearray | memoryview) -> Digest:
    """The name of an object: 32 hexadecimal digits of BLAKE3."""
    return str(blake3(data).hexdigest()[:32])


class Objects:
    """The folder of objects of one store."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._damaged: set[Digest] = set()
        self._seen: set[Digest] = set()

    def path(self, digest: Digest) -> Path:
        """Where an object lies."""
        return self.root / digest[:2] / digest[2:]

    def has(self, digest: Digest) -> bool:
        """Whether an object is there; False for one that was found damaged."""
        if digest in self._damaged:
            return False
        if digest in self._seen:
            return True
        if self.path(digest).is_file():
            self._seen.add(digest)
            return True
        return False

    def read(self, digest: Digest) -> bytes:
        """The bytes of an object, checked against its name.

        Raises:
            MissingObject: it is absent, unreadable or damaged.
        """
        try:
            data = self.path(digest).read_bytes()
        except OSError as error:
            self._seen.discard(digest)
            raise MissingObject(
                f"The store has no object {digest} ({error.strerror}): what needs it runs again."
            ) from error
        if digest_of(data) != digest:
            self._damaged.add(digest)
            raise MissingObject(f"The object {digest} of the store is damaged: what needs it runs again.")
        return data

    def write(self, digest: Digest, data: bytes) -> None:
        """Make an object durable: file and folder are on disk when this returns.

        Raises:
            OSError: it could not be written; nothing is left behind.
        """
        target = self.path(digest)
        with self._temporary(target) as (temporary, descriptor):
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
            os.replace(temporary, target)
        _sync_folder(target.parent)
        self._damaged.discard(digest)
        self._seen.add(digest)

    def copy_in(self, path: str) -> Digest:
        """Store a file without holding it in memory; durable when this returns.

        Raises:
            OSError: it could not be read or written.
        """
        known = digest_file(path)
        if known and self.has(known):
            return known
        hasher = blake3()
        staging = self.root / f"incoming-{os.getpid()}-{threading.get_ident()}"
        with self._temporary(staging) as (temporary, descriptor):
            for chunk in _chunks(path):
                hasher.update(chunk)
                view = memoryview(chunk)
                while view:
                    view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
            digest = str(hasher.hexdigest()[:32])
            target = self.path(digest)
            _make_folder(target.parent)
            os.replace(temporary, target)
        _sync_folder(target.parent)
        self._damaged.discard(digest)
        self._seen.add(digest)
        return digest

    def copy_out(self, digest: Digest, path: str, mode: int) -> None:
        """Put an object's bytes at a path, atomically.

        Raises:
            MissingObject: the object is absent or damaged; the path is as it was.
            OSError: the path cannot be written.
        """
        source = self.path(digest)
        hasher = blake3()
        temporary = f"{path}.nbrewind-{os.getpid()}"
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
            try:
                for chunk in _chunks(str(source)):
                    hasher.update(chunk)
                    view = memoryview(chunk)
                    while view:
                        view = view[os.write(descriptor, view) :]
                os.fchmod(descriptor, mode)
            finally:
                os.close(descriptor)
            if str(hasher.hexdigest()[:32]) != digest:
                self._damaged.add(digest)
                raise MissingObject(f"The object {digest} of the store is damaged; {path} is as it was.")
            os.replace(temporary, path)
        except FileNotFoundError as error:
            if not source.exists():
                raise MissingObject(f"The store has no object {digest}; {path} is as it was.") from error
            raise
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temporary)

    def sizes(self) -> tuple[int, int]:
        """Number of objects and their bytes."""
        count = total = 0
        for folder, _, names in os.walk(self.root):
            for name in names:
                with contextlib.suppress(OSError):
                    total += os.lstat(os.path.join(folder, name)).st_size
                    count += 1
        return count, total

    @contextlib.contextmanager
    def _temporary(self, target: Path) -> Iterator[tuple[str, int]]:
        _make_folder(target.parent)
        temporary = f"{target}.{os.getpid()}.{threading.get_ident()}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            yield temporary, descriptor
        finally:
            os.close(descriptor)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)


def digest_file(path: str) -> Digest:
    """The digest of a file's bytes, empty if it cannot be read."""
    hasher = blake3()
    try:
        for chunk in _chunks(path):
            hasher.update(chunk)
    except OSError:
        return ""
    return str(hasher.hexdigest()[:32])


def _chunks(path: str) -> Iterator[bytes]:
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _make_folder(path: Path) -> None:
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
        _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
