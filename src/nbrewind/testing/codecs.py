"""What a codec has to keep so that no restored value can be told from the original."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from nbrewind.flow import codecs
from nbrewind.flow.codecs import Codec
from nbrewind.testing.desk import Desk, elsewhere


class CodecConformance:
    """Subclass it in a test module, say which values, and let pytest collect it.

    Without a codec the treatment is tested that the values' types have already: the general rules, or a codec
    that is installed.
    """

    codec: ClassVar[type[Codec] | None] = None
    """The codec under test where no entry point offers it yet."""

    # -- what a subclass gives ----------------------------------------------------------------

    def values(self) -> Sequence[Any]:
        """Values of all kinds that the codec treats, made anew at each call."""
        raise NotImplementedError

    def changed(self) -> Sequence[tuple[Any, Any]]:
        """Pairs of values that differ in one thing each that a cell can see."""
        raise NotImplementedError

    def mutate(self, value: Any) -> None:
        """Change one leaf of a value in place; not needed where the codec's types are immutable."""
        raise NotImplementedError

    def equal(self, one: Any, other: Any) -> bool:
        """Whether two values are equal for all that a cell can see; override it if ``==`` says less."""
        return bool(one == other)

    def refused(self) -> Sequence[Any]:
        """Values of these types that cannot be stored."""
        return ()

    # -- the tests ----------------------------------------------------------------------------

    def use_codec(self) -> None:
        """Make the codec known to this process."""
        if self.codec is not None:
            codecs.register(self.codec())

    @pytest.fixture(autouse=True)
    def _codec(self) -> None:
        self.use_codec()

    def _can_mutate(self) -> None:
        if type(self).mutate is CodecConformance.mutate:
            pytest.skip("values of these types cannot be changed")

    def test_the_codec_is_the_one_found(self) -> None:
        if self.codec is None:
            pytest.skip("no codec is named: what treats the values already is tested")
        for value in self.values():
            found = codecs.find(type(value))
            assert found is not None and found.name == self.codec.name, type(value)

    def test_a_value_comes_back_equal(self) -> None:
        desk = Desk()
        for value in self.values():
            back = desk.round_trip(value=value)["value"]
            assert type(back) is type(value)
            assert self.equal(value, back), f"{back!r} came back for {value!r}"

    def test_storing_does_not_change_the_value(self) -> None:
        desk = Desk()
        for value, twin in zip(self.values(), self.values(), strict=True):
            before = desk.digest(value)
            desk.save(value=value)
            assert desk.digest(value) == before
            assert self.equal(value, twin)

    def test_equal_values_have_equal_digests_also_after_a_round_trip(self) -> None:
        desk = Desk()
        for value, twin in zip(self.values(), self.values(), strict=True):
            digest = desk.digest(value)
            assert desk.digest(twin) == digest, f"{value!r} has another digest when it is made again"
            assert desk.digest(desk.round_trip(value=value)["value"]) == digest, value

    def test_digests_are_those_of_other_processes(self, tmp_path: Path) -> None:
        desk = Desk()
        order = [desk.save(value=value) for value in self.values()]
        stored = {**desk.objects, "order": json.dumps(order).encode()}
        made, other = (
            elsewhere(type(self), "0", _folder(tmp_path, name), stored if name == "other" else {})
            for name in ("made", "other")
        )
        assert made["made"] == other["made"], "the same values made in two processes"
        if not _is_derived(desk, self.values()):
            assert other["restored"] == made["made"], "values restored in another process"
        # Sets iterate by hash where the seed is fixed to 0, as it is in kernels, and are sorted otherwise.
        one, two = (elsewhere(type(self), seed, _folder(tmp_path, seed), {}) for seed in ("1", "2"))
        assert one["made"] == two["made"], "the hash seed must not enter"

    def test_a_change_changes_the_digest(self) -> None:
        desk = Desk()
        for value, other in self.changed():
            assert desk.digest(value) != desk.digest(other), f"{value!r} and {other!r} have one digest"

    def test_a_change_in_place_changes_the_digest(self) -> None:
        self._can_mutate()
        desk = Desk()
        for value in self.values():
            before = desk.digest([value])
            self.mutate(value)
            assert desk.digest([value]) != before, value

    def test_aliases_in_containers_stay_one_object(self) -> None:
        desk = Desk()
        for value in self.values():
            back = desk.round_trip(one=[value, {"k": value}], two=(value,))
            first = back["one"][0]
            assert back["one"][1]["k"] is first and back["two"][0] is first

    def test_an_alias_is_told_from_a_copy(self) -> None:
        self._can_mutate()
        desk = Desk()
        for value, twin in zip(self.values(), self.values(), strict=True):
            assert desk.digest([value, value]) != desk.digest([value, twin])

    def test_a_restored_value_can_be_changed_without_touching_the_image(self) -> None:
        self._can_mutate()
        desk = Desk()
        for value in self.values():
            image = desk.save(value=value)
            stored = copy.deepcopy(desk.objects)
            back = desk.load(image)["value"]
            self.mutate(back)
            assert desk.objects == stored
            assert self.equal(desk.load(image)["value"], value)
            assert not self.equal(back, value), "mutate() changed nothing that equal() sees"

    def test_what_cannot_be_stored_says_why(self) -> None:
        desk = Desk()
        for value in self.refused():
            walk = desk.walk(value)
            assert walk.opaque and all(walk.opaque), value


def _folder(parent: Path, name: str) -> Path:
    made = parent / name
    made.mkdir()
    return made


def _is_derived(desk: Desk, values: Sequence[Any]) -> bool:
    return any(desk.walk(value).derived for value in values)
