"""A store of tasks that outlives its process, for tests of the task layer alone."""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec

from nbrewind.errors import MissingObject
from nbrewind.model import TaskEntry
from nbrewind.testing.taskstore import MemoryTaskStore


class FolderTaskStore(MemoryTaskStore):
    """The same, each object and entry on disk before the call returns."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        (folder / "objects").mkdir(parents=True, exist_ok=True)
        log = folder / "log.jsonl"
        for line in log.read_text().splitlines() if log.exists() else ():
            if line.endswith("}"):
                super().add_task(msgspec.convert(json.loads(line), TaskEntry))

    def put(self, data: bytes | bytearray | memoryview) -> str:
        digest = super().put(data)
        path = self.folder / "objects" / digest
        if not path.exists():
            temporary = path.with_suffix(".tmp")
            temporary.write_bytes(bytes(data))
            temporary.replace(path)
        return digest

    def get(self, digest: str) -> bytes:
        try:
            return (self.folder / "objects" / digest).read_bytes()
        except FileNotFoundError:
            raise MissingObject(digest) from None

    def has(self, digest: str) -> bool:
        return (self.folder / "objects" / digest).exists()

    def add_task(self, entry: TaskEntry) -> None:
        super().add_task(entry)
        with open(self.folder / "log.jsonl", "ab") as log:
            log.write(json.dumps(msgspec.to_builtins(entry)).encode() + b"\n")
            log.flush()
            os.fsync(log.fileno())
