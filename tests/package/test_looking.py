"""Verbs that look take a package where they take a notebook, and say what is meant where they cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from package.conftest import Command, make_package


@pytest.mark.parametrize("name", ["paper", "paper.zip"])
def test_history_of_a_package(nbrewind: Command, folder: Path, name: str) -> None:
    package = make_package(folder / name)
    (run,) = nbrewind("log", package, "--json").json["runs"]
    assert run["cells"] == 1
    assert nbrewind("show", package, "--json").json["run"]["id"] == run["id"]
    assert len(nbrewind("tasks", package, "--json").json["tasks"]) == 1


def test_a_zip_file_is_no_notebook(nbrewind: Command, folder: Path) -> None:
    package = make_package(folder / "paper.zip")
    for verb in ("plan", "audit"):
        refused = nbrewind(verb, package)
        assert refused.code == 3 and f"nbrewind unpack {package}" in refused.err


def test_a_place_that_is_taken_is_told_before_anything_is_read(nbrewind: Command, folder: Path) -> None:
    package = make_package(folder / "paper")
    refused = nbrewind("pack", folder / "none.ipynb", "-o", package, "--store", package)
    assert refused.code == 4 and "exists already" in refused.err
