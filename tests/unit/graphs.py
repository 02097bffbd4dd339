"""Random object graphs with sharing and cycles, and their canonical form by the independent walker."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from support.describe import Walk

ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    st.text(max_size=6),
    st.binary(max_size=6),
    st.sampled_from(["a", "b", 0, 1, True, 1.0, -0.0, 0.0, "1", b"1", "\ud800"]),
)
HASHABLE = st.one_of(st.integers(-3, 3), st.text(max_size=3), st.booleans(), st.none(), st.binary(max_size=3))


class Node:
    """An instance: a mutable thing with attributes."""


@st.composite
def graphs(draw: st.DrawFn, most: int = 6) -> Any:
    """A root value over up to ``most`` mutable nodes that refer to each other at will."""
    makers = draw(st.lists(st.sampled_from([list, dict, set, bytearray, Node]), min_size=1, max_size=most))
    nodes = [make() for make in makers]

    def value(depth: int = 0) -> Any:
        kind = draw(st.integers(0, 4 if depth < 2 else 1))
        if kind <= 1:
            return draw(ATOMS)
        if kind <= 3:
            return nodes[draw(st.integers(0, len(nodes) - 1))]
        return tuple(value(depth + 1) for _ in range(draw(st.integers(0, 3))))

    for node in nodes:
        count = draw(st.integers(0, 3))
        if isinstance(node, list):
            node.extend(value() for _ in range(count))
        elif isinstance(node, dict):
            node.update({draw(HASHABLE): value() for _ in range(count)})
        elif isinstance(node, set):
            # Sets whose order a copy does not keep are no values that can be stored (R14).
            node.update(draw(st.integers(0, 6)) for _ in range(count))
        elif isinstance(node, bytearray):
            node.extend(draw(st.binary(max_size=4)))
        else:
            for _ in range(count):
                setattr(node, draw(st.sampled_from("xyz")), value())
    return value()


def canonical(value: Any) -> Any:
    """The form of a value by tests/support/describe.py, which shares no code with the package."""
    walk = Walk("")
    form = walk.value(value)
    return form, walk.nodes
