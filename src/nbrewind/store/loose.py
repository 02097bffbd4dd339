"""Loose objects, one file each: the contents of files, and all objects of format 1 (docs/format.md)."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from blake3 import blake3

from nbrewind.errors import MissingObject
from nbrewind.model import Digest
from nbrewind.store.points import reach

CHUNK = 4 << 20
"""Bytes read at a time when a file is hashed or copied."""

_FOLDER = re.compile(r"[0-9a-f]{2}")
_OBJECT = re.compile(r"[0-9a-f]{30}")
_TEMPORARY = re.compile(r"(?:[0-9a-f]{30}|incoming)\.[0-9a-f]{32}\.tmp")
_CANNOT_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP})
"""Errors of file systems that have no way to sync a folder."""


def digest_of(data: bytes | bytearray | memoryview) -> Digest:
    """The name of an object: 32 hexadecimal digits of BLAKE3."""
    return str(blake3(data).hexdigest()[:32])


class Loose:
    """The folder of loose objects of one store.  ``durable`` is False for one that ends with the process."""

    def __init__(self, root: Path, *, durable: bool = True) -> None:
        self.root = root
        self.durable = durable
        self._damaged: set[Digest] = set()
        self._seen: set[Digest] = set()
        self._whole: set[Digest] = set()
        self._verified: set[Digest] = set()

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

    def size(self, digest: Digest) -> int | None:
        """The bytes of an object; None where it is absent."""
        try:
            return self.path(digest).stat().st_size
        except OSError:
            return None

    def holds(self, digest: Digest, size: int) -> bool:
        """Whether an object is there with its whole length: one that was cut short is written again."""
        if digest in self._damaged:
            return False
        if digest not in self._whole:
            try:
                if self.path(digest).stat().st_size != size:
                    return False
            except OSError:
                return False
            self._whole.add(digest)
        return True

    def verify(self, digest: Digest) -> bool:
        """Whether an object's bytes have its name; found out once, without holding them in memory."""
        if digest in self._verified:
            return True
        found = digest_file(str(self.path(digest)))
        if found == digest:
            self._verified.add(digest)
        elif found:
            self._spoilt(digest)
        else:
            self._gone(digest)
        return found == digest

    def read(self, digest: Digest) -> bytes:
        """The bytes of an object, checked against its name.

        Raises:
            MissingObject: it is absent, unreadable or damaged.
        """
        try:
            data = self.path(digest).read_bytes()
        except OSError as error:
            self._gone(digest)
            raise MissingObject(
                f"The store has no object {digest} ({error.strerror}): what needs it runs again."
            ) from error
        if digest_of(data) != digest:
            self._spoilt(digest)
            raise MissingObject(f"The object {digest} of the store is damaged: what needs it runs again.")
        return data

    def write(self, digest: Digest, data: bytes) -> None:
        """Make an object durable: file and folder are on disk when this returns.

        Raises:
            OSError: it could not be written; nothing is left behind.
        """
        target = self.path(digest)
        with self._temporary(target) as (temporary, descriptor):
            _write_all(descriptor, data)
            self._publish(temporary, descriptor, target)
        self._there(digest)

    def copy_in(self, path: str, unless: Callable[[Digest], bool] = lambda digest: False) -> Digest:
        """Store a file without holding it in memory; durable when this returns.

        Nothing is stored ``unless`` says that its digest is stored elsewhere.

        Raises:
            OSError: it could not be read or written.
        """
        known = digest_file(path)
        if known and (self.has(known) or unless(known)):
            return known
        hasher = blake3()
        with self._temporary(self.root / "incoming") as (temporary, descriptor):
            for chunk in _chunks(path):
                hasher.update(chunk)
                _write_all(descriptor, chunk)
            digest = str(hasher.hexdigest()[:32])
            self._publish(temporary, descriptor, self.path(digest))
        self._there(digest)
        return digest

    def copy_out(self, digest: Digest, path: str, mode: int) -> None:
        """Put an object's bytes at a path, atomically.

        Raises:
            MissingObject: the object is absent or damaged; the path is as it was.
            OSError: the path cannot be written.
        """
        source = self.path(digest)
        hasher = blake3()
        try:
            with _replacing(path, mode) as descriptor:
                for chunk in _chunks(str(source)):
                    hasher.update(chunk)
                    _write_all(descriptor, chunk)
                if str(hasher.hexdigest()[:32]) != digest:
                    self._spoilt(digest)
                    raise MissingObject(f"The object {digest} of the store is damaged; {path} is as it was.")
        except FileNotFoundError as error:
            if not source.exists():
                self._gone(digest)
                raise MissingObject(f"The store has no object {digest}; {path} is as it was.") from error
            raise

    def sizes(self) -> tuple[int, int]:
        """Number of objects and their bytes, without what killed writers left."""
        count = total = 0
        for path in self._entries():
            if _OBJECT.fullmatch(path.name):
                with contextlib.suppress(OSError):
                    total += path.lstat().st_size
                    count += 1
        return count, total

    def digests(self) -> Iterator[Digest]:
        """The names of all objects, in order."""
        for path in self._entries():
            if _OBJECT.fullmatch(path.name):
                yield path.parent.name + path.name

    def leftovers(self) -> Iterator[Path]:
        """Temporary files: of writers at work, or killed."""
        return (path for path in self._entries() if _TEMPORARY.fullmatch(path.name))

    def clear(self) -> None:
        """Delete all objects and what killed writers left; whatever else lies there stays.

        Raises:
            OSError: something cannot be deleted.
        """
        for path in list(self._entries()):
            path.unlink(missing_ok=True)
        folders = [path for path in _listed(self.root) if _FOLDER.fullmatch(path.name)]
        for path in (*folders, self.root):
            _remove_empty(path)
        self._seen.clear()
        self._whole.clear()
        self._verified.clear()

    def _there(self, digest: Digest) -> None:
        self._damaged.discard(digest)
        self._seen.add(digest)
        self._whole.add(digest)

    def _gone(self, digest: Digest) -> None:
        self._seen.discard(digest)
        self._whole.discard(digest)
        self._verified.discard(digest)

    def _spoilt(self, digest: Digest) -> None:
        self._gone(digest)
        self._damaged.add(digest)

    def _entries(self) -> Iterator[Path]:
        """Files that are ours: objects and temporary files."""
        for path in _listed(self.root):
            if _TEMPORARY.fullmatch(path.name):
                yield path
            elif _FOLDER.fullmatch(path.name):
                for inner in _listed(path):
                    if _OBJECT.fullmatch(inner.name) or _TEMPORARY.fullmatch(inner.name):
                        yield inner

    @contextlib.contextmanager
    def _temporary(self, target: Path) -> Iterator[tuple[str, int]]:
        """A new file beside ``target``, gone at the end unless it was published.

        Processes of several hosts and containers may share a store, so that process numbers
        would not tell their files apart.
        """
        _make_folder(target.parent)
        temporary = f"{target}.{uuid.uuid4().hex}.tmp"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        reach("loose begun")
        try:
            yield temporary, descriptor
        finally:
            os.close(descriptor)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)

    def _publish(self, temporary: str, descriptor: int, target: Path) -> None:
        """Give a finished file its name: bytes first, then the name, both on disk at the end."""
        reach("loose written")
        if self.durable:
            os.fsync(descriptor)
        reach("loose synced")
        _make_folder(target.parent)
        os.replace(temporary, target)
        reach("loose named")
        if self.durable:
            sync_folder(target.parent)


def put_bytes(data: bytes, path: str, mode: int) -> None:
    """Make a file of bytes, atomically.

    Raises:
        OSError: the path cannot be written; it is as it was.
    """
    put_chunks([data], path, mode)


def put_chunks(chunks: Iterable[bytes], path: str, mode: int) -> None:
    """Make a file of bytes that come in pieces, atomically.

    Raises:
        OSError: they cannot be had, or the path cannot be written; it is as it was.
    """
    with _replacing(path, mode) as descriptor:
        for chunk in chunks:
            _write_all(descriptor, chunk)


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


@contextlib.contextmanager
def _replacing(path: str, mode: int) -> Iterator[int]:
    """A descriptor whose file takes the place of ``path`` unless something raises."""
    temporary = f"{path}.nbrewind-{os.getpid()}"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        try:
            yield descriptor
            os.fchmod(descriptor, mode)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError as error:
        # Somebody else's files are in it, or it is a link to a larger disk.
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.ENOENT}:
            raise


def _make_folder(path: Path) -> None:
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable, where the file system can.

    Raises:
        OSError: they are not.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
    finally:
        os.close(descriptor)
