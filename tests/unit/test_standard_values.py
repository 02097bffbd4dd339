"""Values of the standard library that everyday notebooks hold: stored, not run again for."""

from __future__ import annotations

import dataclasses
import types

import numpy as np
import pytest

from nbrewind.testing.desk import Desk

NUMBERS = {1: "one", 2: "two"}


def again(value: object) -> object:
    """What comes back from the store."""
    return Desk().round_trip(value=value)["value"]


def test_the_marks_of_dataclasses_are_one_object_each() -> None:
    marks = [dataclasses.MISSING, dataclasses.KW_ONLY]
    assert all(one is other for one, other in zip(marks, again(marks), strict=True))  # type: ignore[call-overload]


def test_the_fields_of_a_dataclass_say_what_is_missing() -> None:
    made = dataclasses.make_dataclass("Made", ["n", ("items", list, dataclasses.field(default_factory=list))])
    fields = again(list(dataclasses.fields(made)))
    assert isinstance(fields, list)
    assert [f.default is dataclasses.MISSING for f in fields] == [True, True]
    assert [f.default_factory is dataclasses.MISSING for f in fields] == [True, False]
    assert all(f.metadata is dataclasses.fields(made)[0].metadata for f in fields)


def test_the_empty_metadata_that_all_fields_share_joins_no_classes() -> None:
    made = dataclasses.make_dataclass("Made", ["n"])
    (field,) = dataclasses.fields(made)
    walk = Desk().walk(field)
    assert id(field.metadata) not in walk.memo


def test_a_view_of_a_mapping_shows_the_mapping() -> None:
    held = {"a": [1]}
    held_again, view = again([held, types.MappingProxyType(held)])  # type: ignore[misc]
    held_again["b"] = 2
    assert type(view) is types.MappingProxyType
    assert dict(view) == {"a": [1], "b": 2}


def test_a_view_of_the_attributes_of_a_class_is_none_of_its_own() -> None:
    assert list(Desk().walk(vars(Desk)).opaque) == ["a mappingproxy shows the attributes of a class"]


@pytest.mark.parametrize("kind", [iter(NUMBERS.items()), reversed(NUMBERS), {}.keys().__iter__(), iter({1})])
def test_an_iterator_over_a_dict_or_set_has_an_image(kind: object) -> None:
    assert type(again(kind)) is type(kind)


@pytest.mark.parametrize(
    "kind", [types.FunctionType, types.MappingProxyType, type(iter({}.items())), type(None)]
)
def test_types_that_no_module_holds_are_stored(kind: type) -> None:
    assert again(kind) is kind


def test_a_window_over_an_array_stays_one() -> None:
    held = np.arange(6)
    window = np.lib.stride_tricks.sliding_window_view(held, 3)
    held_again, window_again = again([held, window])  # type: ignore[misc]
    assert window_again.strides == window.strides
    assert window_again.flags.writeable is window.flags.writeable is False
    held_again[1] = 9
    assert window_again[0, 1] == window_again[1, 0] == 9
