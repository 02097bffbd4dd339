"""Which notebook a kernel runs, where nobody told it: nbclient and papermill send cells and no path."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_MOST = 200
"""Notebooks of a folder that are looked at."""


def notebook_of(folder: Path, executed: Sequence[str]) -> str:
    """The notebook in ``folder`` that begins with the cells executed so far; empty where there is none.

    Of several the one that was written last: papermill writes its output after every cell.
    """
    wanted = [source.strip() for source in executed if source.strip()]
    if not wanted:
        return ""
    fitting = []
    for path in sorted(folder.glob("*.ipynb"))[:_MOST]:
        try:
            found = _sources(json.loads(path.read_text(encoding="utf-8")))
            if found[: len(wanted)] == wanted:
                fitting.append((path.stat().st_mtime_ns, str(path)))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            continue  # not a notebook, or one that is being written
    return max(fitting)[1] if fitting else ""


def _sources(notebook: dict[str, Any]) -> list[str]:
    sources = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            source = cell["source"]
            sources.append((source if isinstance(source, str) else "".join(source)).strip())
    return [source for source in sources if source]
