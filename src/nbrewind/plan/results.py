"""What ``_``, ``__`` and ``___`` mean: IPython moves them on with each result, while they are its own (R14).

It compares what the namespace holds with what it put there last, and moves all three or none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from nbrewind.model import Delta, Root, State, Version

RESULT_NAMES = {"_": 1, "__": 2, "___": 3}
"""How far back each of them looks as long as none is the user's."""

_ONCE = re.compile(r"bool .*|NoneType .*|int (-[1-5]|1?\d?\d|2[0-4]\d|25[0-5])|str '.?'")
"""Summaries of values that Python makes only once."""


def meaning(state: State, name: str) -> Root | None:
    """The root behind a name; empty for the empty string that it is at first, None where it is unbound."""
    if name in state.names:
        return name
    number = _last_put(state)[RESULT_NAMES[name] - 1]
    if name in state.unbound or (number and f"_{number}" not in state.names):
        return None
    return f"_{number}" if number else ""


def returned(state: State, written: Mapping[Root, Version]) -> set[str]:
    """Names that a cell bound to the very object which IPython had put there: they are IPython's still."""
    put = _last_put(state)
    return {
        name
        for name, distance in RESULT_NAMES.items()
        if name in written and _same(written[name], state, put[distance - 1])
    }


def move_on(state: State, after: State, delta: Delta, own: Sequence[int]) -> None:
    """Have ``after`` say what the names mean after a cell of this delta, which displayed ``own``."""
    put, unbound, results = state.put, state.unbound, state.results
    for number in own[: delta.early]:
        if not RESULT_NAMES.keys() & state.names.keys():
            put, unbound = None, frozenset()
        results = (*results, number)
    bound = RESULT_NAMES.keys() & after.names.keys()
    unbound = (unbound | RESULT_NAMES.keys() & {*delta.deleted}) - (RESULT_NAMES.keys() & {*delta.names})
    if put is None and (bound or unbound):
        put = _newest(results)
    for number in own[delta.early :]:
        if not bound:
            put, unbound = None, frozenset()
        results = (*results, number)
    idle = put == _newest(results) and not unbound and not bound
    after.put, after.unbound = None if idle else put, unbound


def _newest(results: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(results[-d] if len(results) >= d else 0 for d in RESULT_NAMES.values())


def _last_put(state: State) -> tuple[int, ...]:
    return _newest(state.results) if state.put is None else state.put


def _same(version: Version, state: State, number: int) -> bool:
    """Whether a name is bound to a result's object: links tell, or that there is only one such object."""
    if not number:
        return version.summary == "str ''"
    root = f"_{number}"
    other = state.names.get(root)
    if other is None or other.digest != version.digest:
        return False
    return root in version.links or bool(_ONCE.fullmatch(version.summary))
