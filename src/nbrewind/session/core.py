"""The one object that kernels drive: cells in, reports out (docs/architecture.md, "The way of one cell").

``begin`` decides and prepares; the kernel runs the cell; ``end`` observes and records.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import pickle
import platform
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import msgspec

from nbrewind import rules
from nbrewind.errors import NBRewindError, NotStorable, RecomputeFailed
from nbrewind.flow import code as codes
from nbrewind.flow.ambient import SECRET, Ambient, digest_of
from nbrewind.flow.code import hash_parts
from nbrewind.flow.digest import content_digest
from nbrewind.flow.files import ABOVE_CELLS, CellFiles, FileWatch
from nbrewind.flow.imports import ImportWatch
from nbrewind.flow.names import is_library_path, is_local_module, retake_baselines
from nbrewind.model import (
    AmbientValue,
    CellError,
    CellReport,
    Commit,
    Delta,
    FileState,
    Record,
    Root,
    Run,
    State,
    TaskCounts,
    Trace,
    Version,
)
from nbrewind.plan.algebra import (
    apply_delta,
    component_of,
    digest_in,
    expand,
    is_result,
    reachable,
    to_symbol,
)
from nbrewind.plan.match import PACKAGE_ITEMS, RESULT_NAMES, choose, label, names_digest
from nbrewind.session import modules
from nbrewind.session.memory import Memory
from nbrewind.session.nondeterminism import nondeterministic_names
from nbrewind.session.observe import Observed, Observer
from nbrewind.session.world_files import FileLayer, StartWorld, equal
from nbrewind.store import Store
from nbrewind.tasks.adapter import EngineAdapter, load_adapters
from nbrewind.tasks.context import TaskContext

Transform = Callable[[str], str]
Message = dict[str, Any]

_NEVER_REPLAYED = frozenset(
    {"OSError", "MemoryError", "KeyboardInterrupt", "FileNotFoundError", "PermissionError", "TimeoutError",
     "ConnectionError", "BrokenPipeError", "InterruptedError", "IsADirectoryError", "NotADirectoryError",
     "FileExistsError", "ConnectionResetError", "ConnectionRefusedError", "KilledWorker", "CancelledError", "EOFError",
     "StdinNotImplementedError", "SystemExit", "RecursionError"}
)  # fmt: skip
_FRAME_LIBRARIES = frozenset(
    {
        "query",
        "eval",
        "sql",
        "execute",
        "formula",
        "ols",
        "from_formula",
        "assign",
        "timeit",
        "run_line_magic",
        "run_cell_magic",
    }
)


@dataclass(slots=True)
class Options:
    """What a kernel is told when it starts (``NBREWIND_OPTIONS``)."""

    notebook: str = ""
    strict: bool = False
    engine: str | None = None
    env: str = "compatible"
    ignore: list[str] = field(default_factory=list)
    end_files: bool = True


@dataclass(slots=True)
class Running:
    """A cell that executes."""

    source: str
    transformed: str
    key: str
    code: CodeType | None
    report: CellReport
    count: int
    before: State
    started: float
    ambient: dict[str, str]
    imports: set[str]
    names: frozenset[str]
    loaded: set[str]


@dataclass(slots=True)
class Restored:
    """A cell that is restored: what to show, and the report."""

    report: CellReport
    messages: list[Message]
    error: CellError | None
    record: Record


class Session:
    """State, memory, files and history of one kernel process."""

    def __init__(self, store: Store, root: Path, *, mode: str, options: Options | None = None) -> None:
        self.store = store
        self.root = Path(root).resolve()
        self.mode = mode
        self.options = options or Options()
        self.audit = True
        self.memory = Memory(store)
        self.memory.suspend = self._suspended
        self.memory.rebuild = self._rebuild_sync
        self.memory.attribute_baseline = {}
        self.observer = Observer(self.memory)
        self.ambient = Ambient(str(self.root))
        self.imports = ImportWatch()
        self.files = FileWatch(
            self.root, store_file=store.put_file, digest_file=store.digest_file, ignore=self._ignored()
        )
        self.files.is_user_frame = self._is_user_frame
        self.tasks = TaskContext(store, self.root)
        self.tasks.file_state = self._file_now
        self.tasks.default_client = self._restore_handles
        self.memory.rebuild_handle_with = self._rebuild_handle
        self.adapters: list[EngineAdapter] = []
        self.run = self._start_run()
        self.start = StartWorld(self.root, self.run, store.digest_file, self.ambient.base_env)
        self.start.ignored = self.files.ignored
        self.layer = FileLayer(self.start, store)
        self.commits: list[tuple[Commit, Record, State]] = []
        """The current branch: commit, record, and the state before it."""
        self.branch: set[str] = set()
        self.running: Running | None = None
        self.transform: Transform = lambda source: source
        self.run_silently: Callable[[str], Awaitable[Any]] | None = None
        """Runs a cell's source in the shell without output or history (recomputation)."""
        self.compile_flags: Callable[[], int] = lambda: 0
        self.forced = False
        self.unrecorded: list[str] = []
        self.said: set[str] = set()
        self._counter = 0
        self._foreign_state: frozenset[str] = frozenset()
        self.behind = False
        """Whether a restored cell changed S and the process has not been brought to it yet."""
        self._install()

    # -- set-up ------------------------------------------------------------------------------

    def _ignored(self) -> list[str]:
        paths = [*self.options.ignore, str(self.store.path)]
        return [*paths, self.options.notebook] if self.options.notebook else paths

    def _start_run(self) -> Run:
        label_ = self.options.notebook or str(self.root)
        earlier = self.store.runs(label_)
        parent = earlier[0] if earlier and self.mode == "repeat" else None
        self.previous = parent
        run = Run(
            id=uuid.uuid4().hex, notebook=label_, mode=self.mode, started=time.time(),
            parent=parent.id if parent is not None else "",
            found=dict(parent.found) if parent is not None else {},
            left=dict(parent.left) if parent is not None else {},
            environment=hash_parts(platform.python_version()),
        )  # fmt: skip
        self._run_saved = False
        return run

    def _install(self) -> None:
        self.imports.install()
        self.imports.any_callbacks.append(self._imported)
        self.ambient.watch_environment(self._caused_by_user)
        import random

        self.ambient.watch_seeds("rng:random", random, "seed")
        self.imports.when("numpy.random", self._numpy_random)
        self.adapters = load_adapters()
        foreign: set[str] = set()
        for adapter in self.adapters:
            foreign |= {f"attr:{name}" for name in getattr(adapter, "engine_state", ())}
            for name in adapter.modules:
                self.imports.when(name, lambda module, adapter=adapter: self._engine_imported(adapter))
        self._foreign_state = frozenset(foreign)

    def _file_now(self, path: str) -> FileState:
        """What the state, else the start world, says a path holds (R6)."""
        key = self._portable(path)
        return self.state.files.get(key) or self.start.file(key, content=True)

    def _restore_handles(self) -> None:
        """An engine is used without naming its client: restored handles must exist then."""
        for root, version in list(self.state.names.items()):
            if any(dep.startswith("handle:") for dep in version.deps) and not self.memory.is_live(root):
                with contextlib.suppress(NBRewindError):
                    self.memory.materialise(root)

    def _rebuild_handle(self, identity: str, kind: str, recipe: Any) -> Any:
        engine = kind.partition(".")[0]
        if self.options.engine == "none":
            raise NotStorable(f"a {kind} is needed, and --engine none refuses to start any")
        for adapter in self.adapters:
            if adapter.name == engine:
                return adapter.rebuild(kind, recipe)
        raise NotStorable(f"the engine {engine!r} is not installed here")

    def _numpy_random(self, module: Any) -> None:
        """Its state at import is what the cell that imports it starts from."""
        self.ambient.watch_seeds("rng:numpy", module, "seed")
        item = self.ambient.item("rng:numpy")
        if item is not None and self.ambient.available(item):
            self.ambient.start.setdefault(item.key, digest_of(item.get()))

    def _engine_imported(self, adapter: EngineAdapter) -> None:
        with self._suspended():
            adapter.install(self.tasks)
            for package in {name.partition(".")[0] for name in adapter.modules}:
                retake_baselines(package)
            for cls, describe in adapter.handles().items():
                self.memory.world.handle_types[cls] = describe

    def _imported(self, module: Any) -> None:
        self.ambient.refresh()
        name = module.__name__
        for item in self.ambient.items:
            value = self.state.ambient.get(item.key) if item.module == name else None
            if value is not None and value.image and self.ambient.available(item):
                with self._suspended():
                    item.put(pickle.loads(self.store.get(value.image)))
        if is_local_module(name):
            with self._suspended():
                for root, value in modules.local_data({name}).items():
                    with contextlib.suppress(NBRewindError):
                        self.memory.attribute_baseline[root] = content_digest(value)

    def _is_user_frame(self, frame: FrameType) -> bool:
        if frame.f_globals is self.memory.namespace:
            return True
        name = frame.f_code.co_filename
        return not name.startswith("<") and not is_library_path(name)

    def _caused_by_user(self) -> bool:
        if self.running is None or self.memory.quiet or getattr(self.files._busy, "depth", 0):
            return False
        frame: FrameType | None = sys._getframe(2)
        while frame is not None:
            name = frame.f_code.co_filename
            if name.startswith("<frozen importlib") or name.endswith(ABOVE_CELLS):
                return False
            if not name.startswith("<frozen") and self._is_user_frame(frame):
                return True
            frame = frame.f_back
        return False

    @contextlib.contextmanager
    def _suspended(self) -> Iterator[None]:
        """Own loads open files, draw random numbers and read variables: none of it counts."""
        recording, self.ambient.recording = self.ambient.recording, False
        try:
            with self.files.quiet():
                yield
        finally:
            self.ambient.recording = recording

    # -- the decision ------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """S, the current state."""
        return self.memory.state

    def key_of(self, source: str) -> str:
        """Source key of a cell."""
        return codes.source_key(self.transform(source))

    def decide(
        self,
        source: str,
        *,
        index: int = -1,
        cell_id: str = "",
        force: bool = False,
        tags: Sequence[str] = (),
    ) -> tuple[Record | None, CellReport]:
        """Whether a record holds; the report says what differs where none does."""
        report = CellReport(index=index, cell_id=cell_id, action="executed", reason="")
        if self.mode != "repeat" or not self.audit:
            report.reason = "audit"
            return None, report
        if force or self.forced:
            self.forced = False
            report.reason = "forced"
            return None, report
        self.settle()
        records = [r for r in self.store.records(self.key_of(source)) if self._usable(r)]
        record, changed = choose(
            records, self.state, self.start, branch=frozenset(self.branch | self._previous_branch())
        )
        if record is None:
            report.changed_inputs = changed
            report.reason = "no record of this code" if changed == ["source"] else f"{changed[0]} changed"
        else:
            report.reason = "trace holds"
        return record, report

    def _previous_branch(self) -> set[str]:
        if not hasattr(self, "_earlier"):
            head = self.previous.head if self.previous is not None else ""
            self._earlier = {commit.record for commit in self.store.path_to(head)} if head else set()
        return self._earlier

    def _usable(self, record: Record) -> bool:
        if self.options.strict and "nondeterministic" in record.flags:
            return False
        if "never" in record.flags or "environment" in record.flags:
            return False
        if record.error is not None and rules.on("R12") and not replayable(record):
            return False
        if record.tasks:
            changed, missing = self.tasks.holds(record.tasks)
            if changed or missing:
                return False
        return self.store.complete(record)

    def restore(self, record: Record, report: CellReport, count: int) -> Restored:
        """Apply a record: the state changes, nothing is loaded."""
        started = time.perf_counter()
        before = self.state
        self._reach(record.delta.files, {})
        after = apply_delta(before, record.delta, count)
        for root in {*record.delta.names, *record.delta.deleted}:
            self.observer.forget(root)
        self.memory.become(after)
        self.behind = True
        messages = self._messages(record)
        report.action = "failed" if record.error is not None else "restored"
        report.replayed = record.error is not None
        report.reads = [label(root) for root in record.trace.reads if not root.startswith(("lib:", "cls:"))]
        report.writes = written_names(record.delta)
        report.recorded_seconds = record.seconds
        report.outputs_equal = True
        report.warnings = self._warnings(record)
        self._commit(record, report, count, before)
        report.seconds = time.perf_counter() - started
        return Restored(report, messages, record.error, record)

    def _messages(self, record: Record) -> list[Message]:
        if not record.outputs:
            return []
        found: list[Message] = json.loads(self.store.get(record.outputs))
        return found

    def _warnings(self, record: Record) -> list[str]:
        notes = []
        for flag, text in (
            ("nondeterministic", "reads the clock or unseeded randomness: the recorded draw is reused"),
            ("external", "spoke to the outside (a child process or the network), which was not repeated"),
        ):
            if flag in record.flags and (flag, record.source_key) not in self.said:
                self.said.add((flag, record.source_key))  # type: ignore[arg-type]
                notes.append(text)
        return notes

    # -- execution ---------------------------------------------------------------------------

    async def begin(self, source: str, report: CellReport, count: int) -> Running:
        """Bring the process to S and start recording; the kernel runs the cell next."""
        self.settle()
        transformed = self.transform(source)
        code = self._compiled(transformed)
        memory = self.memory
        names = codes.attribute_names(code) if code is not None else frozenset()
        imports = modules.imported_names(transformed)
        await self._rebuild_needed(code)
        self.bring_process()
        modules.prepare_baselines(imports | self._modules_in_state())
        loaded = modules.local_modules()
        running = Running(
            source,
            transformed,
            self.key_of(source),
            code,
            report,
            count,
            self.state,
            0.0,
            {},
            imports,
            names,
            loaded,
        )
        seen = memory.begin(shims="builtins" not in names and "__builtins__" not in names)
        if code is not None:
            self._prefault(code, names)
            self._evict(code)
        self.ambient.refresh()
        with self._suspended():
            running.ambient = self.ambient.snapshot()
        self.running = running
        self.tasks.begin_cell(serve=self.mode == "repeat" and report.reason != "forced")
        self.files.begin()
        self.ambient.begin(running.ambient)
        loads = codes.global_names(code) if code is not None else frozenset()
        seen.position = bool(loads & {"In", "_ih", "_i", "_ii", "_iii"})
        running.started = time.perf_counter()
        return running

    def _compiled(self, transformed: str) -> CodeType | None:
        try:
            flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | self.compile_flags()
            with contextlib.suppress(SyntaxWarning):
                return compile(transformed, "<cell>", "exec", flags, dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
        return None

    def _modules_in_state(self) -> set[str]:
        """Modules that names of the state are bound to, already loaded ones."""
        found = {root[4:] for root in self.state.names if root.startswith("mod:")}
        for root, value in list(self.memory.live.items()):
            if type(value).__name__ == "module" and ":" not in root:
                found.add(value.__name__)
        return found

    def _prefault(self, code: CodeType, names: frozenset[str]) -> None:
        wanted = set(codes.prefault_names(code))
        stored = codes.stored_names(code)
        if rules.on("R14"):
            wanted |= {n for n in stored if n in self.state.names and self.state.names[n].finaliser}
        if names & _FRAME_LIBRARIES:
            words = {word for text in string_constants(code) for word in _identifiers(text)}
            wanted |= {word for word in words if word in self.state.names}
        for name in sorted(wanted):
            self.memory.prefault(name)

    def _evict(self, code: CodeType) -> None:
        """``x = big()`` must not hold the old ``x`` while it runs."""
        memory = self.memory
        for name in codes.stored_names(code) - codes.global_names(code):
            version = self.state.names.get(name)
            if (
                version is None
                or not version.image
                or version.links
                or version.finaliser
                or name not in memory.live
            ):
                continue
            if memory.is_live(name) and not self._loaded_by_functions(name):
                del memory.live[name]
                memory.held.pop(name, None)

    def _loaded_by_functions(self, name: str) -> bool:
        return any(
            name in codes.global_names(value.__code__)
            for value in self.memory.live.values()
            if hasattr(value, "__code__") and isinstance(value.__code__, CodeType)
        )

    def bring_process(self) -> None:
        """Order matters: path and folder, files, imports, module attributes, then ambient again."""
        memory = self.memory
        self.behind = False
        with memory.own_work():
            self.layer.lay_down(self.state.files)
            self._put_ambient(("sys.path", "cwd"))
            for root in [r for r in self.state.names if r.startswith("attr:")]:
                if not memory.is_live(root):
                    memory.materialise(root)
            for root in [r for r in memory.held if r.startswith("attr:") and r not in self.state.names]:
                modules.reset_attribute(root)
                del memory.held[root]
            self._put_ambient(None)

    def _put_ambient(self, keys: tuple[str, ...] | None) -> None:
        ambient, state = self.ambient, self.state
        now = ambient.snapshot()
        for key, value in state.ambient.items():
            if keys is not None and key not in keys:
                continue
            if now.get(key) != value.digest and value.image:
                ambient.put(key, pickle.loads(self.store.get(value.image)))
        for key, digest in now.items():
            if keys is not None and key not in keys:
                continue
            if key not in state.ambient and not key.startswith("rng:") and not ambient.is_base(key, digest):
                ambient.reset(key)

    def end(
        self, *, error: CellError | None, messages: list[Message], interrupted: bool = False
    ) -> CellReport:
        """Observe what the cell did, record it, commit it; live values are not read afterwards."""
        running = self.running
        assert running is not None
        seconds = time.perf_counter() - running.started
        self.ambient.end()
        cell_files = self.files.end()
        counts, task_keys = self.tasks.end_cell()
        self.running = None
        report = running.report
        report.action = "failed" if error is not None else "executed"
        report.seconds = seconds
        report.tasks = counts
        try:
            record = self._record(
                running, cell_files, error, messages, interrupted, seconds, counts, task_keys
            )
        except Exception as problem:
            self._unknown(running, problem)
            if os.environ.get("NBREWIND_DEBUG"):
                raise
            report.warnings.append(f"not recorded: {type(problem).__name__}: {problem}")
            return report
        report.reads = [label(root) for root in record.trace.reads if not root.startswith(("lib:", "cls:"))]
        report.writes = written_names(record.delta)
        report.warnings += record.notes
        report.outputs_equal = self._compare_outputs(record)
        return report

    def _compare_outputs(self, record: Record) -> bool | None:
        earlier = [r for r in self.store.records(record.source_key) if r.id != record.id]
        if not earlier:
            return None
        return earlier[0].outputs == record.outputs

    def _unknown(self, running: Running, problem: Exception) -> None:
        """Recording failed: what the cell touched is live but unknown, and never a hit."""
        memory = self.memory
        cell, memory.cell = memory.cell, None
        values = memory.park()
        after = self.state.copy()
        touched = set(values) | (set(cell.reads) if cell is not None else set())
        for root in component_of(self.state, touched) | set(values):
            version = Version(digest=uuid.uuid4().hex, opaque=f"recording failed ({problem})")
            after.names[root] = version
            memory.held[root] = version
            if root in values:
                memory.live[root] = values[root]
        for name in cell.faulted if cell is not None else ():
            if name not in values and name in after.names:
                del after.names[name]
        memory.state = after
        self.unrecorded.append(running.report.cell_id or str(running.report.index))

    def _record(
        self, running: Running, files: CellFiles, error: CellError | None, messages: list[Message],
        interrupted: bool, seconds: float, counts: TaskCounts, task_keys: tuple[str, ...],
    ) -> Record:  # fmt: skip
        memory, before, count = self.memory, running.before, running.count
        cell, memory.cell = memory.cell, None
        assert cell is not None
        values = memory.park()
        flags: list[str] = []
        notes: list[str] = []
        own_result = f"_{count}"
        has_result = own_result in values
        aliases = {name for name in RESULT_NAMES if name in cell.faulted and name not in before.names}
        for name in aliases:
            if name in values and id(values[name]) == cell.faulted[name]:
                root = memory.resolve(name)
                del values[name]
                if root is not None:
                    cell.reads.add(root)
        stored = codes.stored_names(running.code) if running.code is not None else frozenset()
        bound, mutated = set(), set()
        for name, value in values.items():
            if name not in cell.faulted or cell.faulted[name] != id(value):
                bound.add(name)
            elif name in stored:
                mutated.add(name)
        deleted = {n for n in cell.faulted if n not in values and n not in aliases and n in before.names}
        for name in values:
            memory.live[name] = values[name]
        libs = {"lib:" + name.partition(".")[0] for name in running.imports}
        read = expand(before, {r for r in cell.reads} | libs)
        new_modules = modules.local_modules() - running.loaded
        trace = self._trace(running, cell, read, before, files, flags, new_modules, error)
        trace_key = hash_parts(running.key, msgspec.json.encode(trace, order="deterministic"))
        self._counter += 1
        record_id = hash_parts(trace_key, self.run.id, str(self._counter))
        touched_values = dict(values)
        for root in cell.reads:
            if root in memory.live and root not in deleted:
                touched_values[root] = memory.live[root]
        attributes = self._attributes(running, read, new_modules, before)
        observed = self.observer.observe(
            touched_values, before=before, reads=cell.reads, bound=frozenset(bound), mutated=frozenset(mutated), creator=trace_key,
            record=record_id, count=count, taken=reachable(before, bound | deleted), attributes=attributes,
        )  # fmt: skip
        notes += observed.notes
        trace = replace(trace, whole=observed.whole)
        delta = self._delta(
            running, observed, deleted, before, files, trace, flags, has_result, attributes, new_modules
        )
        self._classify(running, files, cell, error, interrupted, flags, counts)
        outputs = self.store.put(json.dumps(messages, sort_keys=True).encode()) if messages else ""
        record = Record(
            id=record_id, source_key=running.key, source=running.source, trace=trace, delta=delta, outputs=outputs,
            error=error, seconds=seconds, created=time.time(), flags=tuple(dict.fromkeys(flags)), notes=tuple(notes),
            tasks=task_keys, environment=self.run.environment,
        )  # fmt: skip
        after = apply_delta(before, delta, count)
        self._reach(delta.files, {self.files.key(self.files.path(k)): v for k, v in files.found.items()})
        memory.state = after
        self._hold(observed, bound | deleted, after)
        if self.audit:
            self.store.add_record(record)
            self._commit(record, running.report, count, before)
        return record

    def _hold(self, observed: Observed, replaced: set[Root], after: State) -> None:
        """Live values are now at the versions just recorded."""
        memory = self.memory
        for root in replaced:
            if root not in after.names:
                memory.live.pop(root, None)
                memory.held.pop(root, None)
                self.observer.forget(root)
        for root in (*observed.versions, *observed.unchanged):
            version = after.names.get(root)
            if version is not None:
                memory.held[root] = version
        for root in [r for r in memory.held if r not in after.names]:
            memory.held.pop(root)
            memory.live.pop(root, None)

    def _trace(
        self, running: Running, cell: Any, read: set[Root], before: State, files: CellFiles, flags: list[str],
        new_modules: set[str], error: CellError | None,
    ) -> Trace:  # fmt: skip
        reads: dict[Root, str] = {}
        for root in sorted(read):
            digest = digest_in(before, root)
            if digest is not None:
                reads[to_symbol(root, before.results)] = digest
        links = []
        for root in sorted(read):
            version = before.names.get(root)
            for peer, link in version.links.items() if version is not None else ():
                a, b = to_symbol(root, before.results), to_symbol(peer, before.results)
                if peer in read and a < b:
                    links.append((a, b, link))
        absent = sorted(name for name in cell.absent if name not in before.names)
        ambient: dict[str, str] = {}
        for name, value in self.ambient.env_reads.items():
            key = "env:" + name
            ambient[key] = "absent" if value is None else hash_parts(value)
        for key, state in before.ambient.items():
            package = PACKAGE_ITEMS.get(key)
            if not key.startswith(("env:", "rng:")) and (package is None or "lib:" + package in reads):
                ambient[key] = state.digest
        ambient.update(self._random_reads(running, before, flags, read))
        if cell.position:
            ambient["position"] = hash_parts(str(running.count))
            flags.append("position")
        task_reads, _ = self.tasks.cell_files()
        file_reads = {**{self._portable(p): s for p, s in task_reads.items()}, **files.reads}
        for name in new_modules:
            for path in modules.module_files(name):
                key = self.files.key(path)
                if key not in file_reads and key not in files.found:
                    file_reads[key] = self.files.state(path)
        return Trace(
            reads=reads, links=links, absent=tuple(absent), all_names=names_digest(before) if cell.iterated else "",
            files=file_reads, probes={p: s for p, s in files.probes.items() if p not in file_reads},
            listings=files.listings, ambient=ambient,
        )  # fmt: skip

    def _portable(self, path: str) -> str:
        return self.files.key(self.files.path(path))

    def _random_reads(
        self, running: Running, before: State, flags: list[str], read: set[Root]
    ) -> dict[str, str]:
        found: dict[str, str] = {}
        for item in self.ambient.items:
            if not item.random or not self.ambient.available(item):
                continue
            now = digest_of(item.get())
            if now == running.ambient.get(item.key) or item.key in self.ambient.seeded:
                continue
            if item.key == "rng:random" and self._engine_drew(read, running):
                continue
            known = before.ambient.get(item.key)
            found[item.key] = known.digest if known is not None else ""
            if known is None:
                flags.append("nondeterministic")
        return found

    def _engine_drew(self, read: set[Root], running: Running) -> bool:
        """Engines' own threads draw from ``random``; a notebook that does not name it did not."""
        engines = {"lib:dask", "lib:distributed", "lib:parsl", "lib:ray"}
        return bool(read & engines) and "lib:random" not in read

    def _attributes(
        self, running: Running, read: set[Root], new_modules: set[str], before: State
    ) -> list[Root]:
        """Module attributes that the cell may have set or changed (R8)."""
        if not rules.on("R8"):
            return []
        packages = {root[4:] for root in read if root.startswith("lib:")} | {
            name.partition(".")[0] for name in running.imports
        }
        wanted = {n for n in list(sys.modules) if n.partition(".")[0] in packages and n in modules.BASELINES}
        wanted |= {root[4:] for root in read if root.startswith("mod:")} | new_modules
        stored = self._attributes_stored(running, read)
        found = {
            root: value
            for root, value in modules.patched(wanted).items()
            if root.rpartition(":")[2] in stored
        }
        found.update(modules.local_data(wanted))
        found.update({root: None for root in before.names if root.startswith("attr:") and root in read})
        if "matplotlib" in packages and "matplotlib._pylab_helpers" in sys.modules:
            if modules.open_figures() or modules.FIGURES in before.names:
                found[modules.FIGURES] = None
        return [root for root in sorted(found) if root not in self._foreign_state]

    def _attributes_stored(self, running: Running, read: set[Root]) -> set[str]:
        """Names of attributes that the cell's code, or a function that it read, sets."""
        queue = [running.code] if running.code is not None else []
        for root in read:
            inner = getattr(self.memory.live.get(root), "__code__", None)
            if isinstance(inner, CodeType):
                queue.append(inner)
        return {name for code in queue for name in codes.stored_attributes(code)}

    def _delta(
        self, running: Running, observed: Observed, deleted: set[str], before: State, files: CellFiles, trace: Trace,
        flags: list[str], has_result: bool, attributes: list[Root], new_modules: set[str],
    ) -> Delta:  # fmt: skip
        count, results = running.count, before.results
        names: dict[Root, Version] = {}
        result: Version | None = None
        for root, version in observed.versions.items():
            links = {to_symbol(peer, results, count): link for peer, link in version.links.items()}
            version = replace(version, links=links)
            symbol = to_symbol(root, results, count)
            if symbol == "_*":
                result = version
            elif symbol.startswith("_") and is_result(root) and root not in before.names:
                continue
            else:
                names[symbol] = version
        gone = set(deleted)
        for root in before.names:
            if root.startswith("attr:") and root in attributes and root not in observed.versions:
                if root not in observed.unchanged and not self._attribute_exists(root):
                    gone.add(root)
        wanted = {dep for v in names.values() for dep in v.deps if dep.startswith("mod:")}
        for root in {*wanted, *("mod:" + name for name in new_modules)}:
            if root not in before.names or root[4:] in new_modules:
                if is_local_module(root[4:]):
                    names[root] = Version(digest=modules.module_digest(root[4:]), image="", summary="module",
                                          deps=tuple(sorted("lib:" + p for p in modules.libraries_of(root[4:]))))  # fmt: skip
        preview = apply_delta(before, Delta(names=names, deleted=tuple(gone), result=result), count)
        alive = reachable(preview)
        gone |= {root for root in before.names if root.startswith("cls:") and root not in alive}
        names = {root: v for root, v in names.items() if not root.startswith("cls:") or root in alive}
        return Delta(
            names=names, deleted=tuple(sorted(gone)), files=self._files_written(files, before),
            ambient=self._ambient_written(running, before, flags), result=result,
        )  # fmt: skip

    @staticmethod
    def _attribute_exists(root: Root) -> bool:
        try:
            return bool(modules.get_attribute(root)) or root != modules.FIGURES
        except LookupError:
            return False

    def _files_written(self, files: CellFiles, before: State) -> dict[str, FileState]:
        written: dict[str, FileState] = {}
        paths = dict.fromkeys(files.found)
        # A handle opened by an earlier cell (or by recomputation) writes without an event.
        for key in {*self.files.written, *before.files}:
            if key in paths or self.layer.untouched(key):
                continue
            known = before.files.get(key) or self.run.left.get(key)
            if known is not None and not equal(known, self.files.state(self.files.path(key))):
                paths[key] = None
        if files.tree is not None:
            after = self.files.scan()
            paths.update({key: None for key in after if files.tree.get(key) != after[key]})
            paths.update({key: None for key in files.tree if key not in after})
        _, outputs = self.tasks.cell_files()
        paths.update({self._portable(path): None for path in outputs})
        for key in paths:
            written[key] = self.files.state(self.files.path(key), keep=True)
            if written[key].kind == "file":
                self.files.written.add(key)
            self.layer.remember(key, written[key])
        return written

    def _ambient_written(self, running: Running, before: State, flags: list[str]) -> dict[str, AmbientValue]:
        written: dict[str, AmbientValue] = {}
        with self._suspended():
            after = self.ambient.snapshot()
            for key, digest in after.items():
                if running.ambient.get(key) == digest:
                    continue
                item = self.ambient.item(key)
                if (
                    item is not None
                    and item.random
                    and key == "rng:random"
                    and self._engine_drew(
                        {"lib:" + p for p in running.imports} | set(running.report.reads), running
                    )
                ):
                    continue
                if running.ambient.get(key) is None and self.ambient.is_base(key, digest):
                    continue
                if key.startswith("env:") and SECRET.search(key):
                    flags.append("never")
                    continue
                if self.ambient.is_base(key, digest) and not (item is not None and item.random):
                    written[key] = AmbientValue("")
                    continue
                written[key] = AmbientValue(
                    digest, self.store.put(pickle.dumps(self.ambient.value(key), protocol=5))
                )
            for key in before.ambient:
                if key.startswith("env:") and key not in after:
                    written[key] = AmbientValue("")
        return written

    def _classify(
        self, running: Running, files: CellFiles, cell: Any, error: CellError | None, interrupted: bool,
        flags: list[str], counts: TaskCounts,
    ) -> None:  # fmt: skip
        if nondeterministic_names(running.code, self.memory, cell.reads):
            flags.append("nondeterministic")
        if files.external:
            flags.append("external")
        if interrupted:
            flags.append("interrupted")
        if counts.run or counts.served or counts.failed:
            flags.append("engine")
        if files.reads or files.probes or files.listings or files.found:
            flags.append("files")
        text = running.source
        if any(word in text for word in ("%pip", "!pip", "%conda", "pip install")):
            flags.append("environment")

    def _reach(self, written: dict[str, FileState], found: dict[str, FileState]) -> None:
        """A cell reached these paths: remember how its first toucher found them (R6)."""
        for key, state in written.items():
            if key not in self.run.found:
                self.run.found[key] = found.get(key) or self.start.file(key, content=True)
            self.layer.moved.pop(key, None)
            self.run.left[key] = state

    def _commit(self, record: Record, report: CellReport, count: int, before: State) -> None:
        parent = self.commits[-1][0].id if self.commits else ""
        parent = getattr(self, "_rewound", parent) if hasattr(self, "_rewound") else parent
        if hasattr(self, "_rewound"):
            del self._rewound
        commit = Commit(
            id=hash_parts(parent, record.id, self.run.id, str(len(self.commits)), str(time.time())), parent=parent,
            run=self.run.id, record=record.id, action=report.action, execution_count=count, cell_id=report.cell_id,
            index=report.index, created=time.time(),
        )  # fmt: skip
        if not self._run_saved:
            self.store.start_run(self.run)
            self._run_saved = True
        self.store.add_commit(commit)
        self.commits.append((commit, record, before))
        self.branch.add(record.id)
        self.run = replace(self.run, head=commit.id)
        self.store.update_run(self.run)
        report.commit, report.record = commit.id, record.id

    # -- between cells -------------------------------------------------------------------------

    def settle(self) -> None:
        """Take in what callbacks, threads or silent requests touched between cells (R11)."""
        memory = self.memory
        seen, values = memory.between, memory.park()
        if not seen.reads and not values:
            memory.between = type(seen)()
            return
        memory.between = type(seen)()
        before = self.state
        bound = frozenset(
            n for n, v in values.items() if seen.faulted.get(n) != id(v) and n not in RESULT_NAMES
        )
        aliases = [n for n in values if n in RESULT_NAMES and n not in before.names]
        for name in aliases:
            del values[name]
        deleted = {n for n in seen.faulted if n not in values and n not in aliases and n in before.names}
        for name, value in values.items():
            memory.live[name] = value
        creator = hash_parts("between", uuid.uuid4().hex)
        observed = self.observer.observe(
            dict(values), before=before, reads=seen.reads, bound=bound, mutated=frozenset(), creator=creator,
            record="", count=-1,
            taken=reachable(before, set(bound) | deleted),
        )  # fmt: skip
        names = {root: version for root, version in observed.versions.items()}
        after = apply_delta(before, Delta(names=names, deleted=tuple(sorted(deleted))), -1)
        memory.state = after
        self._hold(observed, set(bound) | deleted, after)

    # -- recomputation (R5) ----------------------------------------------------------------------

    def _rebuild_sync(self, root: Root) -> None:
        coroutine = self.rebuild(root)
        try:
            coroutine.send(None)
        except StopIteration:
            return
        coroutine.close()
        raise RecomputeFailed(
            f"{root} has to be rebuilt by running asynchronous cells again, which is not possible inside a running "
            f"cell. Name {root} in the cell itself, or run its cells first."
        )

    async def _rebuild_needed(self, code: CodeType | None) -> None:
        """Rebuild opaque values that the cell's static closure names, before it starts."""
        if code is None:
            return
        seen: set[str] = set()
        queue = sorted(codes.global_names(code) | codes.prefault_names(code))
        while queue:
            name = queue.pop()
            root = self.memory.resolve(name)
            if name in seen or root is None:
                continue
            seen.add(name)
            for dep in component_of(self.state, [root]):
                version = self.state.names[dep]
                if (
                    not version.image
                    and dep == root
                    and not dep.startswith("mod:")
                    and not self.memory.is_live(dep)
                ):
                    await self.rebuild(dep)
            value = self.memory.live.get(root)
            inner = getattr(value, "__code__", None)
            if isinstance(inner, CodeType):
                queue += [n for n in codes.global_names(inner) if n not in seen]

    async def rebuild(self, root: Root) -> None:
        """Run the cells again that made and touched an opaque root, in order (R5).

        Raises:
            RecomputeFailed: they are not known, or did not do what they did before.
        """
        from nbrewind.session.recompute import recompute

        await recompute(self, root)

    # -- requests of the user ----------------------------------------------------------------------

    def to(self, commit_id: str, *, files: bool = False) -> list[str]:
        """Make the state that of a commit; names and ambient items, files only if asked."""
        found = [c for c, _, _ in self.commits if c.id.startswith(commit_id)]
        target = found[0].id if found else commit_id
        path = self.store.path_to(target)
        if not path:
            raise NBRewindError(f"There is no commit {commit_id!r}. `%rewind log` lists those there are.")
        self.settle()
        state, commits = State(), []
        for commit in path:
            record = self.store.record(commit.record)
            commits.append((commit, record, state))
            state = apply_delta(state, record.delta, commit.execution_count)
        changed = [
            key for key in {*state.files, *self.state.files}
            if not equal(state.files.get(key) or self.start.file(key, content=True), self.start.disk(key))
        ]  # fmt: skip
        if not files:
            state.files = dict(self.state.files)
        self.commits = commits
        self.branch = {record.id for _, record, _ in commits}
        self._rewound = path[-1].id
        for root in list(self.memory.live):
            self.observer.forget(root)
        self.memory.become(state)
        if files:
            with self.memory.own_work():
                self.layer.lay_down(state.files)
        return sorted(changed)

    def finish(self) -> dict[str, Any]:
        """End of a headless run: files of restored cells laid down, everything durable."""
        self.settle()
        for adapter in self.adapters:
            adapter.finish(timeout=10.0)
        with self.memory.own_work():
            if self.options.end_files:
                for key, state in self.layer._in_order(self.state.files):
                    self.layer.put(key, state)
                self.layer.put_back(self.state.files)
        self.run = replace(self.run, ended=time.time(), status="ended")
        if self._run_saved:
            self.store.update_run(self.run)
        self.store.flush()
        return {"unrecorded": self.unrecorded + list(self.store.failures), "notes": self.layer.notes}

    def catch_up(self) -> None:
        """Before a request that leaves no record: the process is where the restored cells left it."""
        if self.behind:
            self.bring_process()

    def after_reply(self) -> None:
        """In a live kernel files of a restored cell reach the disk right after its reply."""
        with self.memory.own_work():
            for key, state in self.layer._in_order(self.state.files):
                self.layer.put(key, state)

    def status(self) -> dict[str, Any]:
        """Facts for ``%rewind status``."""
        waiting = [c.id for c, _, _ in self.commits if not self.store.is_durable(c.id)]
        return {
            "store": str(self.store.path), "notebook": self.options.notebook, "mode": self.mode, "run": self.run.id,
            "head": self.run.head, "cells": len(self.commits), "not_durable": waiting,
            "unrecorded": self.unrecorded, "recording": self.audit,
        }  # fmt: skip

    def log(self, count: int = 10) -> list[tuple[Commit, Record | None]]:
        """The last commits of the current branch, newest first."""
        return [(commit, record) for commit, record, _ in reversed(self.commits)][:count]

    def plan(self) -> list[CellReport]:
        """What the cells of the current branch would do if they ran again from the start."""
        from nbrewind.session.planning import PlanCell, plan_cells

        cells = [PlanCell(record.source, commit.cell_id, ()) for commit, record, _ in self.commits]
        return plan_cells(self.store, cells, self.start, self.transform)

    def forget(self, commit_id: str = "") -> str:
        """Drop the record of a commit, the last one by default; returns the commit's id."""
        for commit, record, _ in reversed(self.commits):
            if commit.id.startswith(commit_id):
                self.store.forget(record.id)
                return commit.id
        raise NBRewindError(
            f"There is no commit {commit_id!r} on this branch. `%rewind log` lists those there are."
        )

    def force(self) -> None:
        """Execute the next cell in any case."""
        self.forced = True


def replayable(record: Record) -> bool:
    """Whether a recorded error may be shown again instead of running the cell (R12)."""
    assert record.error is not None
    return record.error.ename not in _NEVER_REPLAYED and not (
        {"external", "files", "nondeterministic", "engine", "interrupted"} & set(record.flags)
    )


def written_names(delta: Delta) -> list[str]:
    """What a delta writes, as the user knows it."""
    names = [label(root) for root in delta.names if not root.startswith("cls:") and not is_result(root)]
    gone = [f"{label(root)} (deleted)" for root in delta.deleted if ":" not in root]
    return [*names, *gone, *(f"file:{path}" for path in delta.files), *delta.ambient]


def string_constants(code: CodeType) -> Iterator[str]:
    """All strings in a code object's constants."""
    for inner in codes.codes_of(code):
        for const in inner.co_consts:
            if isinstance(const, str):
                yield const
            elif isinstance(const, tuple):
                yield from (item for item in const if isinstance(item, str))


def _identifiers(text: str) -> list[str]:
    word, found = "", []
    for letter in text + " ":
        if letter.isidentifier() or (word and letter.isalnum()):
            word += letter
        elif word:
            found.append(word)
            word = ""
    return found
