"""The scripts behind ``make test-crate``, ``test-taskvine`` and ``test-slurm`` succeed where they cannot run, and say why."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]


def run(script: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A script with these variables beside the present ones."""
    command = ["bash", str(TESTS / script / "run.sh"), *arguments]
    here = {**os.environ, **variables}
    return subprocess.run(command, env=here, capture_output=True, text=True, timeout=250)


@pytest.mark.parametrize("script", ["taskvine", "slurm"])
def test_without_root_or_tools(script: str, tmp_path: Path) -> None:
    for tool in ("bash", "dirname", "id"):
        found = shutil.which(tool)
        assert found
        (tmp_path / tool).symlink_to(found)
    done = run(script, sys.executable, PATH=str(tmp_path))
    assert done.returncode == 0 and done.stderr.startswith("skipped: "), done.stderr
    assert any(word in done.stderr for word in ("root", "not installed"))


@pytest.mark.slow
def test_without_an_index(tmp_path: Path) -> None:
    done = run("crate", sys.executable, str(tmp_path / "env"), PIP_NO_INDEX="1", PIP_CONFIG_FILE="/dev/null")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("skipped: pip cannot install"), done.stderr
