"""NetworkX graphs: looking at one leaves views and conversions in it, which are no content."""

from __future__ import annotations

from typing import Any

import networkx as nx

from nbrewind.flow.codecs import Codec

_CACHED = frozenset(
    {"adj", "pred", "succ", "nodes", "edges", "degree", "in_edges", "out_edges", "in_degree", "out_degree"}
) | {"__networkx_cache__"}


class Graph(Codec):
    """The four kinds of graphs, without what their properties cache."""

    name = "networkx.Graph"
    types = (nx.Graph, nx.DiGraph, nx.MultiGraph, nx.MultiDiGraph)

    def state(self, value: Any) -> Any:
        """The attributes that are not made again at the next look."""
        return {name: held for name, held in vars(value).items() if name not in _CACHED}

    def fill(self, value: Any, state: Any) -> None:
        """Set the attributes."""
        vars(value).update(state)
