"""Objects: bytes named by their digest, in packs or loose, found wherever they lie whole."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from blake3 import blake3

from nbrewind.model import Digest
from nbrewind.store import filesystem, mapping, pack
from nbrewind.store.lease import LOOSE
from nbrewind.store.loose import CHUNK, Loose, digest_of, put_chunks
from nbrewind.store.mapping import Part, Region
from nbrewind.store.pack import Location

LOOSE_FOLDER = "objects"
PACK_FOLDER = "packs"

MAPPED = 256 << 10
"""Bytes from which a buffer is mapped rather than read."""

MOST_OPEN = 128
"""Packs that are open at a time; what is mapped does not need them."""

Lookup = Callable[[Digest], list[Location]]
"""Where the catalog says that an object lies."""

Hold = Callable[[Iterable[str]], bool]
"""Takes leases of packs; True if what was looked up may be old."""


class Objects:
    """The objects of one store, as one process sees them; what it relies on it holds by leases."""

    def __init__(self, folder: Path, lookup: Lookup, hold: Hold) -> None:
        self.loose = Loose(folder / LOOSE_FOLDER)
        self._packs = folder / PACK_FOLDER
        self._maps = mapping.SUPPORTED and not filesystem.remote(folder)
        self._lookup = lookup
        self._hold = hold
        self._places: dict[Digest, Location] = {}
        self._bad: set[Location] = set()
        self._verified: set[Location] = set()
        self._open: dict[str, int] = {}
        self._lock = threading.RLock()

    def find(self, digest: Digest) -> Location | None:
        """Where an object lies in a pack, whole as far as its length tells; held from now on."""
        known = self._places.get(digest)
        if known is not None:
            return known
        places = self._lookup(digest)
        if places and self._hold(place.pack for place in places):
            places = self._lookup(digest)
        for place in places:
            if place not in self._bad and self._reaches(place):
                self._places[digest] = place
                return place
        return None

    def has(self, digest: Digest) -> bool:
        """Whether an object is there; False for one that was found damaged."""
        if self.find(digest) is not None:
            return True
        return self.loose.has(digest) and self._held_loose(digest)

    def size(self, digest: Digest) -> int | None:
        """The bytes of an object; None where it is absent."""
        place = self.find(digest)
        return self.loose.size(digest) if place is None else place.length

    def holds(self, digest: Digest, size: int) -> bool:
        """Whether an object is there with its whole length: one that was cut short is written again."""
        place = self.find(digest)
        if place is not None:
            return place.length == size
        return self.loose.holds(digest, size) and self._held_loose(digest)

    def knows(self, digest: Digest, size: int) -> bool:
        """``holds``, as far as it is known without asking the catalog."""
        place = self._places.get(digest)
        return place is not None and place.length == size

    def read(self, digest: Digest) -> bytes:
        """The bytes of an object, checked against its name.

        Raises:
            MissingObject: it is absent, unreadable or damaged.
        """
        while (place := self.find(digest)) is not None:
            data = self._bytes(place)
            if data is not None and digest_of(data) == digest:
                self._verified.add(place)
                return data
            self._spoilt(digest, place)
        self._hold([LOOSE])
        return self.loose.read(digest)

    def verify(self, digest: Digest) -> bool:
        """Whether an object's bytes have its name; found out once, in pieces."""
        while (place := self.find(digest)) is not None:
            if self.sound(digest, place):
                return True
            self._spoilt(digest, place)
        return self.loose.verify(digest)

    def sound(self, digest: Digest, place: Location) -> bool:
        """Whether the bytes at a place have a digest."""
        if place not in self._verified:
            hasher = blake3()
            with contextlib.suppress(OSError):
                for chunk in self.chunks(place):
                    hasher.update(chunk)
                if hasher.hexdigest()[:32] == digest:
                    self._verified.add(place)
        return place in self._verified

    def region(self, digests: Sequence[Digest]) -> Region | None:
        """Whole objects one after the other in memory of its own; None where reading is better.

        They are verified before anybody sees them: nobody could afterwards.
        """
        places = [place for place in map(self.find, digests) if place is not None]
        size = sum(place.length for place in places)
        scattered = len({place.pack for place in places}) > MOST_OPEN // 2
        if not self._maps or len(places) < len(digests) or size < MAPPED or scattered:
            return None
        if not all(self.sound(digest, place) for digest, place in zip(digests, places, strict=True)):
            return None
        try:
            with self._lock:
                return Region([Part(self._file(one.pack), one.offset, one.length) for one in places])
        except OSError:
            return None

    def copy_out(self, digest: Digest, path: str, mode: int) -> None:
        """Put an object's bytes at a path, atomically.

        Raises:
            MissingObject: the object is absent or damaged; the path is as it was.
            OSError: the path cannot be written.
        """
        if self.verify(digest) and (place := self.find(digest)) is not None:
            put_chunks(self.chunks(place), path, mode)
        else:
            self.loose.copy_out(digest, path, mode)

    def put_file(self, path: str) -> Digest:
        """Store a file without holding it in memory; durable when this returns.

        Raises:
            OSError: it could not be read or written.
        """
        self._hold([LOOSE])
        return self.loose.copy_in(path, unless=lambda digest: self.find(digest) is not None)

    def written(self, digest: Digest, place: Location) -> None:
        """An object was made durable by this process, which holds the pack."""
        self._bad.discard(place)
        self._places[digest] = place

    def chunks(self, place: Location) -> Iterator[bytes]:
        """The bytes at a place, piece by piece.

        Raises:
            OSError: they cannot be read.
        """
        position, end = place.offset, place.offset + place.length
        while position < end:
            with self._lock:
                chunk = os.pread(self._file(place.pack), min(CHUNK, end - position), position)
            if not chunk:
                raise OSError(f"the pack {place.pack} ends too early")
            yield chunk
            position += len(chunk)

    def close(self) -> None:
        """Let go of all files, and of what was known: the leases go too."""
        with self._lock:
            while self._open:
                os.close(self._open.popitem()[1])
            self._places.clear()
            self._verified.clear()

    def forked(self) -> None:
        """In a forked child: the lock may be held by a thread that does not exist here."""
        self._lock = threading.RLock()

    def _bytes(self, place: Location) -> bytes | None:
        try:
            return b"".join(self.chunks(place))
        except OSError:
            return None

    def _file(self, name: str) -> int:
        descriptor = self._open.get(name)
        if descriptor is None:
            if len(self._open) >= MOST_OPEN:
                os.close(self._open.pop(next(iter(self._open))))
            path = self._packs / (name + pack.SUFFIX)
            descriptor = self._open[name] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return descriptor

    def _reaches(self, place: Location) -> bool:
        try:
            with self._lock:
                return os.fstat(self._file(place.pack)).st_size >= place.offset + place.length
        except OSError:
            return False

    def _held_loose(self, digest: Digest) -> bool:
        return not self._hold([LOOSE]) or self.loose.path(digest).is_file()

    def _spoilt(self, digest: Digest, place: Location) -> None:
        self._bad.add(place)
        self._verified.discard(place)
        self._places.pop(digest, None)
