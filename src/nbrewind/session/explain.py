"""Why no record holds, to the first difference inside a value: ``name:cfg differs at cfg['lr']``.

Compares the images of the value that was read and of the one that there is now, without loading either.
"""

from __future__ import annotations

from nbrewind.errors import MissingObject, StoreError
from nbrewind.model import Run, State, Version
from nbrewind.plan.algebra import apply_delta
from nbrewind.plan.match import Choice
from nbrewind.session.history import History
from nbrewind.store import Store
from nbrewind.values.peek import difference, peek

LARGEST = 1 << 20
"""Bytes of an image that are looked into: who waits for a cell does not wait for reasons."""


class Explainer:
    """Knows what was there before each cell of an earlier run, and of this one so far."""

    def __init__(self, store: Store, run: Run | None, history: History | None = None) -> None:
        self.store = store
        self.run = run
        self.history = history
        self._before: dict[str, State] | None = None

    def reason(self, choice: Choice, state: State) -> str:
        """The reason of a choice, with the place where a value differs if it is known."""
        kind, _, name = choice.changed[0].partition(":") if choice.changed else ("", "", "")
        if kind != "name" or choice.nearest is None or name not in state.names:
            return choice.reason
        earlier = self._before_record(choice.nearest.id).names.get(name)
        # Its trace may be that of another run than the last: only what it did read counts.
        if earlier is None or earlier.digest != choice.nearest.trace.reads.get(name):
            return choice.reason
        where = self._where(earlier, state.names[name], name)
        return f"name:{name} differs at {where}" if where and where != name else choice.reason

    def _before_record(self, record_id: str) -> State:
        for _, record, before in reversed(self.history.commits if self.history is not None else []):
            if record.id == record_id:
                return before
        return self._states().get(record_id, State())

    def _states(self) -> dict[str, State]:
        if self._before is None:
            self._before, state = {}, State()
            try:
                for commit in self.store.branch(self.run) if self.run is not None else ():
                    record = self.store.record(commit.record)
                    for count, delta in commit.between:
                        state = apply_delta(state, delta, count)
                    self._before[record.id] = state
                    state = apply_delta(state, record.delta, commit.execution_count)
            except (MissingObject, StoreError):
                self._before[""] = state  # a damaged row: what comes after it stays unexplained
        return self._before

    def _where(self, old: Version, new: Version, name: str) -> str:
        sides = []
        for version in (old, new):
            try:
                image = self.store.get(version.image) if version.image else b""
            except (MissingObject, StoreError):
                return ""
            found = peek(image) if 0 < len(image) <= LARGEST else None
            key = version.root or name
            if found is None or key not in found:
                return ""
            sides.append(found[key])
        return difference(sides[0], sides[1], name)
