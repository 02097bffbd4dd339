"""The package's own codecs by the class that third parties use; no kernel is started."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import pytest

from nbrewind.flow.codecs import find
from nbrewind.testing import CodecConformance


class TestMasked(CodecConformance):
    def values(self) -> Sequence[Any]:
        own = np.ma.array([1.0, 2.0], mask=[True, False], fill_value=7.0) + 0
        return [own, np.ma.array([1, 2]), np.ma.array([[1, "q"]], mask=[[0, 1]], dtype=object)]

    def changed(self) -> Sequence[tuple[Any, Any]]:
        one, hard = np.ma.array([1, 2], mask=[0, 1]), np.ma.array([1, 2], mask=[0, 1], hard_mask=True)
        return [(one, np.ma.array([1, 2], mask=[1, 0])), (one, np.ma.array([1, 2])), (one, hard)]

    def mutate(self, value: Any) -> None:
        value[0, ...] = np.ma.masked if not np.ma.is_masked(value[0]) else 5

    def equal(self, one: Any, other: Any) -> bool:
        same = np.array_equal(one.mask, other.mask) and one.fill_value == other.fill_value
        return bool(same) and bool(np.array_equal(one.data, other.data)) and one.dtype == other.dtype


class TestTypeVariables(CodecConformance):
    def values(self) -> Sequence[Any]:
        made = [TypeVar("T"), TypeVar("T", int, str), TypeVar("T", bound=int, covariant=True)]  # type: ignore[misc]
        for one in made:
            one.__module__ = "__main__"
        return [*made, typing.AnyStr]

    def changed(self) -> Sequence[tuple[Any, Any]]:
        return [(TypeVar("T"), TypeVar("S")), (TypeVar("T"), TypeVar("T", bound=int))]  # type: ignore[misc]

    def equal(self, one: Any, other: Any) -> bool:
        if one is typing.AnyStr or other is typing.AnyStr:
            return one is other
        names = ("__name__", "__constraints__", "__bound__", "__covariant__", "__module__")
        return all(getattr(one, name) == getattr(other, name) for name in names)


class TestGraphs(CodecConformance):
    nx = pytest.importorskip("networkx", reason="networkx is not installed")

    def values(self) -> Sequence[Any]:
        nx = self.nx
        looped = nx.Graph([(1, 2)], itself=[])
        looped.graph["itself"].append(looped)
        looked = nx.DiGraph([(1, 2)])
        assert looked.nodes and looked.adj and looked.pred
        return [nx.Graph(), looped, looked, nx.MultiDiGraph([(1, 2), (1, 2)])]

    def changed(self) -> Sequence[tuple[Any, Any]]:
        nx = self.nx
        return [
            (nx.Graph([(1, 2)]), nx.Graph([(2, 1)])),
            (nx.Graph(a=1), nx.Graph(a=2)),
            (nx.Graph(), nx.DiGraph()),
        ]

    def mutate(self, value: Any) -> None:
        value.add_node("new")

    def equal(self, one: Any, other: Any) -> bool:
        return bool(self.nx.utils.graphs_equal(one, other)) or (
            one.adj == other.adj and one.nodes == other.nodes and one.graph.keys() == other.graph.keys()
        )


class TestExpressions(CodecConformance):
    sp = pytest.importorskip("sympy", reason="sympy is not installed")

    def values(self) -> Sequence[Any]:
        sp = self.sp
        x, f = sp.Symbol("x", integer=True), sp.Function("f")
        deep = x
        for _ in range(60):
            deep = sp.sin(deep) + sp.cos(deep)
        made = [
            x,
            x**2 + sp.pi,
            f(x).diff(x),
            sp.Add(1, 2, evaluate=False),
            sp.Float("1.5", 30),
            sp.S.EmptySet,
        ]
        return [
            *made,
            sp.Poly(x**2 + 1, x),
            sp.ImmutableMatrix([[x, 1]]),
            sp.Piecewise((x, x > 0), (0, True)),
            deep,
        ]

    def changed(self) -> Sequence[tuple[Any, Any]]:
        sp = self.sp
        plain, positive = sp.Symbol("x"), sp.Symbol("x", positive=True)
        held = sp.Add(1, 2, evaluate=False)
        return [
            (plain, positive),
            (plain + 1, plain + 2),
            (held, sp.Integer(3)),
            (sp.Float("1.5", 15), sp.Float("1.5", 30)),
        ]

    def equal(self, one: Any, other: Any) -> bool:
        return type(one) is type(other) and bool(one == other)


class TestMemories(CodecConformance):
    joblib = pytest.importorskip("joblib", reason="joblib is not installed")

    def values(self) -> Sequence[Any]:
        return [self.joblib.Memory(None, verbose=0), self.joblib.Memory(None, mmap_mode="r")]

    def changed(self) -> Sequence[tuple[Any, Any]]:
        return [(self.joblib.Memory(None, verbose=0), self.joblib.Memory(None, verbose=1))]

    def mutate(self, value: Any) -> None:
        value.compress = not value.compress

    def equal(self, one: Any, other: Any) -> bool:
        left, right = ({**vars(memory), "timestamp": None} for memory in (one, other))
        return left == right and other.timestamp is not None

    def test_one_that_writes_results_is_not_stored(self, tmp_path: Any) -> None:
        found = find(self.joblib.Memory)
        assert found is not None
        assert "folder" in found.cannot_store(self.joblib.Memory(tmp_path, verbose=0))
