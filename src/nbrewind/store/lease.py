"""Leases: what keeps deletion away from what somebody uses.

Two kinds, both ending with their process however that ends.  A shared ``flock`` on the store's
folder says that somebody has the store open: repair and migration need it for themselves.  A
shared lock of one byte in the file ``leases`` says that somebody relies on one pack, record or
run: the collection of garbage passes over these and works beside living kernels.  Where the
file system has no locks nobody can be alone, so nothing is ever deleted there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from blake3 import blake3

from nbrewind.errors import StoreError

NAME = "leases"
LOOSE = "loose"
"""The one lease on all loose objects."""

_GATE = 0
"""The byte that is held while a lease is taken, and alone while rows are deleted."""
_FLOCK = struct.Struct("hhqqi4x")
_HAS_RANGES = hasattr(fcntl, "F_OFD_SETLKW")


class Lease:
    """One user's leases of a store; taken and given back any number of times."""

    def __init__(self, folder: Path, *, store: bool = True) -> None:
        """``store`` is False for leases of parts beside one of the store that somebody else has."""
        self._folder = folder
        self._store = store
        self._descriptor: int | None = None
        self._ranges: int | None = None
        self._held: set[str] = set()
        self._lock = threading.RLock()

    def take(self) -> None:
        """Hold the store.  Waits while somebody deletes in it."""
        with self._lock:
            if self._descriptor is not None:
                return
            try:
                descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError:
                return  # whoever reads or writes next tells that the folder is gone
            if self._store:
                with contextlib.suppress(OSError):  # no locks here: nothing is deleted here either
                    fcntl.flock(descriptor, fcntl.LOCK_SH)
            self._descriptor = descriptor
            self._ranges = _opened(self._folder)

    def hold(self, names: Iterable[str]) -> bool:
        """Rely on packs, records or runs from now on.

        True if any of them was not held before: what was known of it may have been deleted
        meanwhile and must be looked up again.
        """
        with self._lock:
            wanted = [name for name in names if name not in self._held]
            if not wanted:
                return False
            self.take()
            if self._ranges is not None:
                with contextlib.suppress(OSError), _gate(self._ranges, fcntl.F_RDLCK):
                    for name in wanted:
                        _lock(self._ranges, fcntl.F_RDLCK, _byte(name))
            self._held.update(wanted)
            return True

    def release(self) -> None:
        """Let others delete."""
        with self._lock:
            for descriptor in (self._descriptor, self._ranges):
                if descriptor is not None:
                    os.close(descriptor)
            self._descriptor = self._ranges = None
            self._held.clear()

    def forked(self) -> None:
        """In a forked child: the lock may be held by a thread that does not exist here."""
        self._lock = threading.RLock()


class Others(Protocol):
    """What other processes rely on, asked by who is about to delete."""

    def rely_on(self, name: str) -> bool:
        """Whether somebody holds a pack, a record, a run, or ``LOOSE``."""

    def kept_out(self) -> AbstractContextManager[None]:
        """Nobody begins to rely on anything meanwhile; they wait."""


class Nobody:
    """There are no others."""

    def rely_on(self, name: str) -> bool:
        """Nobody does."""
        return False

    @contextlib.contextmanager
    def kept_out(self) -> Iterator[None]:
        """Nobody has to wait."""
        yield


class Neighbours:
    """Those whose byte locks one can see."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def rely_on(self, name: str) -> bool:
        """Whether anybody but this descriptor holds a byte."""
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _byte(name), 1, 0)
        answer = fcntl.fcntl(self._descriptor, fcntl.F_OFD_GETLK, asked)
        return int(_FLOCK.unpack(answer)[0]) != fcntl.F_UNLCK

    @contextlib.contextmanager
    def kept_out(self) -> Iterator[None]:
        """Hold the gate that every new lease passes."""
        with _gate(self._descriptor, fcntl.F_WRLCK):
            yield


class NoLocksError(StoreError):
    """The file system or the platform cannot lock single bytes."""


@contextlib.contextmanager
def beside(folder: Path) -> Iterator[Others]:
    """See what processes rely on that use the store.

    Raises:
        NoLocksError: nobody can know that here.
    """
    descriptor = _opened(folder)
    try:
        if descriptor is None:
            raise NoLocksError(f"The store at {folder} has no leases.")
        neighbours = Neighbours(descriptor)
        try:
            neighbours.rely_on(LOOSE)
        except OSError as error:
            raise NoLocksError(
                f"The file system of {folder} cannot lock bytes ({error.strerror})."
            ) from error
        yield neighbours
    finally:
        if descriptor is not None:
            os.close(descriptor)


@contextlib.contextmanager
def deleting(folder: Path) -> Iterator[Others]:
    """Delete: beside processes that use the store where their leases can be seen, else alone.

    Raises:
        StoreError: somebody has it open and nobody can know what it relies on.
    """
    with contextlib.ExitStack() as stack:
        try:
            others = stack.enter_context(beside(folder))
        except NoLocksError:
            stack.enter_context(alone(folder))
            others = Nobody()
        else:
            user = Lease(folder)
            user.take()
            stack.callback(user.release)
        yield others


@contextlib.contextmanager
def alone(folder: Path, what: str = "nothing was deleted") -> Iterator[None]:
    """Nobody else has the store open meanwhile; who opens it waits.

    Raises:
        StoreError: somebody has it open, or the file system has no locks.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StoreError(f"The store at {folder} cannot be opened ({error.strerror}).") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(
                f"The store at {folder} is in use by a kernel or a command: {what}. "
                "Shut the kernels down that use it, and try again."
            ) from error
        except OSError as error:
            raise StoreError(
                f"The file system of {folder} cannot lock folders ({error.strerror}), so nobody can know "
                f"whether a kernel uses the store: {what}."
            ) from error
        yield
    finally:
        os.close(descriptor)


def make(folder: Path) -> None:
    """Make the file whose bytes are locked; it stays empty.

    Raises:
        OSError: it cannot be made.
    """
    os.close(os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _opened(folder: Path) -> int | None:
    """The file of byte locks; for reading where it cannot be written, None where there is none."""
    if not _HAS_RANGES:
        return None
    for mode in (os.O_RDWR, os.O_RDONLY):
        with contextlib.suppress(OSError):
            return os.open(folder / NAME, mode | os.O_CLOEXEC)
    return None


@contextlib.contextmanager
def _gate(descriptor: int, kind: int) -> Iterator[None]:
    _lock(descriptor, kind, _GATE)
    try:
        yield
    finally:
        _lock(descriptor, fcntl.F_UNLCK, _GATE)


def _lock(descriptor: int, kind: int, byte: int) -> None:
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLKW, _FLOCK.pack(kind, os.SEEK_SET, byte, 1, 0))


def _byte(name: str) -> int:
    return 1 + int.from_bytes(blake3(name.encode("utf-8", "surrogateescape")).digest(7), "big")
