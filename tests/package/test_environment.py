"""The environment of a run: recorded, written for pip and conda, compared with another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import yaml

from nbrewind.flow import installed
from nbrewind.model import Distribution, Environment
from nbrewind.package import environment
from package.conftest import Command, make_package

THEN = Environment(
    *("3.12.1", "CPython", "Linux", "x86_64", "glibc 2.36", "venv", "0"),
    distributions=(
        Distribution("alpha", "1.2.3"),
        Distribution("beta", "2.0", url="git+https://example.org/beta", hash="abc123"),
        Distribution("gamma", "3.0", url="https://example.org/g.whl", hash="sha256=00ff", subfolder="x"),
        Distribution("mine", "0.1", local="editable", content="1" * 32),
    ),
)


def test_what_is_installed_here() -> None:
    here = installed.environment()
    known = {one.name: one for one in here.distributions}
    assert known["nbrewind"].version and known["msgspec"].version and here.python.count(".") == 2
    assert not any("@" in one.url.partition("//")[2].partition("/")[0] for one in here.distributions)


def test_the_lock_file_has_what_others_can_install() -> None:
    lines = [line for line in environment.lock(THEN).decode().splitlines() if not line.startswith("#")]
    assert lines == [
        "alpha==1.2.3",
        "beta @ git+https://example.org/beta@abc123",
        "gamma @ https://example.org/g.whl#sha256=00ff&subdirectory=x",
    ]
    content = yaml.safe_load(environment.environment_yml("paper", THEN))
    assert content["dependencies"][0] == "python=3.12" and content["dependencies"][2]["pip"] == lines


def test_differences_are_judged_by_the_rule() -> None:
    now = replace(
        THEN,
        python="3.13.5",
        distributions=(
            Distribution("alpha", "1.2.9"),
            Distribution("beta", "3.0"),
            Distribution("mine", "0.1", local="editable", content="2" * 32),
        ),
    )
    assert {one.what: one.verdict for one in environment.compare(THEN, now)} == {
        "python": "compatible",
        "alpha": "compatible",
        "beta": "different",
        "gamma": "different",
        "mine": "different",
    }
    assert environment.compare(THEN, THEN) == []


def test_compare_and_create(nbrewind: Command, folder: Path) -> None:
    package = make_package(folder / "paper")
    assert nbrewind("env", "compare", package, "--json").json["verdict"] == "same"
    assert nbrewind("env", "create", package, "-o", "new").code == 5
    (folder / "taken").mkdir()
    taken = nbrewind("env", "create", package, "-o", "taken", "--trust")
    assert taken.code == 4 and "exists already" in taken.err
