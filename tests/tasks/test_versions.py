"""Versions of packages that a task rests on through what it is made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import attrgetter

import pytest

from nbrewind.flow import environment
from nbrewind.model import TaskEntry
from nbrewind.tasks.versions import versions_above

INSTALLED = {"numpy": "2.1.0", "pandas": "3.0.1"}


@dataclass(eq=False)
class Made:
    """A task: the packages that it names, what it was served from, what it was made from."""

    packages: frozenset[str] = frozenset()
    entry: TaskEntry | None = None
    above: list[Made] = field(default_factory=list)
    known_versions: dict[str, str] | None = None


def task(*packages: str, above: tuple[Made, ...] = (), **recorded: str) -> Made:
    entry = TaskEntry("key", "task", "result", packages=recorded) if recorded else None
    return Made(frozenset(packages), entry, list(above))


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "installed_version", lambda name: INSTALLED.get(name, ""))


def found(node: Made) -> dict[str, str]:
    return versions_above(node, attrgetter("above"))


def test_a_task_rests_on_what_it_names_and_on_what_is_above_it() -> None:
    assert found(task("numpy", "math", above=(task("pandas"),))) == INSTALLED
    assert found(task()) == {}


@pytest.mark.parametrize("served_first", [True, False])
def test_what_was_made_with_another_version_counts(served_first: bool) -> None:
    served, ran = task("numpy", numpy="1.26.4"), task("numpy")
    above = (served, ran) if served_first else (ran, served)
    assert found(task("numpy", above=above)) == {"numpy": "1.26.4"}
    assert found(task("numpy", above=(task(above=above),), numpy="2.1.0")) == {"numpy": "1.26.4"}


def test_many_ways_to_the_same_task_are_gone_once() -> None:
    asked: list[Made] = []

    def above(node: Made) -> list[Made]:
        asked.append(node)
        return node.above

    last = task("numpy")
    for _ in range(40):
        last = task(above=(last, last))
    assert versions_above(last, above) == {"numpy": "2.1.0"}
    assert len(asked) <= 3 * 41
