"""Records whose results lie elsewhere now: a cell above displays one more, or one less (R14).

A record names results by distance. Where its cell asked for one (``_``, ``Out[3]``), the distance counts.
Others it holds only because they share objects with names that it wrote: they are found again beside these
names, and those that no cell displays any more are left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from nbrewind.model import Record, Root, State, Trace, Version
from nbrewind.plan.algebra import component_of, is_result, to_symbol

T = TypeVar("T")
GONE = ""
"""Where a result lies that no cell displays any more."""


def moved(record: Record, state: State) -> Record | None:
    """The record with such results named as they lie in ``state``; None where none of them has moved."""
    places, delta = _places(record.trace, state), record.delta
    if all(old == new for old, new in places.items()) or any(is_result(root) for root in delta.deleted):
        return None
    name = hashlib.blake2b(f"{record.id} {sorted(places.items())}".encode(), digest_size=16).hexdigest()

    def elsewhere(version: Version) -> Version:
        chain = tuple(name if one == record.id else one for one in version.chain)
        return replace(version, links=_renamed(version.links, places), chain=chain)

    whole = {r: replace(one, links=_renamed(one.links, places)) for r, one in record.trace.whole.items()}
    names = {root: elsewhere(version) for root, version in delta.names.items()}
    result = None if delta.result is None else elsewhere(delta.result)
    return replace(
        record,
        id=name,
        trace=replace(record.trace, whole=_renamed(whole, places)),
        delta=replace(delta, names=_renamed(names, places), result=result),
    )


def _renamed(mapping: Mapping[Root, T], places: Mapping[Root, Root]) -> dict[Root, T]:
    named = ((places.get(root, root), value) for root, value in mapping.items())
    return {root: value for root, value in named if root != GONE}


def _places(trace: Trace, state: State) -> dict[Root, Root]:
    """Results of the components that are needed whole -> where they lie now."""
    found: dict[Root, Root] = {}
    left = set(trace.whole)
    while left:
        group, queue = set(), [left.pop()]
        while queue:
            root = queue.pop()
            group.add(root)
            queue += (left & trace.whole[root].links.keys()) - group
        left -= group
        then = sorted((root for root in group if root.startswith("_-")), key=_distance)
        names = sorted(root for root in group if not is_result(root))
        if then and names and not any(root in trace.reads for root in then):
            found.update(_paired(then, names[0], trace, state))
    return found


def _paired(then: list[Root], name: Root, trace: Trace, state: State) -> dict[Root, Root]:
    """Each result with the next one of now that has its content and shares as much with ``name``."""
    results = (root for root in component_of(state, [name]) if is_result(root))
    now = [(to_symbol(root, state.results), state.names[root], root) for root in results]
    now.sort(key=lambda one: _distance(one[0]))
    places = dict.fromkeys(then, GONE)
    for old in then:
        if now:
            symbol, version, root = now[0]
            same = trace.whole[name].links.get(old) == state.names[name].links.get(root)
            if same and version.digest == trace.whole[old].digest:
                places[old] = symbol
                del now[0]
    return places


def _distance(symbol: Root) -> int:
    return int(symbol[2:])
