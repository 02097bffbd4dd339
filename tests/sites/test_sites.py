"""Packed at one site, looked at and repeated at another, changed there, packed and repeated at the first again.

``make test-sites``: needs root, mmdebstrap and some minutes the first time.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sites.second_site import HOME, REPOSITORY, USER, Site

pytestmark = [
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        not os.environ.get("NBREWIND_SITES"),
        reason="a second root file system is made by `make test-sites` only",
    ),
]

EDITS = {"mapreduce": ("months.round(3)", "months.round(2)"), "convolution": None}
"""Example -> an edit of a cell that needs no engine."""

ELSEWHERE = ("--engine", "none", "--env", "any")
"""No engine is installed there, and NumPy and pandas are the newest, not those of the first site."""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """The other site, with an empty home."""
    found = Site.make(REPOSITORY / ".site-trixie")
    found.refresh()
    for path in found.home.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    yield found


def here(*arguments: str, folder: Path) -> dict[str, Any]:
    """One verb at the first site."""
    done = subprocess.run(
        [sys.executable, "-m", "nbrewind", *arguments, "--json"], cwd=folder, capture_output=True, text=True
    )
    assert done.stdout, done.stderr
    content: dict[str, Any] = json.loads(done.stdout)
    return content


def outputs(notebook: Path) -> list[Any]:
    """What its cells show: displays and errors in order, and the text of each stream, however it was cut."""
    cells = json.loads(notebook.read_text())["cells"]
    found: list[Any] = []
    for cell in cells:
        streams: dict[str, str] = {}
        for output in cell.get("outputs", []):
            if output["output_type"] == "stream":
                streams[output["name"]] = streams.get(output["name"], "") + "".join(output["text"])
        shown = [{**one, "execution_count": 0} for one in cell.get("outputs", []) if "text" not in one]
        found.append((streams, shown))
    return found


def executed(content: dict[str, Any]) -> list[int]:
    """Cells of which code ran."""
    return [cell["index"] for cell in content["cells"] if cell["action"] not in {"restored", "skipped"}]


@pytest.mark.parametrize("name", EDITS)
def test_there_and_back(site: Site, tmp_path: Path, name: str) -> None:
    # at the first site
    notebook = tmp_path / f"{name}.ipynb"
    shutil.copy(REPOSITORY / "examples" / notebook.name, notebook)
    assert here("audit", notebook.name, folder=tmp_path)["status"] == "ok"
    here("pack", notebook.name, "-o", f"{name}.zip", folder=tmp_path)

    # at the second one
    shutil.copy(tmp_path / f"{name}.zip", site.home)
    assert site.enter("python3", "-c", "import dask", check=False).returncode, "there is no engine"
    assert site.nbrewind("verify", f"{name}.zip")["sound"]
    repeated = site.nbrewind("repeat", f"{name}.zip", "--trust", *ELSEWHERE)
    assert repeated["status"] == "ok" and executed(repeated) == [], repeated["cells"]
    there = site.home / f"{name}-repeat"
    assert outputs(there / notebook.name) == outputs(notebook)
    edit = EDITS[name]
    if edit is not None:
        content = (there / notebook.name).read_text()
        assert edit[0] in content
        (there / notebook.name).write_text(content.replace(*edit))
        changed = site.nbrewind("repeat", notebook.name, *ELSEWHERE, folder=f"{HOME}/{there.name}")
        assert changed["status"] == "ok" and len(executed(changed)) == 1, changed["cells"]
    site.nbrewind("pack", notebook.name, "-o", f"../{name}-back.zip", folder=f"{HOME}/{there.name}")

    # and at the first again
    shutil.copy(site.home / f"{name}-back.zip", tmp_path)
    back = here("repeat", f"{name}-back.zip", "--trust", *ELSEWHERE, "--into", "back", folder=tmp_path)
    assert back["status"] == "ok" and executed(back) == [], back["cells"]
    assert outputs(tmp_path / "back" / notebook.name) == outputs(there / notebook.name)
    assert USER not in str(tmp_path)
