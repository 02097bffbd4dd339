"""The words of the model as frozen dataclasses; the ground floor, imports nothing of ours.

A *root* is a string that names one thing of the state: a plain identifier is a name of
the notebook's namespace; ``cls:<identity>`` is a class made by the notebook (R9);
``mod:<module>`` a local helper module's content (R7); ``attr:<module>:<name>`` an
attribute that cells set on a module (R8).  A *digest* is 32 hexadecimal digits.
Paths are POSIX strings: relative to the notebook's folder when below it, else absolute.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Root = str
Digest = str

FORMAT_VERSION = 2

FileKind = Literal["file", "dir", "absent"]
Action = Literal["restored", "executed", "recomputed", "failed", "skipped", "depends"]


@dataclass(frozen=True, slots=True)
class Version:
    """One entry of the state: what a root is, and where its bytes are (R1, R2, R4)."""

    digest: Digest
    image: Digest = ""
    """Object that holds the component; empty where it cannot be stored."""
    root: Root = ""
    """Key inside the image where it differs from the root's own name (``_3``)."""
    deps: tuple[Root, ...] = ()
    """Other roots that the value refers to: classes, modules, module attributes."""
    links: dict[Root, Digest] = field(default_factory=dict)
    """Roots that share identity-bearing nodes with this one, and how (R2)."""
    opaque: str = ""
    """Why the value cannot be stored; empty where it can."""
    chain: tuple[str, ...] = ()
    """Records that made and touched the value since it was last stored whole (R5)."""
    finaliser: bool = False
    """Whether dropping the value runs code of the user (R14)."""
    watched: bool = False
    """Whether a weak reference that another name leads to tells when the value goes (R14)."""
    summary: str = ""
    """Type and shape for viewers that must not load the value."""


@dataclass(frozen=True, slots=True)
class FileState:
    """What a path holds.  ``digest`` is empty for folders, absent paths and mere probes."""

    kind: FileKind
    digest: Digest = ""
    size: int = 0
    mode: int = 0


ABSENT = FileState("absent")


@dataclass(frozen=True, slots=True)
class AmbientValue:
    """An ambient item's value (R7): its digest and the object that holds it pickled."""

    digest: Digest
    image: Digest = ""


@dataclass(frozen=True, slots=True)
class Whole:
    """An earlier root of a written image, needed whole for a later hit (R1)."""

    digest: Digest
    links: dict[Root, Digest] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything that one execution of a cell was seen to read."""

    reads: dict[Root, Digest] = field(default_factory=dict)
    links: list[tuple[Root, Root, Digest]] = field(default_factory=list)
    absent: tuple[str, ...] = ()
    whole: dict[Root, Whole] = field(default_factory=dict)
    all_names: Digest = ""
    """Digest of the sorted set of names, where the cell iterated the namespace (R3)."""
    files: dict[str, FileState] = field(default_factory=dict)
    probes: dict[str, FileState] = field(default_factory=dict)
    listings: dict[str, Digest] = field(default_factory=dict)
    ambient: dict[str, Digest] = field(default_factory=dict)
    """Ambient items by key (``env:SEED``, ``rng:random``, ``cwd``); empty digest = absent."""
    packages: dict[str, str] = field(default_factory=dict)
    """Versions of the installed packages that the cell's code and values use (R13)."""
    identities: dict[Root, bool] = field(default_factory=dict)
    """Class identities that the cell gave out (False: nobody used them) or passed over (R9)."""
    replaced: tuple[Root, ...] = ()
    """Names that it bound or deleted, which do not count as users of ``identities``."""


@dataclass(frozen=True, slots=True)
class Delta:
    """Everything that one execution of a cell wrote: a function from state to state."""

    names: dict[Root, Version] = field(default_factory=dict)
    deleted: tuple[Root, ...] = ()
    files: dict[str, FileState] = field(default_factory=dict)
    ambient: dict[str, AmbientValue] = field(default_factory=dict)
    result: Version | None = None
    """The value of ``_N`` where the cell displayed a result (R14)."""
    early: int = 0
    """How many results it displayed before it bound or deleted ``_``, ``__`` or ``___``."""
    imports: tuple[str, ...] = ()
    """Installed modules that it imported first, in order: importing some changes others (R7)."""
    sources: dict[str, Digest] = field(default_factory=dict)
    """Local modules that it loaded -> the object with the text that was loaded: the file may change later."""


@dataclass(frozen=True, slots=True)
class CellError:
    """An exception that ended a cell, as the message protocol reports it."""

    ename: str
    evalue: str
    traceback: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """One execution of one cell: the constructive trace.  Many records per source key."""

    id: str
    source_key: Digest
    source: str
    trace: Trace
    delta: Delta
    outputs: Digest = ""
    """Object holding the output messages in order, as JSON; empty where there were none."""
    error: CellError | None = None
    seconds: float = 0.0
    created: float = 0.0
    flags: tuple[str, ...] = ()
    """``nondeterministic``, ``external``, ``stdin``, ``interrupted``, ``position``...; ``static``: what it
    read is inferred, ``unseen``: not all of it could be, and it is never a hit."""
    notes: tuple[str, ...] = ()
    """Sentences for the user: what could not be stored and why."""
    tasks: tuple[str, ...] = ()
    """Keys of the distributed tasks that the cell submitted."""
    environment: Digest = ""
    open_tasks: tuple[str, ...] = ()
    """Keys of those that still ran when the cell ended; empty texts for tasks that have none."""
    overlapped: tuple[str, ...] = ()
    """The same of tasks of earlier cells that still ran when the cell began."""


@dataclass(slots=True)
class TaskCounts:
    """Tasks of one cell."""

    served: int = 0
    run: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Commit:
    """A node of the history: the parent's state with one record's delta applied."""

    id: str
    parent: str
    """Empty for the root."""
    run: str
    record: str
    action: Action
    execution_count: int
    cell_id: str = ""
    index: int = -1
    created: float = 0.0
    between: tuple[tuple[int, Delta], ...] = ()
    """What happened since the parent and left no record (callbacks, silent requests, cells with
    recording off), with the execution counts: applied before the record's delta (R11)."""
    reason: str = ""
    """Why the cell was executed or restored, as its report said."""
    changed_inputs: tuple[str, ...] = ()
    seconds: float = 0.0
    """What it took this time; the record tells what executing it took."""
    tasks: TaskCounts = field(default_factory=TaskCounts)
    recomputed: tuple[str, ...] = ()
    """Records of earlier cells that ran again to rebuild a value for this one."""


@dataclass(frozen=True, slots=True)
class Run:
    """One life of one kernel (or one headless run): a branch of the history."""

    id: str
    notebook: str = ""
    """Path label, empty when unknown."""
    mode: str = "audit"
    started: float = 0.0
    ended: float = 0.0
    head: str = ""
    """Last commit."""
    parent: str = ""
    """The run whose start world this one inherits (R6)."""
    found: dict[str, FileState] = field(default_factory=dict)
    """Paths touched, as the first toucher found them: the start world."""
    left: dict[str, FileState] = field(default_factory=dict)
    """The same paths as the run last left them."""
    inputs: dict[str, FileState] = field(default_factory=dict)
    """Inputs that a package describes and does not hold: where nothing lies at a path, they count."""
    environment: Digest = ""
    status: str = "running"


@dataclass(frozen=True, slots=True)
class TaskEntry:
    """One completed distributed task.  One key may have several entries."""

    key: Digest
    name: str
    result: Digest
    """Object with the pickled result; empty for a failed task."""
    result_digest: Digest = ""
    """Content digest of the result: what dependants see (early cutoff)."""
    occurrence: int = 0
    files: dict[str, FileState] = field(default_factory=dict)
    """Undeclared files that the task was seen to read."""
    outputs: dict[str, FileState] = field(default_factory=dict)
    error: str = ""
    seconds: float = 0.0
    created: float = 0.0
    worker: str = ""
    stdout: str = ""
    engine: str = ""
    stderr: str = ""
    memory: int = 0
    """Peak memory of the worker's process in bytes, up to the end of the task."""
    variables: dict[str, Digest] = field(default_factory=dict)
    """Environment variables that the task was seen to read, by what the notebook had in them."""
    parts: dict[str, Digest] = field(default_factory=dict)
    """What the key is made of, by names for people."""
    packages: dict[str, str] = field(default_factory=dict)
    """Installed packages that its code and arguments name, by version (R13)."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """One installed distribution."""

    name: str
    version: str
    url: str = ""
    """Where it came from if not from an index: a repository or an archive, without credentials."""
    hash: str = ""
    """Of that archive (``sha256=...``), or the commit of that repository."""
    local: str = ""
    """``editable`` or ``folder``: it came from this machine, and its version says little."""
    content: Digest = ""
    """Of the Python files of such a one."""
    subfolder: str = ""


@dataclass(frozen=True, slots=True)
class Environment:
    """What a run ran in (R13)."""

    python: str
    implementation: str
    system: str
    machine: str
    libc: str
    kind: str
    """``conda``, ``venv`` or ``system``."""
    hash_seed: str
    features: tuple[str, ...] = ()
    """Vector instructions of the processor: libraries choose their code by these."""
    distributions: tuple[Distribution, ...] = ()


@dataclass(slots=True)
class CellReport:
    """What happened to one cell, and why; the element of ``--json`` output."""

    index: int
    cell_id: str
    action: Action
    reason: str
    changed_inputs: list[str] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    recorded_seconds: float | None = None
    outputs_equal: bool | None = None
    tasks: TaskCounts = field(default_factory=TaskCounts)
    warnings: list[str] = field(default_factory=list)
    replayed: bool = False
    depends_on: list[int] = field(default_factory=list)
    commit: str = ""
    record: str = ""
    recomputed: list[str] = field(default_factory=list)
    """Records of earlier cells that ran again to rebuild a value for this one."""


@dataclass(slots=True)
class State:
    """S: names, paths and ambient items to versions.  Nothing needs to be loaded (R2)."""

    names: dict[Root, Version] = field(default_factory=dict)
    files: dict[str, FileState] = field(default_factory=dict)
    ambient: dict[str, AmbientValue] = field(default_factory=dict)
    results: tuple[int, ...] = ()
    """Execution counts that displayed a result, oldest first."""
    put: tuple[int, ...] | None = None
    """While ``_``, ``__`` or ``___`` is the user's, IPython moves none on: what it put there last, by
    execution count, 0 for the empty string that each of them is at first."""
    unbound: frozenset[str] = frozenset()
    """Those of the three that cells have deleted since."""
    imports: tuple[str, ...] = ()
    """Installed modules that were imported so far, in order."""
    sources: dict[str, Digest] = field(default_factory=dict)
    """Local modules that are loaded -> the object with their text."""
    _marked: tuple[Root, ...] | None = field(default=None, repr=False, compare=False)

    @property
    def marked(self) -> tuple[Root, ...]:
        """Roots that are no plain names: they have a colon, and few cells make any.

        Looked for once: no such root is added after that.
        """
        if self._marked is None:
            self._marked = tuple(root for root in self.names if ":" in root)
        return self._marked

    @property
    def attributes(self) -> list[Root]:
        """Roots of module attributes that cells have set."""
        return [root for root in self.marked if root.startswith("attr:")]

    def marks_as(self, other: State) -> None:
        """The roots with a colon are those of ``other``: thousands of names need not be looked through."""
        self._marked = other._marked

    def copy(self) -> State:
        """A shallow copy: versions are frozen and may be shared."""
        return State(
            dict(self.names),
            dict(self.files),
            dict(self.ambient),
            self.results,
            self.put,
            self.unbound,
            self.imports,
            dict(self.sources),
        )


JSON = Mapping[str, Any]
