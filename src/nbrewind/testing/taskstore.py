"""A store of tasks in memory, for tests of engines without a notebook's store."""

from __future__ import annotations

from blake3 import blake3

from nbrewind.errors import MissingObject
from nbrewind.model import TaskEntry


class MemoryTaskStore:
    """Objects and task entries in dictionaries."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.entries: dict[str, list[TaskEntry]] = {}

    def put(self, data: bytes | bytearray | memoryview) -> str:
        """Keep bytes."""
        raw = bytes(data)
        digest = blake3(raw).hexdigest()[:32]
        self.objects[digest] = raw
        return digest

    def get(self, digest: str) -> bytes:
        """Bytes that were kept."""
        try:
            return self.objects[digest]
        except KeyError:
            raise MissingObject(digest) from None

    def has(self, digest: str) -> bool:
        """Whether bytes are kept."""
        return digest in self.objects

    def add_task(self, entry: TaskEntry) -> None:
        """Append an entry."""
        self.entries.setdefault(entry.key, []).append(entry)

    def tasks(self, key: str) -> list[TaskEntry]:
        """Entries of a key, oldest first."""
        return list(self.entries.get(key, []))
