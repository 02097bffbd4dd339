"""Digests of files that tasks read, the same on both sides: here and on a worker.

Where a worker has no BLAKE3 it uses BLAKE2b and marks the digest; this side then
computes the same kind.  Digests are cached by (device, inode, size, mtime, ctime);
entries younger than two seconds when cached are not trusted (R6).
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
import time
from pathlib import Path

from blake3 import blake3

from nbrewind.flow.code import hash_parts
from nbrewind.model import ABSENT, Digest, FileState

MARK = "b2:"
"""Prefix of digests made with BLAKE2b."""
_BLOCK = 1 << 20
_TRUST_AFTER = 2.0
_Signature = tuple[int, int, int, int, int]


class FileDigests:
    """What paths hold now, with a cache of content digests.  Thread-safe."""

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.abspath(root))
        self._cache: dict[tuple[_Signature, bool], Digest] = {}
        self._lock = threading.Lock()

    def absolute(self, path: str) -> str:
        """The path on this machine of a path as entries hold it."""
        return os.path.normpath(os.path.join(self.root, path))

    def portable(self, path: str) -> str:
        """A path as entries hold it: relative below the notebook's folder, else absolute."""
        full = os.path.normpath(os.path.join(self.root, path))
        prefix = str(self.root).rstrip("/") + "/"
        return full[len(prefix) :] if full.startswith(prefix) else full

    def folder(self) -> str:
        """The working folder as paths are in entries; empty where it is the notebook's own."""
        try:
            now = os.getcwd()
        except FileNotFoundError:
            return "?"
        return "" if now == str(self.root) else self.portable(now)

    def state(self, path: str, *, marked: bool = False) -> FileState:
        """What a path holds; unreadable counts as absent.  ``marked`` asks for BLAKE2b."""
        full = self.absolute(path)
        try:
            info = os.stat(full)
        except OSError:
            return ABSENT
        mode = stat.S_IMODE(info.st_mode)
        if stat.S_ISDIR(info.st_mode):
            return FileState("dir", listing_digest(full), 0, mode)
        if not stat.S_ISREG(info.st_mode):
            return FileState("file", "special", 0, mode)
        signature = (info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
        key = (signature, marked)
        with self._lock:
            known = self._cache.get(key)
        if known is None:
            try:
                known = file_digest(full, marked=marked)
            except OSError:
                return ABSENT
            if time.time() - max(info.st_mtime, info.st_ctime) > _TRUST_AFTER:
                with self._lock:
                    self._cache[key] = known
        return FileState("file", known, info.st_size, mode)

    def holds(self, path: str, wanted: FileState) -> bool:
        """Whether a path still holds what a trace says."""
        now = self.state(path, marked=wanted.digest.startswith(MARK))
        return now.kind == wanted.kind and now.digest == wanted.digest


def file_digest(path: str, *, marked: bool = False) -> Digest:
    """Digest of a file's content: BLAKE3, or BLAKE2b with the mark.

    Raises:
        OSError: the file cannot be read.
    """
    hasher = hashlib.blake2b(digest_size=16) if marked else blake3()
    with open(path, "rb") as source:
        while block := source.read(_BLOCK):
            hasher.update(block)
    return (MARK if marked else "") + hasher.hexdigest()[:32]


def listing_digest(path: str) -> Digest:
    """Digest of the names in a folder; the same computation stands in the worker's wrapper."""
    try:
        names = sorted(os.listdir(path))
    except OSError:
        return "unreadable"
    text = "\0".join(names).encode("utf-8", "surrogateescape")
    return MARK + hashlib.blake2b(text, digest_size=16).hexdigest()


def states_digest(states: dict[str, FileState]) -> Digest:
    """One digest for several paths and what they hold."""
    return hash_parts(*(f"{path}\0{state.kind}\0{state.digest}" for path, state in sorted(states.items())))
