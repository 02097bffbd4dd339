"""Ambient items travel between sites (R7): the search path and the environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbrewind.flow.ambient import Ambient


@pytest.fixture(autouse=True)
def path_kept() -> Iterator[None]:
    before = list(sys.path)
    yield
    sys.path[:] = before


ENTRIES = st.sampled_from(["/opt/a", "/opt/b", "", "HERE/lib", "HERE"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ENTRIES, max_size=3), st.lists(ENTRIES, max_size=3), st.booleans())
def test_the_search_path_is_put_back_at_another_site(
    tmp_path: Path, before: list[str], after: list[str], broken: bool
) -> None:
    one, other = str(tmp_path / "one"), str(tmp_path / "two" / "deep")
    base = ["/usr/lib/x", "/usr/lib/y"]
    there = Ambient(one)
    there.base_path = base
    middle = ["/usr/lib/x", "/between", "/usr/lib/y"] if broken else base

    def at(root: str) -> list[str]:
        return [e.replace("HERE", root) for e in before] + middle + [e.replace("HERE", root) for e in after]

    sys.path[:] = at(one)
    stored, digest = there.path_value(), there.snapshot(("sys.path",))["sys.path"]
    here = Ambient(other)
    here.base_path = base
    here.put("sys.path", stored)
    assert sys.path == at(other)
    assert here.snapshot(("sys.path",))["sys.path"] == digest


def test_a_longer_search_path_at_the_other_site_stays_whole() -> None:
    there, here = Ambient("/one"), Ambient("/two")
    there.base_path = ["/usr/lib/x"]
    sys.path[:] = ["/mine", "/usr/lib/x"]
    stored = there.path_value()
    here.base_path = ["/usr/lib/z", "/usr/lib/x", "/usr/lib/w"]
    here.put("sys.path", stored)
    assert sys.path == ["/mine", "/usr/lib/z", "/usr/lib/x", "/usr/lib/w"]
    here.reset("sys.path")
    assert sys.path == here.base_path
    assert here.is_base("sys.path", here.snapshot()["sys.path"])


def test_a_changed_variable_is_seen_and_one_put_back_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NB_A", "1")
    monkeypatch.delenv("NB_B", raising=False)
    ambient = Ambient("/one")
    quiet = ambient.snapshot()
    assert not any(key.startswith("env:") for key in quiet)
    os.environ["NB_A"], os.environ["NB_B"] = "2", "3"
    assert set(ambient.snapshot()) - set(quiet) == {"env:NB_A", "env:NB_B"}
    del os.environ["NB_A"]
    assert ambient.snapshot()["env:NB_A"] == "absent"
    os.environ["NB_A"] = "1"
    del os.environ["NB_B"]
    assert ambient.snapshot() == quiet


def test_drawing_changes_the_digest_and_seeding_brings_it_back() -> None:
    import random

    kept = random.getstate()
    ambient = Ambient("/one")
    random.seed(5)
    first = ambient.snapshot()["rng:random"]
    random.random()
    assert ambient.snapshot()["rng:random"] != first
    random.seed(5)
    assert ambient.snapshot()["rng:random"] == first
    random.setstate(kept)
