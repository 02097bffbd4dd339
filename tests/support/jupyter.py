"""Kernelspecs of the tests' own, in a Jupyter folder of the tests' own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

FAKE = Path(__file__).with_name("fake_kernel.py")


def add_spec(folder: Path, name: str, **content: Any) -> Path:
    """Write a kernelspec below ``folder`` (a Jupyter data folder)."""
    target = folder / "kernels" / name
    target.mkdir(parents=True)
    content = {"display_name": name, "language": "python", "metadata": {"debugger": True}} | content
    (target / "kernel.json").write_text(json.dumps(content), "utf-8")
    return target


@pytest.fixture
def jupyter_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Jupyter data folder that Jupyter searches, and that is the user's own."""
    folder = tmp_path / "jupyter-data"
    folder.mkdir()
    monkeypatch.setenv("JUPYTER_PATH", str(folder))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "user-data"))
    return folder


@pytest.fixture
def fake_kernel(jupyter_data: Path) -> str:
    """The name of an installed fake kernel."""
    ours = ["nbrewind.kernel", "--mode", "audit"]
    add_spec(
        jupyter_data, "nbrewind-fake", argv=[sys.executable, str(FAKE), *ours, "-f", "{connection_file}"]
    )
    return "nbrewind-fake"
