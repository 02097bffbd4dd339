"""The task log as engines see it: identity, look-up with traces, record, counts per cell.

One context per kernel.  A task's key is known before it runs; one key has several
entries, each with the files that the task was seen to read; equal keys within a cell
get an occurrence number, so that two unseeded draws are never merged.  An entry is
written when its task completes (docs/architecture.md, "The task log").
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from nbrewind.errors import MissingObject, NotStorable, StoreError
from nbrewind.flow.code import hash_bytes, hash_parts
from nbrewind.flow.environment import installed_agrees, versions
from nbrewind.flow.names import is_library_path
from nbrewind.model import Digest, FileState, TaskCounts, TaskEntry
from nbrewind.tasks import payload
from nbrewind.tasks.files import MARK, FileDigests
from nbrewind.tasks.identity import CodeCache, Identity, Values
from nbrewind.tasks.walk import Leaf, walked

TOLD = 5
"""Notes on the tasks of one cell that are told; the rest are counted."""


class TaskStore(Protocol):
    """The part of the store that the task log needs."""

    def put(self, data: bytes | bytearray | memoryview) -> Digest:
        """Keep bytes; their digest at once."""

    def get(self, digest: Digest) -> bytes:
        """Bytes by digest; MissingObject if absent or damaged."""

    def has(self, digest: Digest) -> bool:
        """Whether an object is there."""

    def add_task(self, entry: TaskEntry) -> None:
        """Append an entry to the log."""

    def tasks(self, key: Digest) -> list[TaskEntry]:
        """Entries of a key, oldest first."""


def runs_user_code(frame: FrameType) -> bool:
    """Whether a frame is a cell's, or of a file that belongs to no package."""
    name = frame.f_code.co_filename
    return frame.f_globals.get("__name__") == "__main__" or not (
        name.startswith("<") or is_library_path(name)
    )


def environment_digest(name: str) -> Digest:
    """What a variable of this process's environment counts as; the same as in the state (R7)."""
    value = os.environ.get(name)
    return "absent" if value is None else hash_parts(value)


@dataclass(slots=True)
class CellTasks:
    """Tasks of one run of one cell.  Lives on while tasks of the cell still run."""

    serve: bool = True
    counts: TaskCounts = field(default_factory=TaskCounts)
    keys: dict[Digest, None] = field(default_factory=dict)
    occurrences: Counter[Digest] = field(default_factory=Counter)
    waiting: dict[Digest, list[int]] = field(default_factory=dict)
    packages: dict[Digest, frozenset[str]] = field(default_factory=dict)
    """What the keys that ``identify`` gave name."""
    reads: dict[str, FileState] = field(default_factory=dict)
    outputs: dict[str, FileState] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    overlapped: tuple[Digest, ...] = ()
    """Keys of tasks of earlier cells that ran when this one began."""
    left_open: tuple[Digest, ...] = ()
    """Keys of its own tasks that ran when it ended."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """The place of one task among its equals in one run of a cell."""

    key: Digest
    occurrence: int
    cell: CellTasks


class TaskContext:
    """What the session gives to engine adapters.  All methods are thread-safe."""

    def __init__(
        self,
        store: TaskStore,
        root: str | os.PathLike[str],
        *,
        namespace: payload.Namespace = payload.main_namespace,
    ) -> None:
        self.store = store
        self.files = FileDigests(Path(root))
        self.namespace = namespace
        self.executing = False
        """Whether a cell of the user runs now: tasks submitted at other times are left alone."""
        self.cell = CellTasks()
        self.leaves: dict[type, Leaf] = {}
        """How engine-specific objects (futures) count in an identity, by type."""
        self.default_client: Callable[[], None] | None = None
        """Called when an engine is used implicitly and has no client: makes restored ones appear."""
        self.file_state: Callable[[str], FileState | None] | None = None
        """What the state S says a path holds (R6); None for paths it does not know."""
        self.package_holds: Callable[[str, str], bool] = installed_agrees
        """Whether an installed package agrees with a recorded version (R13)."""
        self.variable_digest: Callable[[str], Digest] = environment_digest
        """What a variable of the environment counts as (R7); set where the state S knows better."""
        self.is_user_frame: Callable[[FrameType], bool] = runs_user_code
        """Whether a frame runs code of the notebook or of a local module."""
        self._pid = os.getpid()
        self.ignore_folder: Callable[[str], None] = lambda folder: None
        """Called with a folder that belongs to an engine: its logs are no state of the notebook."""
        self.quiet: Callable[[], AbstractContextManager[object]] = nullcontext
        """While it is open, files that this thread looks at are not the cell's."""
        self._code = CodeCache()
        self._lock = threading.RLock()
        self._flying: dict[int, tuple[CellTasks, Digest]] = {}
        """Tasks that were submitted and are not done."""
        self._flights = itertools.count()

    # -- the running cell -------------------------------------------------------------

    def begin_cell(self, *, serve: bool = True) -> None:
        """A cell starts to execute; ``serve=False`` (audit, strict) runs every task."""
        with self._lock:
            self.cell = CellTasks(serve=serve, overlapped=tuple({key for _, key in self._flying.values()}))
        self._code.clear()
        self.executing = True

    def end_cell(self) -> tuple[TaskCounts, tuple[Digest, ...]]:
        """The cell has ended: its counts so far, and the keys of its tasks.

        Tasks may still run; their results reach the log when they complete.
        """
        self.executing = False
        with self._lock:
            mine = {key for cell, key in self._flying.values() if cell is self.cell}
            self.cell.left_open = tuple(mine)
            return replace(self.cell.counts), tuple(self.cell.keys)

    @property
    def active(self) -> bool:
        """Whether tasks submitted now are the log's: a cell runs, and this is no forked child."""
        return self.executing and os.getpid() == self._pid

    @property
    def counts(self) -> TaskCounts:
        """Counts of the running (or last) cell."""
        return self.cell.counts

    def cell_files(self) -> tuple[dict[str, FileState], dict[str, FileState]]:
        """Files that tasks of the last cell were seen to read and to write, so far (R6, R7).

        Folders that tasks listed are checked by ``holds`` alone.
        """
        with self._lock:
            reads = {
                p: s for p, s in self.cell.reads.items() if s.kind != "dir" and not s.digest.startswith(MARK)
            }
            return reads, dict(self.cell.outputs)

    def notes(self) -> list[str]:
        """What is to be told of the last cell's tasks so far, the first few of it."""
        with self._lock:
            said = list(self.cell.notes)
        more = [f"and {len(said) - TOLD} more notes on tasks"] if len(said) > TOLD else []
        return said[:TOLD] + more

    def consumed(
        self, files: Mapping[str, FileState], outputs: Mapping[str, FileState], key: Digest = ""
    ) -> None:
        """The running cell looks at a result of an earlier cell, which was not known when that cell ended.

        What the task ``key`` wrote while the cell ran belongs to the cell: it waited for that.
        """
        if self.executing:
            with self._lock:
                self.cell.overlapped = tuple(one for one in self.cell.overlapped if one != key)
                self.cell.reads.update(files)
                self.cell.outputs.update(_paths(outputs))

    # -- identity ---------------------------------------------------------------------

    def identity(
        self,
        func: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        declared_inputs: Sequence[str] = (),
        options: Any = None,
        leaves: Mapping[type, Leaf] | None = None,
    ) -> Identity:
        """What a task is: the key under which the log holds it, and how that came about.

        Raises:
            NotStorable: an argument or captured value has no content; such a task just runs.
        """
        with self.quiet():
            return self._identity(func, args, kwargs, declared_inputs, options, leaves)

    def _identity(
        self,
        func: Any,
        args: Sequence[Any],
        kwargs: Mapping[str, Any] | None,
        declared_inputs: Sequence[str],
        options: Any,
        leaves: Mapping[type, Leaf] | None,
    ) -> Identity:
        known = {**self.leaves, **(leaves or {})}
        with self._lock:
            code = self._code.code(func, known)
        arguments = tuple(args), dict(kwargs or {})
        values = Values.of(arguments, known)
        rest: dict[str, Digest] = {}
        for path in sorted(self.files.portable(p) for p in declared_inputs):
            state = self._now(path, marked=False)
            rest[f"input {path}"] = f"{state.kind} {state.digest}"
        folder = self.files.folder()
        if folder:
            rest["working folder"] = folder
        packages = code.packages | values.packages
        if options is not None:
            walk = walked(options, known)
            rest["options"] = walk.digest()
            packages |= walk.packages
        parts = ["task", code.digest, values.digest]
        for name, digest in rest.items():
            parts += [name, digest]
        user = code.user or values.user
        return Identity(hash_parts(*parts), func, arguments, code, values, rest, user, known, packages)

    def identify(
        self, func: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **more: Any
    ) -> Digest:
        """The key of a task, for ``lookup`` and ``record`` in the same cell; see ``identity``."""
        found = self.identity(func, args, kwargs, **more)
        self.cell.packages[found.key] = found.packages
        return found.key

    def value_digest(self, value: Any, data: bytes | None = None) -> Digest:
        """What dependants see of a result: its content, else its stored bytes.

        A function or an object of a package is of its version too: who gets it names the package nowhere.
        """
        try:
            with self.quiet():
                walk = walked(value, self.leaves)
            named = [f"{package} {version}" for package, version in versions(walk.packages).items()]
            return hash_parts(walk.digest(), *named) if named else walk.digest()
        except NotStorable:
            return "p:" + hash_bytes(payload.dumps(value) if data is None else data)

    # -- look-up ----------------------------------------------------------------------

    def claim(self, key: Digest, cell: CellTasks | None = None) -> Ticket:
        """Take the next place among the cell's tasks with this key."""
        owner = cell or self.cell
        with self._lock:
            occurrence = owner.occurrences[key]
            owner.occurrences[key] += 1
            return Ticket(key, occurrence, owner)

    def find(self, ticket: Ticket, *, pure: bool = False) -> TaskEntry | None:
        """The newest entry that holds now: files unchanged, objects present.

        ``pure`` says that the engine was told that equal tasks give equal results: then
        any occurrence will do, as the engine itself merges them.
        """
        if not ticket.cell.serve:
            return None
        entries = [e for e in reversed(self.store.tasks(ticket.key)) if e.result and not e.error]
        exact = [e for e in entries if e.occurrence == ticket.occurrence]
        others = [e for e in entries if e.occurrence != ticket.occurrence] if pure else []
        with self.quiet():
            return next((e for e in (*exact, *others) if not self.changed(e) and self._present(e)), None)

    def changed(self, entry: TaskEntry) -> list[str]:
        """Paths, variables (``env:NAME``) and packages (``package:NAME``) that are not what the task had."""
        files = [path for path, wanted in entry.files.items() if not self._holds(path, wanted)]
        variables = [
            f"env:{name}" for name, wanted in entry.variables.items() if self.variable_digest(name) != wanted
        ]
        packages = [
            f"package:{name}" for name, had in entry.packages.items() if not self.package_holds(name, had)
        ]
        return files + variables + packages

    def lookup(self, key: Digest, *, pure: bool = False) -> TaskEntry | None:
        """Claim the next occurrence of ``key`` and serve it if the log has it.

        On None the task must run, and ``record`` be called with the same key.
        """
        ticket = self.claim(key)
        entry = self.find(ticket, pure=pure)
        with self._lock:
            self.cell.keys.setdefault(key)
            if entry is None:
                self.cell.waiting.setdefault(key, []).append(ticket.occurrence)
                self.cell.counts.run += 1
                return None
        if not self.serve(entry, ticket.cell):
            with self._lock:
                self.cell.waiting.setdefault(key, []).append(ticket.occurrence)
                self.cell.counts.run += 1
            return None
        return entry

    def count_run(self, cell: CellTasks) -> None:
        """Count a task that runs."""
        with self._lock:
            cell.counts.run += 1

    def takes_off(self, cell: CellTasks, key: Digest) -> int:
        """A task was submitted; ``key`` is empty where it has none.  Gives what ``lands`` wants."""
        with self._lock:
            number = next(self._flights)
            self._flying[number] = (cell, key)
            return number

    def lands(self, number: int) -> None:
        """The task is done, and logged if it is at all: it writes no more files."""
        with self._lock:
            self._flying.pop(number, None)

    def late_files(self, keys: Sequence[Digest]) -> dict[str, FileState] | None:
        """Files that these tasks wrote, each by its newest usable entry; None if that is not known of one."""
        found: dict[str, FileState] = {}
        for key in keys:
            entries = [e for e in reversed(self.store.tasks(key) if key else []) if e.result and not e.error]
            usable = next((e for e in entries if not self.changed(e) and self._present(e)), None)
            if usable is None:
                return None
            found.update(_paths(usable.outputs))
        return found

    def note_key(self, cell: CellTasks, key: Digest) -> None:
        """Remember that a cell's result rests on a task."""
        with self._lock:
            cell.keys.setdefault(key)

    def drop_key(self, cell: CellTasks, key: Digest) -> None:
        """A task of this very process cannot be logged: the record of its cell stands for what it did."""
        with self._lock:
            cell.keys.pop(key, None)

    def serve(self, entry: TaskEntry, cell: CellTasks) -> bool:
        """Count a hit and lay down its output files; False if they cannot be had."""
        try:
            with self.quiet():
                self._lay_down(entry)
        except (OSError, StoreError) as error:
            cell.notes.setdefault(f"output files of task {entry.name} could not be laid down ({error})")
            return False
        with self._lock:
            cell.counts.served += 1
            cell.reads.update(entry.files)
            cell.outputs.update(_paths(entry.outputs))
        return True

    def load(self, entry: TaskEntry) -> Any:
        """The result of an entry, built anew at every call.

        Raises:
            MissingObject: the object is gone or damaged.
            NotStorable: it cannot be built in this process.
        """
        return payload.loads(self.store.get(entry.result), self.namespace)

    def recalled(self, key: Digest, occurrence: int) -> tuple[Ticket, TaskEntry, Any] | None:
        """The task of a future that an earlier run left, with its result; None if it cannot be had."""
        entries = [e for e in reversed(self.store.tasks(key)) if e.result and not e.error]
        entries.sort(key=lambda e: (e.occurrence != occurrence, bool(self.changed(e))))
        for entry in entries:
            try:
                return Ticket(key, occurrence, CellTasks()), entry, self.load(entry)
            except (MissingObject, NotStorable):
                continue
        return None

    def holds(self, keys: Sequence[Digest]) -> tuple[list[str], list[Digest]]:
        """For planning: files changed under these tasks, and keys without a usable entry.

        A cell can be restored only if both are empty.
        """
        changed: dict[str, None] = {}
        missing: list[Digest] = []
        for key in keys:
            known = self.store.tasks(key)
            entries = [e for e in known if e.result and not e.error and self._present(e)]
            if not entries:
                if not any(e.error for e in known):  # the cell's record tells how a failure ended
                    missing.append(key)
                continue
            stale = [self.changed(entry) for entry in reversed(entries)]
            if all(stale):
                changed.update(dict.fromkeys(stale[0]))
        return list(changed), missing

    # -- record -----------------------------------------------------------------------

    def record(
        self,
        key: Digest,
        value: Any = None,
        *,
        name: str = "",
        seconds: float = 0.0,
        error: str = "",
        files: Mapping[str, FileState] | None = None,
        outputs: Mapping[str, FileState] | None = None,
        engine: str = "",
        worker: str = "",
        stdout: str = "",
        occurrence: int | None = None,
    ) -> TaskEntry | None:
        """Log a completed task after a ``lookup`` that gave None.

        None if the result cannot be stored: the task then runs again at the next repeat.
        """
        with self._lock:
            waiting = self.cell.waiting.get(key)
            place = occurrence if occurrence is not None else (waiting.pop(0) if waiting else 0)
        entry = TaskEntry(
            key,
            name,
            "",
            occurrence=place,
            files=dict(files or {}),
            outputs=dict(outputs or {}),
            error=error,
            seconds=seconds,
            created=time.time(),
            worker=worker,
            stdout=stdout,
            engine=engine,
            packages=versions(self.cell.packages.get(key, ())),
        )
        return self.add([Ticket(key, place, self.cell)], entry, value)

    def add(self, tickets: Sequence[Ticket], entry: TaskEntry, value: Any) -> TaskEntry | None:
        """Write one completed task under each of its keys; the first ticket names the cell."""
        cell = tickets[0].cell
        if entry.error:
            with self._lock:
                cell.counts.failed += 1
        else:
            try:
                data = payload.dumps(value)
                digest = self.value_digest(value, data)
            except NotStorable as error:
                cell.notes.setdefault(f"the result of task {entry.name} is not stored: {error}")
                return None
            entry = replace(entry, result=self.store.put(data), result_digest=digest)
        with self._lock:
            cell.reads.update(entry.files)
            cell.outputs.update(_paths(entry.outputs))
        for ticket in tickets:
            entry = replace(entry, key=ticket.key, occurrence=ticket.occurrence)
            self.store.add_task(entry)
        return entry

    def alias(self, ticket: Ticket, entry: TaskEntry, packages: Mapping[str, str]) -> None:
        """Let another key lead to an entry as well, with versions of the packages that this key rests on."""
        other = replace(entry, key=ticket.key, occurrence=ticket.occurrence, packages=dict(packages))
        places = (e for e in reversed(self.store.tasks(ticket.key)) if e.occurrence == ticket.occurrence)
        newest = next(places, None)
        if newest is None or _facts(newest) != _facts(other):
            self.store.add_task(other)

    # -- files ------------------------------------------------------------------------

    def _now(self, path: str, *, marked: bool) -> FileState:
        known = self.file_state(path) if self.file_state is not None else None
        return known if known is not None and not marked else self.files.state(path, marked=marked)

    def _holds(self, path: str, wanted: FileState) -> bool:
        known = self.file_state(path) if self.file_state is not None else None
        if known is not None and known.kind != "dir" and not wanted.digest.startswith(MARK):
            return known.kind == wanted.kind and known.digest == wanted.digest
        return self.files.holds(path, wanted)

    def _present(self, entry: TaskEntry) -> bool:
        wanted = [entry.result, *(s.digest for s in entry.outputs.values() if s.kind == "file")]
        return all(self.store.has(digest) for digest in wanted)

    def _lay_down(self, entry: TaskEntry) -> None:
        for path, wanted in entry.outputs.items():
            if self.files.holds(path, wanted):
                continue
            full = Path(self.files.absolute(path))
            if wanted.kind == "dir":
                full.mkdir(parents=True, exist_ok=True)
                continue
            data = self.store.get(wanted.digest)
            if full.is_file():
                # What a restore overwrites is kept first (R6).
                self.store.put(full.read_bytes())
            full.parent.mkdir(parents=True, exist_ok=True)
            temporary = full.with_name(f".{full.name}.{os.getpid()}.{threading.get_ident()}")
            try:
                temporary.write_bytes(data)
                if wanted.mode:
                    temporary.chmod(wanted.mode)
                temporary.replace(full)
            except OSError:
                temporary.unlink(missing_ok=True)
                raise


def _facts(entry: TaskEntry) -> tuple[object, ...]:
    """What an entry says beside where and when the task ran."""
    return entry.result, entry.error, entry.files, entry.outputs, entry.variables, entry.packages


def _paths(outputs: Mapping[str, FileState]) -> dict[str, FileState]:
    """Outputs with paths of their own: engines choose those named in angle brackets at each run."""
    return {path: state for path, state in outputs.items() if not path.startswith("<")}
