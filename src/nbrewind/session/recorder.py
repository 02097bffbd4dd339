"""After a cell ran: its record, from what the watches saw and the observer found."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from types import CodeType
from typing import Any

import msgspec
from jupyter_client.jsonutil import json_default

from nbrewind import rules
from nbrewind.flow import code as codes
from nbrewind.flow import logs, setters
from nbrewind.flow.ambient import EVERY_NAME
from nbrewind.flow.code import hash_parts
from nbrewind.flow.environment import installed_version
from nbrewind.flow.files import CellFiles
from nbrewind.flow.hidden import reloads, threads_of_the_notebook
from nbrewind.flow.names import BASELINES, is_local_module
from nbrewind.model import (
    ABSENT,
    AmbientValue,
    CellError,
    CellReport,
    Delta,
    FileState,
    Record,
    Root,
    State,
    TaskCounts,
    Trace,
    Version,
)
from nbrewind.plan.algebra import (
    OWN_RESULT,
    apply_delta,
    component_of,
    digest_in,
    expand,
    is_result,
    reachable,
    to_symbol,
)
from nbrewind.plan.match import (
    ALL_CLASSES,
    ALL_VARIABLES,
    RESULT_NUMBERS,
    SUBCLASSES,
    classes_digest,
    concerns,
    names_digest,
    numbers_digest,
    variables_digest,
)
from nbrewind.session import modules, prepare
from nbrewind.session.history import History
from nbrewind.session.keep import Decide, repeatable
from nbrewind.session.memory import CellReads, take_aliases
from nbrewind.session.nondeterminism import nondeterministic_names
from nbrewind.session.observe import Observed
from nbrewind.session.process import Process
from nbrewind.session.surroundings import effects, random_reads
from nbrewind.session.tags import EXCUSED, NEVER, PURE
from nbrewind.session.world_files import equal

Message = dict[str, Any]


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
    imports: set[str]
    names: frozenset[str]
    """All names that the code mentions, attributes included."""
    loaded: set[str]
    """Local modules that were imported before."""
    ambient: dict[str, str]
    """Digests of the ambient items before it."""
    tags: frozenset[str] = frozenset()
    started: float = 0.0
    values: dict[str, Any] = field(default_factory=dict)
    """What was in the namespace at its end."""
    seen: CellReads | None = None
    """What it touched there."""


@dataclass(slots=True)
class Outcome:
    """How a cell ended, as the kernel and the watches saw it."""

    error: CellError | None
    messages: list[Message]
    interrupted: bool
    outside: bool
    """Whether its exception came from the machine, an engine or the network (R12)."""
    seconds: float
    files: CellFiles
    counts: TaskCounts
    tasks: tuple[str, ...]


_INSTALLER = re.compile(r"^\s*[!%].*\b(pip3?|conda|mamba|uv)\b", re.MULTILINE)
"""Lines that change the environment: their cells are never restored silently (R13)."""


_CONNECTIONS = frozenset(
    {"socket", "multiprocessing.connection", "multiprocessing.queues", "ssl"}
    | {f"distributed.{name}" for name in ("variable", "queues", "lock", "event", "semaphore", "pubsub")}
)
"""Modules whose objects lead out of the process; what a cluster's hold is gone with the cluster."""

_BETWEEN_THREADS = frozenset({"queue", "_queue", "threading", "_thread"})
"""Modules whose objects lead to a thread that waits for them."""


def _versions(reads: dict[Root, str]) -> dict[str, str]:
    # Nobody installed a local module, and looking for who did reads all that is installed.
    packages = [root[4:] for root in reads if root.startswith("lib:") and not is_local_module(root[4:])]
    found = {package: installed_version(package) for package in packages}
    return {package: version for package, version in found.items() if version}


def _set_by_itself(root: Root) -> bool:
    """Whether an attribute is a helper module's: its functions set them too."""
    return is_local_module(root[5:].partition(":")[0])


def key_of_trace(source_key: str, trace: Trace) -> str:
    """Names what a cell of this source makes when it reads this: the creator of new identities (R9).

    What the walk after the cell adds to the trace is left out, since the walk gives them.
    """
    read = replace(trace, whole={}, identities={}, replaced=())
    return hash_parts(source_key, msgspec.json.encode(read, order="deterministic"))


def local_modules(roots: Iterable[Root]) -> dict[Root, Version]:
    """The versions of helper modules as they are now."""
    return {
        root: Version(
            digest=modules.module_digest(root[4:]),
            image="",
            summary="module",
            deps=tuple(sorted("lib:" + package for package in modules.libraries_of(root[4:]))),
        )
        for root in roots
        if is_local_module(root[4:])
    }


class Recorder:
    """Makes records for one process."""

    def __init__(self, process: Process, history: History) -> None:
        self.process = process
        self.history = history
        self.store = process.store
        self.memory = process.memory
        self.observer = process.observer
        self.ambient = process.ambient
        self.files = process.files
        self.tasks = process.tasks
        self.layer = process.layer
        self._counter = 0

    def record(self, running: Running, outcome: Outcome) -> Record:
        """Observe the cell's effects; the state and the live values are at them afterwards."""
        memory, before, count, files = self.memory, running.before, running.count, outcome.files
        cell, values = memory.park()
        running.seen, running.values = cell, values
        flags = list(cell.flags)
        private = NEVER in running.tags
        notes = [*cell.notes, *self.tasks.notes(), *self._take_in_unseen(files, before)]
        self._take_in_outputs(files, before)
        own_result = f"_{count}"
        has_result = own_result in values
        deleted = take_aliases(cell, values, before)
        stored = codes.stored_names(running.code) if running.code is not None else frozenset()
        stored |= cell.stored
        bound, mutated = set(), set()
        for name, value in values.items():
            if name not in cell.faulted or cell.faulted[name] != id(value):
                bound.add(name)
            elif name in stored:
                mutated.add(name)
        deleted |= {n for n in cell.faulted if n not in values and n in before.names}
        for name in values:
            memory.live[name] = values[name]
        libs = {"lib:" + name.partition(".")[0] for name in running.imports}
        if "get_ipython" in running.names:
            libs.add("lib:IPython")
        # A module that is loaded already is read by importing it again, and nothing else shows that.
        libs |= {"mod:" + name for name in running.imports}
        # A name that the namespace lacks is looked up there, and cells may have put one.
        libs |= {root for name in cell.absent if (root := f"attr:builtins:{name}") in before.names}
        read = expand(before, set(cell.reads) | libs)
        local = modules.local_modules(imported=bool(self.process.imports.fresh))
        new_modules = local - running.loaded | local & set(self.process.imports.reloaded)
        trace = self._trace(running, cell, read, before, files, flags, new_modules)
        trace_key = key_of_trace(running.key, trace)
        self._counter += 1
        record_id = hash_parts(trace_key, self.history.run.id, str(self._counter))
        touched_values = dict(values)
        for root in cell.reads:
            if root in memory.live and root not in deleted:
                touched_values[root] = memory.live[root]
        for root in self._of_reloaded(before) - deleted - touched_values.keys():
            touched_values[root] = memory.live[root]
        if self.process.logs.logged:
            for root in self.observer.changed_by_loggers() - deleted - touched_values.keys():
                for peer in component_of(before, [root]):
                    if peer in memory.live and memory.is_live(peer):
                        touched_values.setdefault(peer, memory.live[peer])
        packages = {root[4:] for root in read if root.startswith("lib:")}
        packages |= {name.partition(".")[0] for name in running.imports}
        patched = self.process.patches.changed(packages) if rules.on("R8") else set()
        attributes = self._attributes(running, read, packages, new_modules, before)
        attributes += sorted(patched.difference(attributes))
        names = self._names_behind(running, read)
        around = effects(
            self.process,
            before,
            running.ambient,
            read=read,
            names=names,
            settings=[
                *(self._settings(running, read) if setters.suspicious(names, running.transformed) else []),
                *self._beyond(running),
                *self._reloaded_by_itself(new_modules, files, before),
            ],
            trace_key=trace_key,
            private=private,
        )
        if "__subclasses__" in names:
            around.written[SUBCLASSES] = AmbientValue(hash_parts(SUBCLASSES))
        observed = self.observer.observe(
            touched_values,
            before=before,
            reads=cell.reads,
            bound=frozenset(bound | patched),
            mutated=frozenset(mutated),
            creator=trace_key,
            record=record_id,
            count=count,
            taken=lambda: reachable(before, bound | deleted),
            attributes=attributes,
            private=private,
            reloaded=reloads(before, self.process.imports.reloaded, trace_key),
            leave_out=self._leave_out(
                running, outcome, read, record_id, alone=not (attributes or around.flags or new_modules)
            ),
        )
        notes += observed.notes
        identities = dict(self.memory.world.identities)
        replaced = tuple(sorted(bound | deleted)) if identities else ()
        trace = replace(trace, whole=observed.whole, identities=identities, replaced=replaced)
        delta = self._delta(
            running, observed, deleted, before, files, trace, flags, has_result, attributes, new_modules
        )
        again = [name for name in before.imports if name in running.imports]
        imports = tuple(dict.fromkeys([*again, *self._imported(running)]))
        sources = {}
        for name in new_modules:
            with contextlib.suppress(OSError):  # made without a file
                sources[name] = self.store.put(modules.text_of(name))
        delta = replace(delta, ambient=around.written, imports=imports, sources=sources)
        flags += around.flags
        notes += around.notes
        self._classify(running, cell, outcome, flags)
        if PURE in running.tags:
            flags = [flag for flag in flags if flag not in EXCUSED]
        outputs, error = "", outcome.error
        if private:
            flags.append("private")
            error = CellError(error.ename, "") if error is not None else None
        elif outcome.messages:
            text = json.dumps(outcome.messages, sort_keys=True, default=json_default)
            outputs = self.store.put(text.encode())
        record = Record(
            id=record_id,
            source_key=running.key,
            source=running.source,
            trace=trace,
            delta=delta,
            outputs=outputs,
            error=error,
            seconds=outcome.seconds,
            created=time.time(),
            flags=tuple(dict.fromkeys(flags)),
            notes=tuple(notes),
            tasks=outcome.tasks,
            environment=self.history.run.environment,
            open_tasks=self.tasks.cell.left_open,
            overlapped=self.tasks.cell.overlapped,
        )
        after = apply_delta(before, delta, count)
        self.history.reach(delta.files, dict(files.found), self.process.start, self.layer)
        memory.state = after
        self.hold(observed, bound | deleted, after)
        return record

    def _leave_out(
        self, running: Running, outcome: Outcome, read: set[Root], record: str, *, alone: bool
    ) -> Decide:
        """Whether what the cell made may be left out of the store, and when.

        ``alone`` says that it changed nothing but names and plain ambient items.
        """
        keep, before, files, counts = self.process.keep, running.before, outcome.files, outcome.counts
        versions = [before.names[root] for root in read if root in before.names]
        certain = repeatable(
            running.code,
            running.names,
            versions,
            touched_outside=bool(
                not alone
                or outcome.error
                or outcome.interrupted
                or files.external
                or files.reads
                or files.found
                or files.changed
                or counts.run
                or counts.served
                or counts.failed
                or self.process.entropy.drawn
                or nondeterministic_names(running.code, self.memory, read)
            ),
        )
        if not certain:
            return keep.any_cell
        return keep.cell(record, outcome.seconds, versions, running.tags)

    def _of_reloaded(self, before: State) -> set[Root]:
        """Live values that refer to what a module held before its code ran anew: no name leads there now."""
        again = {"mod:" + name for name in self.process.imports.reloaded}
        live = self.memory.live.keys() & before.names.keys() if again else ()
        return {root for root in live if self.memory.is_live(root) and again & expand(before, {root})}

    def hold(self, observed: Observed, replaced: set[Root], after: State) -> None:
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
        self,
        running: Running,
        cell: CellReads,
        read: set[Root],
        before: State,
        files: CellFiles,
        flags: list[str],
        new_modules: set[str],
    ) -> Trace:
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
        if files.children or EVERY_NAME in self.ambient.env_reads:
            ambient[ALL_VARIABLES] = variables_digest(before)
        for key, state in before.ambient.items():
            if not key.startswith(("env:", "rng:")) and concerns(key, reads):
                ambient[key] = state.digest
        ambient.update(random_reads(self.process, before, running.ambient, read, flags))
        if cell.results:
            ambient[RESULT_NUMBERS] = numbers_digest(before)
        if prepare.sees_classes(before, running.names):
            ambient[ALL_CLASSES] = classes_digest(before)
        if cell.position:
            ambient["position"] = hash_parts(str(running.count))
            flags.append("position")
        task_reads, _ = self.tasks.cell_files()
        file_reads = {**self._found_by_tasks(task_reads, files), **files.reads}
        for name in new_modules:
            for path in modules.module_files(name):
                key = self.files.key(path)
                if key in files.found:  # the cell changed it; what was there before was loaded, if anything
                    if files.found[key].kind == "file":
                        file_reads.setdefault(key, files.found[key])
                elif key not in file_reads:
                    file_reads[key] = self.files.state(path)
        return Trace(
            reads=reads,
            links=links,
            absent=tuple(absent),
            all_names=names_digest(before) if cell.iterated else "",
            files=file_reads,
            probes={p: s for p, s in files.probes.items() if p not in file_reads},
            listings=files.listings,
            ambient=ambient,
            packages=_versions(reads),
        )

    def _attributes(
        self, running: Running, read: set[Root], packages: set[str], new_modules: set[str], before: State
    ) -> list[Root]:
        """Module attributes that the cell may have set or changed (R8)."""
        if not rules.on("R8"):
            return []
        wanted = {n for n in list(BASELINES) if n.partition(".")[0] in packages and n in sys.modules}
        wanted |= {root[4:] for root in read if root.startswith("mod:")} | new_modules
        # A module made by hand is a value of the notebook like any other.
        wanted = {name for name in wanted if getattr(sys.modules.get(name), "__spec__", None) is not None}
        stored = self._attributes_stored(running, read)
        found = {
            root: value
            for root, value in modules.patched(wanted).items()
            if root.rpartition(":")[2] in stored or _set_by_itself(root)
        }
        found.update(self.process.counters.changed(packages))
        found.update(
            (root, value)
            for root, value in modules.patched_classes(packages).items()
            if root.rpartition(".")[2] in stored
        )
        found.update(modules.local_data(wanted))
        found.update({root: None for root in read if root.startswith("attr:") and root in before.names})
        if "matplotlib" in packages and (modules.open_figures() or modules.FIGURES in before.names):
            found[modules.FIGURES] = None
        found.update(dict.fromkeys(self.process.engine_attributes(packages)))
        return [root for root in sorted(found) if root not in self.process.engine_state]

    def _imported(self, running: Running) -> list[str]:
        """Modules of the interpreter's own library change nothing but themselves and their packages."""
        # `import xml.dom.minidom` makes `xml.dom`, also where another package has imported it before.
        within = [name for name in sorted(running.imports) if "." in name and name in sys.modules]
        names = [*self.process.imports.outer, *within]
        return [n for n in names if "." in n or n not in sys.stdlib_module_names]

    def _codes_behind(self, running: Running, read: set[Root]) -> list[CodeType]:
        """The code of the cell, and that of the functions that it read."""
        found = [running.code] if running.code is not None else []
        for root in read:
            inner = getattr(self.memory.live.get(root), "__code__", None)
            if isinstance(inner, CodeType):
                found.append(inner)
        return found

    def _attributes_stored(self, running: Running, read: set[Root]) -> set[str]:
        return {n for code in self._codes_behind(running, read) for n in codes.stored_attributes(code)}

    def _names_behind(self, running: Running, read: set[Root]) -> frozenset[str]:
        return frozenset(n for code in self._codes_behind(running, read) for n in codes.attribute_names(code))

    def _settings(self, running: Running, read: set[Root]) -> list[str]:
        """Settings of packages that the cell, or a function that it read, changes past their modules (R7)."""
        trees = [codes.function_node(code) for code in self._codes_behind(running, read)[1:]]
        found: dict[str, None] = {}
        for tree in [codes.parsed(running.transformed), *(t.body for t in trees if t is not None)]:
            for part in tree if isinstance(tree, list) else [tree]:
                found.update(dict.fromkeys(setters.changed(part, self._value_of) if part is not None else ()))
        return list(found)

    def _beyond(self, running: Running) -> list[str]:
        """What a cell did to objects that are more than their content: it runs at every repeat.

        Nobody can look at what is under way in a connection, nor put back what a handler has got.
        """
        touched = list(running.values.values())
        kinds = {type(value).__module__ for value in touched}
        found = ["data in connections"] if kinds & _CONNECTIONS else []
        used = self.process.logs.logged or any(
            isinstance(value, logging.Handler) and value in logs.in_use() for value in touched
        )
        if used:
            found.append(logs.LOGGED)
        if kinds & _BETWEEN_THREADS and threads_of_the_notebook():
            found.append("what a thread that runs is given")
        return found

    def _reloaded_by_itself(self, loaded: set[str], files: CellFiles, before: State) -> list[str]:
        """Modules whose files cells write: autoreload must have seen them imported, to load them again."""
        if "IPython.extensions.autoreload" not in sys.modules:
            return []
        written = before.files.keys() | files.found.keys()
        paths = (path for name in loaded for path in modules.module_files(name))
        return ["modules that autoreload watches"] if any(self.files.key(p) in written for p in paths) else []

    def _value_of(self, name: str) -> Any:
        return self.memory.live.get(name, sys.modules.get(name))

    def _delta(
        self,
        running: Running,
        observed: Observed,
        deleted: set[str],
        before: State,
        files: CellFiles,
        trace: Trace,
        flags: list[str],
        has_result: bool,
        attributes: list[Root],
        new_modules: set[str],
    ) -> Delta:
        count, results = running.count, before.results
        names: dict[Root, Version] = {}
        result: Version | None = None
        for root, version in observed.versions.items():
            links = {to_symbol(peer, results, count): link for peer, link in version.links.items()}
            version = replace(version, links=links)
            symbol = to_symbol(root, results, count)
            if symbol == "_*":
                result = version
            elif is_result(root) and root not in before.names and not symbol.startswith(OWN_RESULT):
                continue
            else:
                names[symbol] = version
        gone = set(deleted)
        for root in before.names:
            known = root in observed.versions or root in observed.unchanged
            if root in attributes and not known and not self._attribute_exists(root):
                gone.add(root)
        wanted = {dep for v in names.values() for dep in v.deps if dep.startswith("mod:")}
        fresh = {root for root in wanted if root not in trace.reads} | {"mod:" + name for name in new_modules}
        names.update(local_modules(fresh))
        early = running.seen.early if running.seen is not None else 0
        preview = apply_delta(before, Delta(names, tuple(gone), result=result, early=early), count)
        classes = {root for root in preview.names if root.startswith("cls:")}
        if classes:
            unused = classes - reachable(preview)
            gone |= unused & before.names.keys()
            names = {root: v for root, v in names.items() if root not in unused}
        # As they were bound: whoever iterates over the namespace meets them in this order.
        place = {root: number for number, root in enumerate(running.values)}
        names = dict(sorted(names.items(), key=lambda item: place.get(item[0], -1)))
        return Delta(
            names=names,
            deleted=tuple(sorted(gone)),
            files=self._files_written(files, before),
            result=result,
            early=early,
        )

    @staticmethod
    def _attribute_exists(root: Root) -> bool:
        try:
            return bool(modules.get_attribute(root)) or root != modules.FIGURES
        except LookupError:
            return False

    def _take_in_unseen(self, files: CellFiles, before: State) -> list[str]:
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

    def _through_handles(self, files: CellFiles, before: State) -> set[str]:
        """Files that changed without an event: a handle open since an earlier cell (a log's) wrote on."""
        return {
            key
            for key, known in before.files.items()
            if key not in files.found
            and not self.layer.untouched(key)
            and not equal(known, self.files.state(self.files.path(key)))
        }

    def _found_by_tasks(self, task_reads: dict[str, FileState], files: CellFiles) -> dict[str, FileState]:
        """What tasks read and the cell had not written itself before."""
        reads = {}
        for path, state in task_reads.items():
            key = self.process.portable(path)
            found = files.found.get(key)
            if found is None or (found.kind, found.digest) == (state.kind, state.digest):
                reads[key] = state
        return reads

    def _take_in_outputs(self, files: CellFiles, before: State) -> None:
        """Files that tasks wrote elsewhere: what their paths held before, where that is known."""
        _, outputs = self.tasks.cell_files()
        for path in outputs:
            key = self.process.portable(path)
            if key not in files.found:
                made = self.files.path(key) in files.events.created
                state = ABSENT if made else self._before_unseen(key, files, before)
                if state is not None:
                    files.found[key] = state

    def _before_unseen(self, key: str, files: CellFiles, before: State) -> FileState | None:
        start = self.process.start
        if key in files.created or (files.tree is not None and key not in files.tree):
            return ABSENT
        if key in before.files:
            return before.files[key]
        if key in self.layer.moved:
            return start.found[key]
        return files.kept.get(key)

    def _files_written(self, files: CellFiles, before: State) -> dict[str, FileState]:
        written: dict[str, FileState] = {}
        paths = dict.fromkeys([*files.found, *sorted(files.changed)])
        # A handle opened by an earlier cell (or by recomputation) writes without an event.
        for key in {*self.files.written, *before.files}:
            if key in paths or self.layer.untouched(key):
                continue
            known = before.files.get(key) or self.history.run.left.get(key)
            if known is not None and not equal(known, self.files.state(self.files.path(key))):
                paths[key] = None
        _, outputs = self.tasks.cell_files()
        paths.update({self.process.portable(path): None for path in outputs})
        for key in paths:
            written[key] = self.files.state(self.files.path(key), keep=True)
            if written[key].kind == "file":
                self.files.written.add(key)
            self.layer.remember(key, written[key])
        return written

    def _classify(self, running: Running, cell: CellReads, outcome: Outcome, flags: list[str]) -> None:
        files, counts = outcome.files, outcome.counts
        if self.process.entropy.drawn or nondeterministic_names(running.code, self.memory, cell.reads):
            flags.append("nondeterministic")
        if files.external:
            flags.append("external")
        if outcome.outside:
            flags.append("outside")
        if outcome.interrupted:
            flags.append("interrupted")
        if counts.run or counts.served or counts.failed:
            flags.append("engine")
        if files.reads or files.probes or files.listings or files.found:
            flags.append("files")
        if _INSTALLER.search(running.source):
            flags.append("environment")
