"""Places for the nodes of a graph in rows, edges going down (Sugiyama, Tagawa, Toda 1981).

Three steps: each node gets a row below all that feed it; nodes of a row are ordered by where
their neighbours are; then they take places as near to their neighbours as the order allows, by
isotonic regression.  All edges that leave one node share one trunk through the rows between, from
which they branch off: that keeps pictures quiet, and bounds the work by nodes times rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

Point = tuple[float, float]

SWEEPS = 8
TRUNK = 14.0
"""Width that a trunk takes between boxes."""


_STRAIGHT = 12.0
"""How much more the pieces of a trunk pull each other than other neighbours do."""


@dataclass(frozen=True, slots=True)
class Size:
    """Measures in pixels."""

    width: float = 196.0
    height: float = 46.0
    gap: float = 20.0
    """Between neighbours of a row."""
    between: float = 62.0
    """Between rows."""
    most: int = 10
    """Nodes in a row; a longer row is broken."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Centres of the nodes, and each edge's corners from its source to its target."""

    width: float
    height: float
    centres: list[Point]
    routes: list[list[Point]]
    size: Size


@dataclass(slots=True)
class _Place:
    """A node in a row, or a piece of a trunk (``node`` is then the trunk's source)."""

    node: int
    trunk: bool
    x: float = 0.0
    above: list[_Place] = field(default_factory=list)
    below: list[_Place] = field(default_factory=list)


def layered(count: int, edges: Sequence[tuple[int, int]], size: Size | None = None) -> Layout:
    """Lay out nodes ``0..count-1``, which are in an order that most edges follow."""
    size = size or Size()
    forward = [(min(edge), max(edge)) for edge in edges]
    rows_of = _broken(_ranks(count, forward), forward, size.most)
    rows, places, trunks = _rows(count, forward, rows_of)
    _order(rows)
    _spread(rows, size)
    return _measured(count, edges, rows_of, rows, places, trunks, size)


def _ranks(count: int, edges: Iterable[tuple[int, int]]) -> list[int]:
    """The longest way to each node; then down to what it feeds, where that makes edges shorter."""
    feeds: list[list[int]] = [[] for _ in range(count)]
    fed = [0] * count
    ranks = [0] * count
    for source, target in edges:
        if source != target:
            feeds[source].append(target)
            fed[target] += 1
    for node in range(count):
        for target in feeds[node]:
            ranks[target] = max(ranks[target], ranks[node] + 1)
    for node in reversed(range(count)):
        if feeds[node] and len(feeds[node]) > fed[node]:
            ranks[node] = min(ranks[target] for target in feeds[node]) - 1
    last = max((rank for node, rank in enumerate(ranks) if feeds[node] or fed[node]), default=-1)
    return [rank if feeds[node] or fed[node] else last + 1 for node, rank in enumerate(ranks)]


def _broken(ranks: list[int], edges: Iterable[tuple[int, int]], most: int) -> list[int]:
    """Rows with at most ``most`` nodes each: nodes of one rank do not feed each other."""
    row, rows = 0, [0] * len(ranks)
    by_rank: dict[int, list[int]] = {}
    for node, rank in enumerate(ranks):
        by_rank.setdefault(rank, []).append(node)
    for rank in sorted(by_rank):
        members = by_rank[rank]
        parts = -(-len(members) // most)
        per_row = -(-len(members) // parts)
        for position, node in enumerate(members):
            rows[node] = row + position // per_row
        row += parts
    return rows


def _rows(
    count: int, edges: Iterable[tuple[int, int]], rows_of: list[int]
) -> tuple[list[list[_Place]], list[_Place], dict[tuple[int, int], _Place]]:
    """Rows of places: nodes, and a trunk of each node down to the row before its last target."""
    rows: list[list[_Place]] = [[] for _ in range(max(rows_of, default=-1) + 1)]
    places = [_Place(node, False) for node in range(count)]
    for node in range(count):
        rows[rows_of[node]].append(places[node])
    trunks: dict[tuple[int, int], _Place] = {}
    for source, target in sorted(set(edges)):
        if source == target:
            continue
        upper = places[source]
        for row in range(rows_of[source] + 1, rows_of[target]):
            known = trunks.get((source, row))
            if known is None:
                known = trunks[source, row] = _Place(source, True, above=[upper])
                upper.below.append(known)
                rows[row].append(known)
            upper = known
        upper.below.append(places[target])
        places[target].above.append(upper)
    return rows, places, trunks


def _order(rows: list[list[_Place]]) -> None:
    """Orders each row by the middle of its neighbours, down and up in turns."""
    for row in rows:
        row.sort(key=lambda place: (place.node, place.trunk))
        _number(row)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for row in rows if down else reversed(rows):
            middles = {id(place): _middle(place, down) for place in row}
            row.sort(key=lambda place: middles[id(place)])
            _number(row)


def _number(row: list[_Place]) -> None:
    for position, place in enumerate(row):
        place.x = float(position) - len(row) / 2


def _middle(place: _Place, down: bool) -> float:
    """The middle of the neighbours on one side, and a little of those on the other."""
    near, far = (place.above, place.below) if down else (place.below, place.above)
    if not near:
        near, far = far, near
    if not near:
        return place.x
    middle = sum(one.x for one in near) / len(near)
    return middle if not far else 0.8 * middle + 0.2 * sum(one.x for one in far) / len(far)


def _spread(rows: list[list[_Place]], size: Size) -> None:
    """Places in pixels: as near to the middle of all neighbours as the order of each row allows."""
    offsets = []
    for row in rows:
        at, row_offsets = 0.0, []
        for before, place in zip([None, *row], row, strict=False):
            at += _half(before, size) + _half(place, size) + size.gap if before is not None else 0.0
            row_offsets.append(at)
            place.x = at
        for place in row:
            place.x -= at / 2
        offsets.append(row_offsets)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        order = range(len(rows)) if down else reversed(range(len(rows)))
        for number in order:
            row = rows[number]
            wanted = [_wanted(place, both=sweep >= SWEEPS - 2, down=down) for place in row]
            weights = [4.0 if place.trunk else 1.0 for place in row]
            relative = [x - offset for x, offset in zip(wanted, offsets[number], strict=True)]
            for place, base, offset in zip(row, _isotonic(relative, weights), offsets[number], strict=True):
                place.x = base + offset


def _half(place: _Place | None, size: Size) -> float:
    if place is None:
        return 0.0
    return (TRUNK if place.trunk else size.width) / 2


def _wanted(place: _Place, *, both: bool, down: bool) -> float:
    near = [*place.above, *place.below] if both else (place.above if down else place.below)
    if not near:
        return place.x
    weights = [_STRAIGHT if place.trunk and one.trunk else 1.0 for one in near]
    return sum(one.x * weight for one, weight in zip(near, weights, strict=True)) / sum(weights)


def _isotonic(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The nearest rising sequence (pool adjacent violators)."""
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        pools.append((value, weight, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            last, before = pools.pop(), pools.pop()
            total = last[1] + before[1]
            mean = (last[0] * last[1] + before[0] * before[1]) / total
            pools.append((mean, total, last[2] + before[2]))
    return [value for value, _, length in pools for _ in range(length)]


def _measured(
    count: int,
    edges: Sequence[tuple[int, int]],
    rows_of: list[int],
    rows: list[list[_Place]],
    places: list[_Place],
    trunks: dict[tuple[int, int], _Place],
    size: Size,
) -> Layout:
    """Pixels from the corner at the top left, and the edges' corners."""
    left = min((place.x - _half(place, size) for row in rows for place in row), default=0.0)
    right = max((place.x + _half(place, size) for row in rows for place in row), default=0.0)
    step = size.height + size.between

    def middle(row: int) -> float:
        return row * step + size.height / 2

    centres = [(places[node].x - left, middle(rows_of[node])) for node in range(count)]
    ports = _ports(edges, places, size)
    routes = []
    for number, (source, target) in enumerate(edges):
        upper, lower = min(source, target), max(source, target)
        corners = [(centres[upper][0], centres[upper][1] + size.height / 2)]
        for row in range(rows_of[upper] + 1, rows_of[lower]):
            x = trunks[upper, row].x - left
            corners += [(x, middle(row) - size.height / 2), (x, middle(row) + size.height / 2)]
        corners.append((centres[lower][0] + ports[number], centres[lower][1] - size.height / 2))
        routes.append(corners if source == upper else corners[::-1])
    height = max(0.0, len(rows) * step - size.between)
    return Layout(right - left, height, centres, routes, size)


def _ports(edges: Sequence[tuple[int, int]], places: list[_Place], size: Size) -> list[float]:
    """Where edges end at the top of their box, from the middle: in the order in which they come."""
    ends: dict[int, list[int]] = {}
    for number, edge in enumerate(edges):
        ends.setdefault(max(edge), []).append(number)
    found = [0.0] * len(edges)
    for numbers in ends.values():
        numbers.sort(key=lambda number: places[min(edges[number])].x)
        step = min(22.0, 0.7 * size.width / max(1, len(numbers)))
        for position, number in enumerate(numbers):
            found[number] = (position - (len(numbers) - 1) / 2) * step
    return found
