"""Outside validators look at a package: rocrate-validator on five profiles, and runcrate (``make test-crate``)."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from package.conftest import make_package

PYTHON = os.environ.get("NBREWIND_CRATE_PYTHON", "")

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(not PYTHON, reason="the validators have an environment of their own: make test-crate"),
]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small package."""
    return make_package(tmp_path_factory.mktemp("crate") / "paper")


def test_no_required_issue_in_any_profile(package: Path) -> None:
    script = Path(__file__).with_name("validate.py")
    done = subprocess.run([PYTHON, str(script), str(package)], capture_output=True, text=True)
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == 5 and not any(found.values()), done.stdout


def test_runcrate_lists_run_and_cells(package: Path) -> None:
    done = subprocess.run(
        [Path(PYTHON).with_name("runcrate"), "report", str(package)], capture_output=True, text=True
    )
    assert "action: #run" in done.stdout and "step: workflow/x.ipynb#step-c0" in done.stdout, done.stderr
