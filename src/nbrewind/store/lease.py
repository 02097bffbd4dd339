"""Leases: what keeps the collection of garbage away from a store that somebody uses.

A lease is a shared ``flock`` on the store's folder, held for as long as a process has the
store open; it ends with the process, however that ends, and leaves no file.  Whoever deletes
takes the lock for itself.  Where a folder cannot be locked (some network file systems), nobody
can be alone, so nothing is ever deleted there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from nbrewind.errors import StoreError


class Lease:
    """One user's lease of a store; taken and given back any number of times."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor: int | None = None

    def take(self) -> None:
        """Hold the store.  Waits while somebody deletes in it."""
        if self._descriptor is not None:
            return
        try:
            descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return  # whoever reads or writes next tells that the folder is gone
        with contextlib.suppress(OSError):  # no locks here: nothing is deleted here either
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        self._descriptor = descriptor

    def release(self) -> None:
        """Let others delete."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Nobody else has the store open meanwhile; who opens it waits.

    Raises:
        StoreError: somebody has it open, or the file system has no locks.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise StoreError(f"The store at {folder} cannot be opened ({error.strerror}).") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(
                f"The store at {folder} is in use by a kernel or a command: nothing was deleted. "
                "Shut the kernels down that use it, and try again."
            ) from error
        except OSError as error:
            raise StoreError(
                f"The file system of {folder} cannot lock folders ({error.strerror}), so nobody can know "
                "whether a kernel uses the store: nothing was deleted."
            ) from error
        yield
    finally:
        os.close(descriptor)
