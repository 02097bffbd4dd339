"""What a cell did to files, for its record: what they held before it and hold after it (R6)."""

from __future__ import annotations

from nbrewind.flow.files import CellFiles
from nbrewind.model import ABSENT, FileState, State
from nbrewind.session.history import History
from nbrewind.session.process import Process
from nbrewind.session.world_files import equal


class TouchedFiles:
    """The files of one process, as its recorder asks for them after each cell."""

    def __init__(self, process: Process, history: History) -> None:
        self.history = history
        self.files = process.files
        self.layer = process.layer
        self.start = process.start
        self.tasks = process.tasks
        self.portable = process.portable

    def take_in_unseen(self, files: CellFiles, before: State) -> list[str]:
        """What children and C code changed: it counts as read and written where the old content is known.

        Nobody tells whether it was read before it was changed.  Returns notes about the rest.
        """
        if files.tree is not None:
            after = self.files.scan()
            files.changed |= {key for key in after if files.tree.get(key) != after[key]}
            files.changed |= files.tree.keys() - after.keys()
        files.changed |= self._through_handles(files, before)
        unknown = []
        for key in sorted(files.changed - files.found.keys()):
            state = self._before_unseen(key, files, before)
            if state is None:
                unknown.append(key)
                continue
            files.found[key] = state
            if state.kind != "dir":
                files.reads.setdefault(key, state)
        if not unknown:
            return []
        names = ", ".join(unknown[:4])
        return [f"what {names} held before is not known: running this cell again begins with what is there"]

    def take_in_outputs(self, files: CellFiles, before: State) -> None:
        """Files that tasks wrote elsewhere: what their paths held before, where that is known."""
        _, outputs = self.tasks.cell_files()
        for path in outputs:
            key = self.portable(path)
            if key not in files.found:
                made = self.files.path(key) in files.events.created
                state = ABSENT if made else self._before_unseen(key, files, before)
                if state is not None:
                    files.found[key] = state

    def found_by_tasks(self, files: CellFiles) -> dict[str, FileState]:
        """What tasks read and the cell had not written itself before."""
        task_reads, _ = self.tasks.cell_files()
        reads = {}
        for path, state in task_reads.items():
            key = self.portable(path)
            found = files.found.get(key)
            if found is None or (found.kind, found.digest) == (state.kind, state.digest):
                reads[key] = state
        return reads

    def written(self, files: CellFiles, before: State) -> dict[str, FileState]:
        """What the files hold now that the cell and its tasks wrote; their content is stored."""
        paths = dict.fromkeys([*files.found, *sorted(files.changed)])
        # A handle that recomputation opened writes without an event; those of the state were looked at.
        for key in self.files.written - before.files.keys() - paths.keys():
            known = self.history.run.left.get(key)
            if known is not None and self._differs(key, known):
                paths[key] = None
        _, outputs = self.tasks.cell_files()
        paths.update({self.portable(path): None for path in outputs})
        written: dict[str, FileState] = {}
        for key in paths:
            written[key] = self.files.state(self.files.path(key), keep=True)
            if written[key].kind == "file":
                self.files.written.add(key)
            self.layer.remember(key, written[key])
        return written

    def _through_handles(self, files: CellFiles, before: State) -> set[str]:
        """Files that changed without an event: a handle open since an earlier cell (a log's) wrote on."""
        return {
            key for key, known in before.files.items() if key not in files.found and self._differs(key, known)
        }

    def _differs(self, key: str, known: FileState) -> bool:
        if self.layer.untouched(key):
            return False
        return not equal(known, self.files.state(self.files.path(key)))

    def _before_unseen(self, key: str, files: CellFiles, before: State) -> FileState | None:
        if key in files.created or (files.tree is not None and key not in files.tree):
            return ABSENT
        if key in before.files:
            return before.files[key]
        if key in self.layer.moved:
            return self.start.found[key]
        return files.kept.get(key)
