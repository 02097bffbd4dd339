"""Which paths are state of a notebook (R6)."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest

from nbrewind.flow.files import FileWatch


def refuse(*given: object) -> str:
    raise AssertionError(given)


@pytest.mark.parametrize("kind", ["stdlib", "platstdlib", "purelib"])
def test_folders_of_installed_packages_are_no_state(kind: str, tmp_path: Path) -> None:
    """A virtual environment may lie below the notebook's folder: each site has one of its own."""
    watch = FileWatch(tmp_path, store_file=refuse, digest_file=refuse)
    folder = sysconfig.get_path(kind)
    assert not watch.tracked(folder)
    assert not watch.tracked(f"{folder}/a.py")
    assert watch.tracked(str(tmp_path / "a.py"))
