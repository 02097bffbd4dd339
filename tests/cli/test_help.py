"""Every verb explains itself and refuses what it does not understand with exit code 2."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cli.conftest import Command

VERBS = [
    ("audit",),
    ("repeat",),
    ("plan",),
    ("log",),
    ("show",),
    ("diff",),
    ("compare",),
    ("stats",),
    ("tasks",),
    ("check",),
    ("gc",),
    ("pin",),
    ("clear",),
    ("demo",),
    ("kernels", "install"),
    ("kernels", "list"),
    ("kernels", "remove"),
]


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_has_an_example_and_json(nbrewind: Command, verb: tuple[str, ...], flag: str) -> None:
    ran = nbrewind(*verb, flag)
    assert ran.code == 0 and not ran.err
    assert "Example" in ran.out and f"nbrewind {' '.join(verb)}" in ran.out.split("Example", 1)[1]
    assert "--json" in ran.out and "--debug" in ran.out


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_unknown_options_are_usage_errors(nbrewind: Command, verb: tuple[str, ...]) -> None:
    assert nbrewind(*verb, "--no-such-option").code == 2


def test_the_root_command(nbrewind: Command) -> None:
    ran = nbrewind("-h")
    assert ran.code == 0 and "Exit codes" in ran.out
    assert all(verb[0] in ran.out for verb in VERBS)
    assert nbrewind("--version").out.startswith("nbrewind ")
    assert nbrewind("no-such-verb").code == 2
    assert nbrewind("audit").code == 2


def test_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "nbrewind", "--version"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("nbrewind ")
