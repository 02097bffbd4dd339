"""The history of one kernel: a run's branch of the tree of commits, and its files (R6, R15)."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace

import msgspec

from nbrewind.errors import NBRewindError
from nbrewind.flow import installed
from nbrewind.flow.code import hash_parts
from nbrewind.model import CellReport, Commit, Delta, FileState, Record, Run, State
from nbrewind.plan.algebra import apply_delta
from nbrewind.session.world_files import FileLayer, StartWorld
from nbrewind.store import Store


class History:
    """The current branch: commits with their records and the states before them."""

    def __init__(self, store: Store, label: str, mode: str) -> None:
        self.store = store
        earlier = store.runs(label)
        self.previous = inherited(earlier[0], store) if earlier and mode == "repeat" else None
        """The run that a repeat continues: its start world is inherited."""
        self.run = Run(
            id=uuid.uuid4().hex,
            notebook=label,
            mode=mode,
            started=time.time(),
            parent=self.previous.id if self.previous is not None else "",
            found=dict(self.previous.found) if self.previous is not None else {},
            left=dict(self.previous.left) if self.previous is not None else {},
            inputs=dict(self.previous.inputs) if self.previous is not None else {},
            environment=store.put(msgspec.json.encode(installed.environment())),
        )
        self.commits: list[tuple[Commit, Record, State]] = []
        self._unrecorded: list[tuple[int, Delta]] = []
        self._saved = False
        self._parent = ""
        self._earlier: set[str] | None = None

    def branch(self) -> frozenset[str]:
        """Records of the current branch and of the last run's: they win over others (R15)."""
        if self._earlier is None:
            path = self.store.branch(self.previous) if self.previous is not None else []
            self._earlier = {commit.record for commit in path}
        return frozenset(self._earlier | {record.id for _, record, _ in self.commits})

    def reach(
        self, written: dict[str, FileState], found: dict[str, FileState], start: StartWorld, layer: FileLayer
    ) -> None:
        """A cell reached these paths: remember how its first toucher found them (R6)."""
        for key, state in written.items():
            if key not in self.run.found:
                self.run.found[key] = found.get(key) or start.file(key, content=True)
            layer.moved.pop(key, None)
            self.run.left[key] = state

    def unrecorded(self, delta: Delta, count: int) -> None:
        """The state changed without a record: the next commit carries it (R11)."""
        self._unrecorded.append((count, delta))

    def commit(self, record: Record, report: CellReport, count: int, before: State) -> None:
        """Add a commit for ``record`` to the branch."""
        commit = Commit(
            id=hash_parts(self._parent, record.id, self.run.id, str(len(self.commits)), str(time.time())),
            parent=self._parent,
            run=self.run.id,
            record=record.id,
            action=report.action,
            execution_count=count,
            cell_id=report.cell_id,
            index=report.index,
            created=time.time(),
            between=tuple(self._unrecorded),
            reason=report.reason,
            changed_inputs=tuple(report.changed_inputs),
            seconds=report.seconds,
            tasks=replace(report.tasks),
            recomputed=tuple(report.recomputed),
        )
        self._unrecorded = []
        if not self._saved:
            self.store.start_run(self.run)
            self._saved = True
        self.store.add_commit(commit)
        self.commits.append((commit, record, before))
        self._parent = commit.id
        self.run = replace(self.run, head=commit.id)
        self.store.update_run(self.run)
        report.commit, report.record = commit.id, record.id

    def rewind(self, commit_id: str) -> State:
        """Make the path to a commit the current branch; the state after it.

        Raises:
            NBRewindError: there is no such commit.
        """
        found = [commit.id for commit, _, _ in self.commits if commit.id.startswith(commit_id)]
        path = self.store.path_to(found[0] if found else commit_id)
        if not path:
            raise NBRewindError(f"There is no commit {commit_id!r}. `%rewind log` lists those there are.")
        state = State()
        self.commits = []
        self._unrecorded = []
        for commit in path:
            record = self.store.record(commit.record)
            for count, delta in commit.between:
                state = apply_delta(state, delta, count)
            self.commits.append((commit, record, state))
            state = apply_delta(state, record.delta, commit.execution_count)
        self._parent = path[-1].id
        return state

    def log(self, count: int) -> list[tuple[Commit, Record | None]]:
        """The last commits of the branch, newest first."""
        newest: list[tuple[Commit, Record | None]] = [(c, r) for c, r, _ in reversed(self.commits)]
        return newest[:count]

    def forget(self, commit_id: str) -> str:
        """Drop the record of a commit, the last one by default; returns the commit's id.

        Raises:
            NBRewindError: there is no such commit on this branch.
        """
        for commit, record, _ in reversed(self.commits):
            if commit.id.startswith(commit_id):
                self.store.forget(record.id)
                return commit.id
        raise NBRewindError(
            f"There is no commit {commit_id!r} on this branch. `%rewind log` lists those there are."
        )

    def end(self) -> None:
        """The run is over."""
        self.run = replace(self.run, ended=time.time(), status="ended")
        if self._saved:
            self.store.update_run(self.run)


def inherited(run: Run, store: Store) -> Run:
    """A run whose start world can be laid down: paths whose content the store could not keep are left out.

    They count as they are on disk, as for a plain audit (R6).
    """
    found = {k: s for k, s in run.found.items() if s.kind != "file" or store.has(s.digest)}
    return replace(run, found=found, left={k: s for k, s in run.left.items() if k in found})
