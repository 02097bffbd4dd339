"""Records and stores made by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nbrewind.model import Commit, Delta, Record, Trace, Version
from nbrewind.store import Store

TESTS = str(Path(__file__).resolve().parents[1])
"""For processes that import what tests share."""


def record(name: str, *images: str, key: str = "k", outputs: str = "") -> Record:
    """A record that needs these objects."""
    names = {f"x{index}": Version(digest=image, image=image) for index, image in enumerate(images)}
    return Record(
        id=name, source_key=key, source="", trace=Trace(), delta=Delta(names=names), outputs=outputs
    )


def commit(name: str, of: str, parent: str = "", run: str = "r") -> Commit:
    """A commit of a record."""
    return Commit(
        id=name, parent=parent, run=run, record=of, action="executed", execution_count=1, cell_id="", index=0,
        created=0.0,
    )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "store")
    yield opened
    opened.close()
