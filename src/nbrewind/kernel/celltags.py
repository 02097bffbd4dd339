"""The tags of a cell in a live kernel: front ends send a cell's id, and the notebook's file has the tags."""

from __future__ import annotations

import json
from pathlib import Path

_SOURCE = "source:"


class CellTags:
    """Tags by cell id as they were last saved; read again when the file changed."""

    def __init__(self, notebook: str) -> None:
        self.path = Path(notebook) if notebook else None
        self._seen: tuple[int, int] = (0, 0)
        self._tags: dict[str, tuple[str, ...]] = {}

    def of(self, cell_id: str | None, source: str = "") -> tuple[str, ...]:
        """The tags of a cell, none where the notebook, the file or the cell is not known.

        A cell whose id is not known has the tags of all cells that have its source.
        """
        if self.path is None or not (cell_id or source):
            return ()
        try:
            info = self.path.stat()
            if (info.st_mtime_ns, info.st_size) != self._seen:
                self._tags = _tags_of(json.loads(self.path.read_bytes()))
                self._seen = info.st_mtime_ns, info.st_size
        except (OSError, ValueError):
            return ()  # it is being saved, or is no notebook yet: the next cell looks again
        return self._tags.get(cell_id or "", self._tags.get(_SOURCE + source.strip(), ()))


def _tags_of(notebook: object) -> dict[str, tuple[str, ...]]:
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    found: dict[str, tuple[str, ...]] = {}
    for cell in cells if isinstance(cells, list) else ():
        if not isinstance(cell, dict):
            continue
        metadata, source = cell.get("metadata"), cell.get("source", "")
        named = metadata.get("tags") if isinstance(metadata, dict) else None
        tags = tuple(str(tag) for tag in named) if isinstance(named, list) else ()
        if isinstance(cell.get("id"), str):
            found[cell["id"]] = tags
        key = _SOURCE + (source if isinstance(source, str) else "".join(source)).strip()
        found[key] = (*found.get(key, ()), *tags)
    return found
