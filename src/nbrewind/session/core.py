"""The one object that kernels drive: cells in, reports out (docs/architecture.md, "The way of one cell").

``begin`` decides and prepares; the kernel runs the cell; ``end`` observes and records.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import CodeType
from typing import Any

from nbrewind import rules
from nbrewind.errors import NBRewindError, RecomputeFailed
from nbrewind.flow import code as codes
from nbrewind.flow.code import hash_parts
from nbrewind.flow.still import code_of
from nbrewind.model import CellError, CellReport, Commit, Delta, FileState, Record, Root, State, Version
from nbrewind.plan.algebra import apply_delta, component_of, is_result, reachable, result_number
from nbrewind.plan.match import EVERY_CELL, choose, label
from nbrewind.plan.results import RESULT_NAMES
from nbrewind.session import beside, modules, prepare
from nbrewind.session.explain import Explainer
from nbrewind.session.history import History
from nbrewind.session.losses import told
from nbrewind.session.memory import PATIENCE, CellReads, Memory, take_aliases
from nbrewind.session.options import Options
from nbrewind.session.process import Process
from nbrewind.session.recorder import Message, Outcome, Recorder, Running, local_modules
from nbrewind.session.refusal import from_outside, refused
from nbrewind.session.tags import PURE, must_run
from nbrewind.session.world_files import equal
from nbrewind.store import Store

Transform = Callable[[str], str]


@dataclass(slots=True)
class Restored:
    """A cell that is restored: what to show, and the report."""

    report: CellReport
    messages: list[Message]
    error: CellError | None
    record: Record


class Session:
    """State, memory, files and history of one kernel process."""

    def __init__(
        self,
        store: Store,
        root: Path,
        *,
        mode: str,
        options: Options | None = None,
        memory: Memory | None = None,
    ) -> None:
        self.store = store
        self.root = Path(root).resolve()
        self.mode = mode
        self.options = options or Options()
        self.audit = True
        """Whether cells are recorded (``%audit on|off``)."""
        self.history = History(store, self.options.notebook or str(self.root), mode)
        self.process = Process(store, self.root, self.history.run, self.options, memory)
        self.recorder = Recorder(self.process, self.history)
        self.memory = self.process.memory
        self.memory.rebuild = self._rebuild_sync
        self.running: Running | None = None
        self._thread = threading.get_ident()
        """The thread in which cells run."""
        self._snapshots = threading.RLock()
        """Keeps callbacks in other threads and a running snapshot apart (R11)."""
        self.report: CellReport | None = None
        """The report of the cell under way."""
        self.transform: Transform = lambda source: source
        self._transformed: tuple[str, str] | None = None
        """The source of the cell under way, and what it was transformed to."""
        self.run_again: Callable[[str, int], Awaitable[BaseException | None]] | None = None
        """Runs a cell's source in the shell without output or history (recomputation)."""
        self.compile_flags: Callable[[], int] = lambda: 0
        self.start_over: tuple[int, ...] = ()
        """Cells to force when a headless run starts over, after a recomputation failed (R5)."""
        self.horizon: int | None = None
        """Place on the branch of the cell that runs again now: what it needs, cells before it made."""
        self.explain = Explainer(self.store, self.history.previous, self.history)
        self.tags: frozenset[str] = frozenset()
        """Tags of the present cell."""
        self.forced = False
        self.unrecorded: list[str] = []
        self._begun: set[asyncio.Task[Any]] | None = None
        """Tasks that there were before a look between cells had others begin."""
        self._asked: dict[Root, None] = {}
        """What such a look could not have, since the loop has to run for it."""
        self._late: dict[str, FileState] = {}
        """Files of tasks that ran on after cells that were restored (``_late_files_arrive``)."""
        self._said: set[tuple[str, str]] = set()
        self._told: set[str] = set()

    @property
    def state(self) -> State:
        """S, the current state."""
        return self.memory.state

    # -- the decision ------------------------------------------------------------------------

    def transformed(self, source: str) -> str:
        """A cell's source as IPython transforms it; what does so may change with the next cell."""
        if self._transformed is None or self._transformed[0] != source:
            self._transformed = source, self.transform(source)
        return self._transformed[1]

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
        self.tags = frozenset(tags)
        if self.mode != "repeat" or not self.audit:
            report.reason = "audit"
            return None, report
        if force or self.forced:
            self.forced = False
            report.reason = "forced"
            return None, report
        report.reason = must_run(self.tags)
        if report.reason:
            return None, report
        self.settle()
        if EVERY_CELL in self.state.ambient:
            report.reason = "a callback of the notebook runs with every cell"
            return None, report
        records, refused = [], ""
        for one in self.store.records(self.key_of(source)):
            why = self._refused(one)
            if not why:
                records.append(one)
            refused = refused or why
        while True:
            choice = choose(records, self.state, self.process.start, branch=self.history.branch())
            record = choice.record
            if record is None and self._late_files_arrive():
                continue
            if record is None or self._files_sound(record):
                break
            records.remove(choice.nearest or record)
            refused = refused or "the store misses part of its record"
        if record is not None and choice.nearest is not None:
            self.store.add_record(record)
        if record is None and not records and refused:
            report.reason = refused
        else:
            report.changed_inputs = choice.changed
            report.reason = self.explain.reason(choice, self.state)
        return record, report

    def _late_files_arrive(self) -> bool:
        """Let what tasks of restored cells wrote later be there from now on; whether that is news.

        When it came is open in any run, until a cell waits for it; a cell that was recorded
        with such a file claims it, or found it.
        """
        late, self._late = self._late, {}
        new = {key: state for key, state in late.items() if key not in self.state.files}
        self.state.files.update(new)
        return bool(new)

    def _files_sound(self, record: Record) -> bool:
        """Whether the files of a record can be had: cells that execute later may read them."""
        return all(
            equal(state, self.process.start.disk(key)) or self.store.verify(state.digest)
            for key, state in record.delta.files.items()
            if state.kind == "file" and state.digest
        )

    def _refused(self, record: Record) -> str:
        """Why a record is never a hit now, empty where its trace decides."""
        pure = PURE in self.tags
        if self.options.strict and "nondeterministic" in record.flags and not pure:
            return "it read a clock or entropy (--strict)"
        if record.tasks:
            changed, missing = self.process.tasks.holds(record.tasks)
            if changed:
                first = changed[0]
                what = first if first.startswith(("env:", "package:")) else f"file:{first}"
                return f"{what} changed, which a task of it used"
            if missing:
                return "a task of it is not in the log"
        if record.open_tasks and self.process.tasks.late_files(record.open_tasks) is None:
            return "a task of it ran on after it, and what that wrote is not known"
        if record.overlapped and record.delta.files:
            late = self.process.tasks.late_files(record.overlapped)
            if late is None or record.delta.files.keys() & {self.process.portable(path) for path in late}:
                return "tasks of earlier cells wrote files while it ran"
        torn = "" if self.store.complete(record) else "the store misses part of its record"
        return refused(record, pure=pure) or torn

    def restore(self, record: Record, report: CellReport, count: int) -> Restored:
        """Apply a record: the state changes, nothing is loaded."""
        started = time.perf_counter()
        messages = self._messages(record)  # first: what is damaged must not leave half of a cell behind
        before = self.state
        process = self.process
        self.history.reach(record.delta.files, {}, process.start, process.layer)
        after = apply_delta(before, record.delta, count)
        for root in {*record.delta.names, *record.delta.deleted}:
            self.process.observer.forget(root)
        for path, state in (self.process.tasks.late_files(record.open_tasks) or {}).items():
            self._late[self.process.portable(path)] = state
        self.memory.become(after)
        self.process.behind = True
        report.action = "failed" if record.error is not None else "restored"
        report.replayed = record.error is not None
        report.reads = [label(root) for root in record.trace.reads if not root.startswith(("lib:", "cls:"))]
        report.writes = written_names(record.delta)
        report.recorded_seconds = record.seconds
        process.keep.seconds[record.id] = record.seconds
        report.outputs_equal = True
        report.warnings = self._warnings(record)
        report.seconds = time.perf_counter() - started
        self.history.commit(record, report, count, before)
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
            if flag in record.flags and PURE not in self.tags and (flag, record.source_key) not in self._said:
                self._said.add((flag, record.source_key))
                notes.append(text)
        return notes

    # -- execution ---------------------------------------------------------------------------

    async def begin(self, source: str, report: CellReport, count: int) -> Running:
        """Bring the process to S and start recording; the kernel runs the cell next."""
        self._late_files_arrive()
        self.settle()
        self._transformed = None
        transformed = self.transformed(source)
        code = prepare.compiled(transformed, self.compile_flags())
        await self._rebuild_needed(code)
        ambient = self.process.bring()
        if report.reason != "forced":
            self._check_files()
        return self._start(source, transformed, code, report, count, ambient)

    def _start(
        self,
        source: str,
        transformed: str,
        code: CodeType | None,
        report: CellReport,
        count: int,
        ambient: dict[str, str] | None,
    ) -> Running:
        memory = self.memory
        loaded_before = len(memory.loaded)
        names = codes.attribute_names(code) if code is not None else frozenset()
        imports = self.take_baselines(transformed, code, names)
        loaded = modules.local_modules(imported=bool(self.process.imports.fresh))
        running = Running(
            source,
            transformed,
            codes.source_key(transformed),
            code,
            report,
            count,
            self.state,
            imports,
            names,
            loaded,
            {},
            self.tags,
        )
        seen = memory.begin(shims="builtins" not in names and "__builtins__" not in names)
        if code is not None:
            self._make_ready(code)
        if ambient is None or len(memory.loaded) != loaded_before:  # loading runs code of libraries
            self.process.ambient.refresh()
            with self.process.suspended():
                ambient = self.process.ambient.snapshot()
        running.ambient = ambient
        self.process.patches.settle()
        self.process.hidden.begin(names)
        self.process.imports.begin()
        self.running, self.process.recording, self._thread = running, True, threading.get_ident()
        self.process.tasks.begin_cell(serve=self.mode == "repeat" and report.reason != "forced")
        self.process.files.begin()
        self.process.ambient.begin(running.ambient)
        self.process.entropy.drawn = self.process.logs.logged = False
        # Printing goes to whatever stands in the streams' places.
        replaced = {f"attr:sys:{name}" for name in ("stdout", "stderr", "stdin")}
        seen.reads |= {root for root in replaced if root in self.state.names}
        seen.position = code is not None and prepare.sees_inputs(code)
        running.started = time.perf_counter()
        return running

    def take_baselines(self, transformed: str, code: CodeType | None, names: frozenset[str]) -> set[str]:
        """Remember modules and classes that a cell may patch as they are now; gives what it imports (R8)."""
        memory = self.memory
        with memory.own_work():
            for name in names & memory.state.names.keys():
                if memory.state.names[name].summary == "module" and not memory.is_live(name):
                    with contextlib.suppress(NBRewindError):  # told when the cell touches it
                        memory.materialise(name)
        imports = modules.imported_names(transformed)
        if code is not None:
            # Before the cell: `sys.modules['helper'].LIMIT` reads of a module what `helper.LIMIT` does.
            imports |= {name for name in codes.imports(code) if name in sys.modules}
        in_reach = imports | self.process.modules_in_state()
        modules.prepare_baselines(in_reach)
        self.process.sets_attributes_of = frozenset()
        if code is not None and codes.stored_attributes(code):
            self.process.sets_attributes_of = names
            values = [memory.live[name] for name in names if name in memory.live]
            modules.prepare_classes(modules.named_classes(names, in_reach, values))
        return imports

    def _make_ready(self, code: CodeType) -> None:
        """What has to be in the namespace is put there, what need not be any more is dropped."""
        prepare.prefault(self.memory, code)
        prepare.load_classes(self.memory, code)
        prepare.evict(self.memory, code)

    def end(
        self,
        *,
        error: CellError | None,
        messages: list[Message],
        interrupted: bool = False,
        raised: BaseException | None = None,
    ) -> CellReport:
        """Observe what the cell did, record it, commit it; live values are not read afterwards."""
        running = self.running
        assert running is not None
        seconds = time.perf_counter() - running.started
        self.process.ambient.end()
        cell_files = self.process.files.end()
        counts, task_keys = self.process.tasks.end_cell()
        self.running, self.process.recording, self._transformed = None, False, None
        report = running.report
        report.action = "failed" if error is not None else "executed"
        report.seconds = seconds
        report.tasks = counts
        outside = raised is not None and from_outside(raised)
        outcome = Outcome(error, messages, interrupted, outside, seconds, cell_files, counts, task_keys)
        try:
            with self._snapshot() as alone:
                record = self.recorder.record(running, outcome)
            if not alone:
                note = "a callback was still running: what it changes may be half done here"
                record = replace(record, flags=(*record.flags, "unsettled"), notes=(*record.notes, note))
        except (Exception, KeyboardInterrupt) as problem:
            self._unknown(running, problem)
            if os.environ.get("NBREWIND_DEBUG"):
                raise
            report.warnings.append(f"not recorded: {type(problem).__name__}: {problem}")
            return report
        report.outputs_equal = self._compare_outputs(record)
        if self.audit:
            self.store.add_record(record)
            self.history.commit(record, report, running.count, running.before)
        else:
            self.history.unrecorded(record.delta, running.count)
        report.reads = [label(root) for root in record.trace.reads if not root.startswith(("lib:", "cls:"))]
        report.writes = written_names(record.delta)
        report.warnings += [*record.notes, *self.process.notes]
        report.warnings += self.process.start.lacking({**record.trace.probes, **record.trace.files})
        self.process.notes.clear()
        return report

    def abandon(self) -> None:
        """An interrupt broke a cell's preparation off: nothing of it ran, what it touched is looked at."""
        if self.running is None:
            return
        memory, self.running, self.process.recording = self.memory, None, False
        self.process.ambient.end()
        self.process.files.end()
        self.process.tasks.end_cell()
        memory.between, memory.cell = memory.cell or memory.between, None

    def _compare_outputs(self, record: Record) -> bool | None:
        if self.mode != "repeat":
            return None
        earlier = self.store.records(record.source_key)
        return earlier[0].outputs == record.outputs if earlier else None

    def _unknown(self, running: Running, problem: BaseException) -> None:
        """Recording failed: what the cell touched is live but unknown, and never a hit."""
        memory, before, cell = self.memory, running.before, running.seen or CellReads()
        values = dict(running.values)
        if memory.cell is not None:
            cell, values = memory.park()
        names: dict[Root, Version] = {}
        for root in component_of(before, {*values, *cell.reads}) | set(values):
            if root in values:
                memory.live[root] = values[root]
            if root in memory.live:
                version = Version(digest=uuid.uuid4().hex, opaque=f"recording failed ({problem})")
                names[root] = memory.held[root] = version
        kept = {*values, *RESULT_NAMES}
        gone = tuple(name for name in cell.faulted if name in before.names and name not in kept)
        delta = Delta(names=names, deleted=gone, result=names.pop(f"_{running.count}", None))
        memory.state = apply_delta(before, delta, running.count)
        self.history.unrecorded(delta, running.count)
        self.unrecorded.append(running.report.cell_id or str(running.report.index))

    # -- between cells -------------------------------------------------------------------------

    @contextlib.contextmanager
    def callback(self) -> Iterator[None]:
        """A front end's callback (a widget's, a comm's) runs: no snapshot is taken meanwhile (R11).

        The process is brought to the state first, unless a cell runs at the same time.
        """
        with self._snapshot():
            if self.running is None and threading.get_ident() == self._thread:
                self.catch_up()
            yield

    @contextlib.contextmanager
    def _snapshot(self) -> Iterator[bool]:
        """Callbacks in other threads and snapshots exclude each other; False if that was not to be had.

        A callback may be waiting for a later cell, so the wait has an end.
        """
        owned = self._snapshots.acquire(timeout=PATIENCE)
        try:
            yield owned
        finally:
            if owned:
                self._snapshots.release()

    def settle(self) -> None:
        """Take in what callbacks, threads or silent requests touched between cells (R11)."""
        with self._snapshot():
            self._settle()

    def _settle(self) -> None:
        memory = self.memory
        seen, values = memory.park()
        if not seen.reads and not values:
            return
        before = self.state
        deleted = take_aliases(seen, values, before)
        bound = frozenset(n for n, v in values.items() if seen.faulted.get(n) != id(v))
        numbers = {n for name in values if (n := result_number(name)) is not None}
        shown = min(numbers - set(before.results), default=None)
        deleted |= {n for n in seen.faulted if n not in values and n in before.names}
        for name, value in values.items():
            memory.live[name] = value
        if not rules.on("R11"):
            return
        creator = hash_parts("between", uuid.uuid4().hex)
        observed = self.process.observer.observe(
            dict(values),
            before=before,
            reads=seen.reads,
            bound=bound,
            mutated=frozenset(),
            creator=creator,
            record="",
            count=-1 if shown is None else shown,
            taken=lambda: reachable(before, set(bound) | deleted),
        )
        names = dict(observed.versions.items())
        wanted = {dep for version in names.values() for dep in version.deps if dep.startswith("mod:")}
        names.update(local_modules(wanted - before.names.keys()))
        delta = Delta(names=names, deleted=tuple(sorted(deleted)), result=names.pop(f"_{shown}", None))
        after = apply_delta(before, delta, -1 if shown is None else shown)
        self.history.unrecorded(delta, -1 if shown is None else shown)
        memory.state = after
        self.recorder.hold(observed, set(bound) | deleted, after)

    # -- recomputation (R5) ----------------------------------------------------------------------

    def _rebuild_sync(self, root: Root) -> None:
        if threading.get_ident() != self._thread:
            raise RecomputeFailed(
                f"{root} has to be rebuilt by running its cells again, which a thread cannot do while a cell "
                f"runs. Name {root} in the cell itself."
            )
        from nbrewind.session.recompute import asynchronous, producers

        before, tasks = set(self.memory.live), beside.pending()
        try:
            if asynchronous(self, root):
                beside.run(self.rebuild(root))
            else:
                with contextlib.suppress(StopIteration):
                    self.rebuild(root).send(None)
                if not beside.pending() <= tasks:
                    if self.running is not None:
                        raise beside.StillBound
                    self._begun = tasks
        except beside.StillBound:
            for made in self.memory.live.keys() - before:
                self.memory.drop(made)
            self.start_over = producers(self, root)
            if self.running is None:
                self._asked[root] = None
            raise RecomputeFailed(
                f"{root} belongs to the event loop, and has to be rebuilt by running cells again that begin "
                "tasks or wait, which is not possible inside a running cell. Name "
                f"{root} in the cell itself, or run its cells first."
            ) from None

    async def go_on(self) -> bool:
        """After a look at values between cells: rebuild what it could not have at once, as the loop can now.

        True if another look will see more.
        """
        asked, self._asked = self._asked, {}
        before, self._begun = self._begun, None
        if before is None and not asked:
            return False
        before = beside.pending() if before is None else before
        try:
            for root in asked:
                if root in self.state.names and not self.memory.is_live(root):
                    await self.rebuild(root)
        except RecomputeFailed:
            return False  # the first look has told of it
        await beside.turn(before)
        if asked:
            self.start_over = ()
        return True

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
                    tasks = beside.pending()
                    await self.rebuild(dep)
                    await beside.turn(tasks)
            inner = code_of(self.memory.live.get(root))
            if inner is not None:
                queue += [n for n in codes.global_names(inner) if n not in seen]

    async def rebuild(self, root: Root) -> None:
        """Run the cells again that made and touched an opaque root, in order (R5).

        Raises:
            RecomputeFailed: they are not known, or did not do what they did before.
        """
        from nbrewind.session.recompute import producers, recompute

        if not rules.on("R5"):
            raise RecomputeFailed(f"{root} cannot be restored, and recomputation is switched off.")
        deps = self.state.names[root].deps
        if self.options.engine == "none" and any(dep.startswith("handle:") for dep in deps):
            raise RecomputeFailed(
                f"{root} is or holds a part of an engine, and its cells would start one, which --engine none "
                "refuses. Repeat without --engine none."
            )
        try:
            await recompute(self, root)
        except RecomputeFailed as error:
            # All of them: what one gave anew must not meet what another one gave then.
            self.start_over = tuple(sorted({*error.cells, *producers(self, root)}))
            raise
        if not self.memory.is_live(root):
            self.start_over = producers(self, root)

    def _check_files(self) -> None:
        """A cell must not run over files that are not those of S.

        Raises:
            RecomputeFailed: the store has lost the content of one.
        """
        lost = self.process.layer.lost & self.state.files.keys()
        if not lost:
            return
        cells = [c.index for c, record, _ in self.history.commits if lost & record.delta.files.keys()]
        self.start_over = tuple(cells)
        raise RecomputeFailed(
            f"{min(lost)} cannot be restored: the store has lost its content. "
            "Run the cells that write it again, with `--force` or after `%rewind force`.",
            tuple(cells),
        )

    # -- requests of the user ----------------------------------------------------------------------

    def to(self, commit_id: str, *, files: bool = False) -> list[str]:
        """Make the state that of a commit; names and ambient items, files only if asked.

        Returns the paths that differ on disk from what they held after that commit.
        """
        self.settle()
        state = self.history.rewind(commit_id)
        process = self.process
        # What the commit does not know is as it was before the notebook touched it.
        then = {**self.history.run.found, **state.files}
        changed = [key for key, wanted in then.items() if not equal(wanted, process.start.disk(key))]
        if not files:
            state.files = dict(self.state.files)
        for root in list(self.memory.live):
            process.observer.forget(root)
        self.memory.become(state)
        process.behind = True
        if files:
            with self.memory.own_work():
                process.layer.lay_down(then)
        return sorted(changed)

    def finish(self) -> dict[str, Any]:
        """End of a headless run: files of restored cells laid down, everything durable."""
        self.settle()
        for adapter in self.process.adapters:
            adapter.finish(timeout=10.0)
        layer = self.process.layer
        self._late_files_arrive()
        with self.memory.own_work():
            if self.options.end_files:
                layer.put_all(self.state.files)
                layer.put_back(self.state.files)
        self.history.end()
        self.store.flush()
        return {"failures": self.losses(), "notes": layer.notes + layer.kept}

    def losses(self) -> list[str]:
        """What could not be recorded so far: cells by number, the rest in few words."""
        return told(self.history.commits, self.store, self.unrecorded)

    def news(self) -> list[str]:
        """What a live kernel has to say now and has not said yet."""
        found = [f"not recorded: {loss}" for loss in self.losses()] + self.process.layer.notes
        new = [note for note in dict.fromkeys(found) if note not in self._told]
        self._told.update(new)
        return new

    def catch_up(self, source: str = "") -> None:
        """Before a request that leaves no record: the process is where the restored cells left it."""
        if self.process.behind:
            self.process.bring()
        code = prepare.compiled(self.transform(source), self.compile_flags()) if source else None
        if code is not None:
            prepare.prefault(self.memory, code)

    def after_reply(self) -> None:
        """In a live kernel files of a restored cell reach the disk right after its reply."""
        with self.memory.own_work():
            self.process.layer.put_all(self.state.files)

    def status(self) -> dict[str, Any]:
        """Facts for ``%rewind status``."""
        waiting = [c.id for c, _, _ in self.history.commits if not self.store.is_durable(c.id)]
        return {
            "store": str(self.store.path),
            "notebook": self.options.notebook,
            "mode": self.mode,
            "run": self.history.run.id,
            "head": self.history.run.head,
            "cells": len(self.history.commits),
            "not_durable": waiting,
            "unrecorded": self.losses(),
            "replaced": self.process.layer.kept,
            "recording": self.audit and not self.store.readonly,
        }

    def log(self, count: int = 10) -> list[tuple[Commit, Record | None]]:
        """The last commits of the current branch, newest first."""
        return self.history.log(count)

    def plan(self) -> list[CellReport]:
        """What the cells of the current branch would do if they ran again from the start."""
        from nbrewind.session.planning import PlanCell, plan_cells

        cells = [PlanCell(record.source, commit.cell_id, ()) for commit, record, _ in self.history.commits]
        return plan_cells(self.store, cells, self.process.start, self.transform, explainer=self.explain)

    def forget(self, commit_id: str = "") -> str:
        """Drop the record of a commit, the last one by default; returns the commit's id."""
        return self.history.forget(commit_id)

    def force(self) -> None:
        """Execute the next cell in any case."""
        self.forced = True


def written_names(delta: Delta) -> list[str]:
    """What a delta writes, as the user knows it."""
    names = [label(root) for root in delta.names if not root.startswith("cls:") and not is_result(root)]
    gone = [f"{label(root)} (deleted)" for root in delta.deleted if ":" not in root]
    return [*names, *gone, *(f"file:{path}" for path in delta.files), *delta.ambient]
