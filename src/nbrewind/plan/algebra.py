"""The algebra of states: closures over dependencies, deltas, results by position.

Pure: no I/O, no IPython; everything is a function of ``nbrewind.model`` values.

A displayed result lives in the state as ``_N``.  Records name results by distance, since a
record is replayed at any position (R14): ``_-1`` is the newest result before the cell,
``_*`` the cell's own.  Where a cell displays several, ``Out`` keeps the last, but ``__`` and
``___`` may be the ones before it: they are ``_*1`` and ``_*2``, the older first, and live in
the state as ``_N`` with a number that no execution count reaches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Set
from dataclasses import replace

from nbrewind.model import Delta, Digest, Root, State, Version, Whole
from nbrewind.plan.results import move_on, returned

OWN_RESULT = "_*"
BESIDE = 10**9
"""Added to an execution count for each result that the cell displayed before its last one."""


def to_symbol(root: Root, results: tuple[int, ...], own: int | None = None) -> Root:
    """``_N`` as a distance from the end of ``results``; other roots unchanged."""
    number = result_number(root)
    if number is None:
        return root
    if own is not None and number % BESIDE == own:
        return f"{OWN_RESULT}{number // BESIDE or ''}"
    if number in results:
        return f"_-{len(results) - results.index(number)}"
    return root


def from_symbol(root: Root, results: tuple[int, ...], own: int | None = None) -> Root | None:
    """The inverse of ``to_symbol``; None where there is no such result."""
    if root.startswith(OWN_RESULT):
        return None if own is None else f"_{own + BESIDE * int(root[2:] or 0)}"
    if root.startswith("_-") and root[2:].isdigit():
        distance = int(root[2:])
        return f"_{results[-distance]}" if 1 <= distance <= len(results) else None
    return root


def result_number(root: Root) -> int | None:
    """N where the root is ``_N``."""
    return int(root[1:]) if root[:1] == "_" and root[1:].isdigit() else None


def is_result(root: Root) -> bool:
    """Whether a root is a displayed result, by number or by distance."""
    by_distance = root[:2] == "_-" and root[2:].isdigit()
    return root.startswith(OWN_RESULT) or result_number(root) is not None or by_distance


def own_results(count: int) -> tuple[Root, Root, Root]:
    """Roots of the results that the cell of this execution count displayed, in order: the last is ``_N``."""
    return f"_{count + BESIDE}", f"_{count + 2 * BESIDE}", f"_{count}"


def package_of_attribute(root: Root) -> str:
    """The package of ``attr:package.module:name``."""
    return root[5:].partition(":")[0].partition(".")[0]


def digest_in(state: State, root: Root) -> str | None:
    """The digest of a root in a state, None where it is absent.

    ``lib:<package>`` stands for everything that cells have set on that package's modules.
    """
    if root.startswith("lib:"):
        package = root[4:]
        parts = [
            f"{name}={version.digest}"
            for name, version in sorted((name, state.names[name]) for name in state.attributes)
            if package_of_attribute(name) == package
        ]
        return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest() if parts else ""
    resolved = from_symbol(root, state.results)
    if resolved is None:
        return None
    version = state.names.get(resolved)
    return None if version is None else version.digest


def expand(state: State, roots: Iterable[Root]) -> set[Root]:
    """The roots and all that they refer to, transitively, in this state (R2)."""
    found: set[Root] = set()
    queue = list(roots)
    while queue:
        root = queue.pop()
        if root in found:
            continue
        found.add(root)
        if root.startswith("lib:"):
            package = root[4:]
            queue += [name for name in state.attributes if package_of_attribute(name) == package]
            continue
        version = state.names.get(root)
        if version is not None:
            queue += version.deps
    return found


def component_of(state: State, roots: Iterable[Root]) -> set[Root]:
    """The roots and all that are linked to them, transitively (R1)."""
    found: set[Root] = set()
    queue = list(roots)
    while queue:
        root = queue.pop()
        if root in found or root not in state.names:
            continue
        found.add(root)
        queue += state.names[root].links
    return found


def replaceable(state: State, fit: Set[Root], live: Set[Root], used: Set[Root]) -> set[Root]:
    """Of the roots that there are anew (``fit``) those to take: of roots that share, all or none (R1).

    Those that are ``live`` already stay, but where one that shares with them is missing: then they give way,
    unless a running cell has ``used`` them.
    """
    taken: set[Root] = set()
    for root in fit - live:
        there = component_of(state, [root]) & live
        if there <= fit and there.isdisjoint(used):
            taken |= {root, *there}
    return taken


def whole_of(state: State, roots: Iterable[Root]) -> dict[Root, Whole]:
    """What a trace says of roots that must be shared as they are, with the results that share with them (R1).

    ``df["b"] = 1; df = df[df.b > 2]`` leaves no trace of what it did to the first frame, but where another
    name has it: a cell needs whole what it read and replaces or deletes.
    """
    peers = (root for root in component_of(state, roots) if is_result(root))
    return {
        to_symbol(root, state.results): Whole(version.digest, _symbols(version.links, state.results))
        for root in {*roots, *peers}
        if (version := state.names.get(root)) is not None
    }


def _symbols(links: dict[Root, Digest], results: tuple[int, ...]) -> dict[Root, Digest]:
    return {to_symbol(peer, results): link for peer, link in links.items()}


def reachable(state: State, excluding: Iterable[Root] = ()) -> set[Root]:
    """Roots that some name, module or result can reach; the others are garbage (R9)."""
    gone = set(excluding)
    return expand(state, (root for root in state.names if not root.startswith("cls:") and root not in gone))


def apply_delta(state: State, delta: Delta, count: int) -> State:
    """The state after a cell with this delta ran as execution ``count``."""
    after = state.copy()
    results = state.results
    written = {}
    for symbol, version in delta.names.items():
        root = from_symbol(symbol, results, count)
        if root is not None:
            written[root] = _resolved(version, symbol, results, count)
    if delta.result is not None:
        written[f"_{count}"] = _resolved(delta.result, OWN_RESULT, results, count)
        shown = {number for root in written if (number := result_number(root)) is not None}
        beside = sorted(n for n in shown if n > BESIDE and n % BESIDE == count)
        after.results = (*(number for number in results if number != count), *beside, count)
    own = after.results[len(after.results) - len(set(after.results) - set(results)) :]
    given_back = returned(state, written)
    written = {
        root: replace(version, links={n: link for n, link in version.links.items() if n not in given_back})
        for root, version in written.items()
        if root not in given_back
    }
    deleted = set(delta.deleted) - _still_used(state, delta, written) | (given_back & state.names.keys())
    touched = set(written) | deleted
    for root in touched:
        before = state.names.get(root)
        for peer in before.links if before is not None else ():
            other = after.names.get(peer)
            if peer not in touched and other is not None and root in other.links:
                links = {name: link for name, link in other.links.items() if name != root}
                after.names[peer] = replace(other, links=links)
    for root in deleted:
        after.names.pop(root, None)
        if is_result(root):
            after.results = tuple(number for number in after.results if f"_{number}" != root)
    after.names.update(written)
    if not any(":" in root for root in touched):
        after.marks_as(state)
    move_on(state, after, delta, own)
    after.files.update(delta.files)
    after.imports = tuple(dict.fromkeys((*after.imports, *delta.imports)))
    after.sources.update(delta.sources)
    for key, value in delta.ambient.items():
        if value.digest:
            after.ambient[key] = value
        else:
            after.ambient.pop(key, None)
    return after


def _still_used(state: State, delta: Delta, written: dict[Root, Version]) -> set[Root]:
    """Classes that were garbage when the record was made, and that something in this state refers to (R9)."""
    classes = {root for root in delta.deleted if root.startswith("cls:") and root in state.names}
    if not classes:
        return classes
    kept = {n: v for n, v in state.names.items() if n in classes or n not in delta.deleted}
    return classes & reachable(State(kept | written))


def _resolved(version: Version, symbol: Root, results: tuple[int, ...], count: int) -> Version:
    links = {}
    for peer, link in version.links.items():
        root = from_symbol(peer, results, count)
        if root is not None:
            links[root] = link
    key = version.root or (symbol if is_result(symbol) else "")
    return (
        replace(version, links=links, root=key) if links != version.links or key != version.root else version
    )
