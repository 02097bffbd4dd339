"""Codecs: the contract, how they are found, and the conformance class that third parties use."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from nbrewind.errors import NotStorable
from nbrewind.flow import codecs
from nbrewind.testing import CodecConformance
from nbrewind.testing.desk import Desk
from nbrewind.values import Codec
from support.grids import Grid


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Registrations of one test are not those of the next."""
    yield
    codecs._REGISTERED[:] = [one for one in codecs._REGISTERED if not one.name.startswith("grids")]
    codecs._FOUND.clear()
    for forget in codecs.when_changed:
        forget()


class GridCodec(Codec):
    name = "grids.Grid"
    types = (Grid,)

    def cannot_store(self, value: Grid) -> str:
        return "a grid that is watched" if value.watcher is not None else ""

    def state(self, value: Grid) -> Any:
        return value.cells, value.history

    def rebuild(self, cls: type, state: Any) -> Any:
        made = cls.__new__(cls)
        made.cells, made.history, made.watcher = *state, None
        return made


class TestGrid(CodecConformance):
    codec = GridCodec

    def values(self) -> Sequence[Grid]:
        worked = Grid([[1.0, 2.0], [3.0, 4.0]])
        worked.set(0, 0, 5.0)
        return [Grid([[]]), Grid([[1.0]]), worked]

    def changed(self) -> Sequence[tuple[Grid, Grid]]:
        one, other = Grid([[1.0]]), Grid([[1.0]])
        other.set(0, 0, 1.0)
        return [(Grid([[1.0]]), Grid([[2.0]])), (one, other)]

    def mutate(self, value: Grid) -> None:
        value.history.append("by hand")

    def refused(self) -> Sequence[Grid]:
        watched = Grid([[1.0]])
        watched.watcher = print
        return [watched]


class Lossy(GridCodec):
    name = "grids.Lossy"

    def state(self, value: Grid) -> Any:
        return value.cells.copy(), []


FINDS = {
    "test_a_value_comes_back_equal",
    "test_a_change_changes_the_digest",
    "test_a_change_in_place_changes_the_digest",
}


@pytest.mark.parametrize("name", sorted(FINDS))
def test_the_conformance_class_finds_a_lossy_codec(name: str) -> None:
    class TestLossy(TestGrid):
        codec = Lossy

    tests = TestLossy()
    tests.use_codec()
    with pytest.raises(AssertionError):
        getattr(tests, name)()


def test_without_a_codec_the_general_rules_hold() -> None:
    assert codecs.find(Grid) is None


def test_subclasses_are_treated_where_the_codec_says_so() -> None:
    class Finer(Grid):
        pass

    codecs.register(GridCodec())
    assert codecs.find(Finer) is None

    class Wide(GridCodec):
        name = "grids.Wide"
        subclasses = True

    codecs.register(Wide())
    found = codecs.find(Finer)
    assert found is not None and found.name == "grids.Wide"


def test_a_new_version_is_another_digest_and_does_not_load_the_old_state() -> None:
    desk = Desk()
    codecs.register(GridCodec())
    digest, image = desk.digest(Grid([[1.0]])), desk.save(value=Grid([[1.0]]))

    class Later(GridCodec):
        version = 2

    codecs.register(Later())
    assert desk.digest(Grid([[1.0]])) != digest
    with pytest.raises(NotStorable, match=r"version 1 of the codec grids\.Grid"):
        desk.load(image)


def test_values_that_cannot_be_changed_join_nothing() -> None:
    class Frozen(GridCodec):
        name = "grids.Frozen"
        immutable = True

        def state(self, value: Grid) -> Any:
            return value.cells.tobytes()

    codecs.register(Frozen())
    assert Desk().walk(Grid([[1.0]])).nodes == []


def test_derived_values_have_an_image_and_no_digest() -> None:
    class Origin(GridCodec):
        name = "grids.Origin"
        derived = True

    codecs.register(Origin())
    desk, grid = Desk(), Grid([[1.0]])
    walk = desk.walk(grid)
    assert walk.derived and not walk.opaque and id(grid.history) in walk.nodes
    assert desk.round_trip(value=grid)["value"] == grid


def test_a_codec_that_raises_says_what_cannot_be_stored() -> None:
    class Raising(GridCodec):
        name = "grids.Raising"

        def content(self, value: Grid) -> Any:
            raise KeyError("no such cell")

    codecs.register(Raising())
    assert list(Desk().walk(Grid([[1.0]])).opaque) == ["a Grid cannot be stored ('no such cell')"]


def test_a_codec_may_leave_a_value_to_the_general_rules() -> None:
    class Sometimes(GridCodec):
        name = "grids.Sometimes"

        def state(self, value: Grid) -> Any:
            return NotImplemented if not value.history else super().state(value)

    desk, grid = Desk(), Grid([[1.0]])
    plain = desk.digest(grid)
    codecs.register(Sometimes())
    assert desk.digest(grid) == plain
    assert desk.round_trip(value=grid)["value"] == grid


@pytest.mark.parametrize("value", ["support.grids:Absent", "support.no_such_module:C", "json:loads"])
def test_a_codec_that_cannot_be_loaded_keeps_its_package_from_being_stored(value: str) -> None:
    point = EntryPoint("support", value, codecs.GROUP)
    codecs._load.cache_clear()
    codecs._POINTS.setdefault("", [])
    codecs._POINTS["support"] = [point]
    codecs._FOUND.clear()
    try:
        reasons = list(Desk().walk(Grid([[1.0]])).opaque)
        assert len(reasons) == 1 and reasons[0].startswith("the codec for support cannot be loaded")
    finally:
        codecs._REFUSED.clear()
        codecs._load.cache_clear()


def test_starting_loads_no_codec() -> None:
    script = (
        "import sys; from nbrewind.session import core; from nbrewind.flow.digest import content_digest as d; d([{}]);"
        "from nbrewind.flow import codecs; print(codecs._POINTS, codecs._REGISTERED)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{} []"


def test_the_example_of_the_documentation_passes(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "codecs.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^`([\w/.]+)`[^`]*?```\w+\n(.*?)```", text, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in blocks] == [
        "grids/__init__.py", "grids/codec.py", "pyproject.toml", "tests/test_codec.py"
    ]  # fmt: skip
    for name, source in blocks:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(source, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout
