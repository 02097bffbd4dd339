"""After a cell ran: its record, from what the watches saw and the observer found."""

from __future__ import annotations

import contextlib
import json
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
from nbrewind.flow.ambient import EVERY_NAME
from nbrewind.flow.code import hash_parts
from nbrewind.flow.environment import installed_version
from nbrewind.flow.files import CellFiles
from nbrewind.flow.hidden import reloads
from nbrewind.flow.names import BASELINES, is_local_module
from nbrewind.model import (
    AmbientValue,
    CellError,
    CellReport,
    Delta,
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
    whole_of,
)
from nbrewind.plan.match import (
    ALL_CLASSES,
    ALL_VARIABLES,
    LOADED_MODULES,
    PATCHES,
    RESULT_NUMBERS,
    SUBCLASSES,
    classes_digest,
    concerns,
    modules_digest,
    names_digest,
    numbers_digest,
    patches_digest,
    variables_digest,
)
from nbrewind.session import modules, prepare, untold
from nbrewind.session.behind import Behind
from nbrewind.session.history import History
from nbrewind.session.keep import Decide, repeatable
from nbrewind.session.memory import CellReads, take_aliases
from nbrewind.session.nondeterminism import nondeterministic_names
from nbrewind.session.observe import Observed
from nbrewind.session.process import Process
from nbrewind.session.surroundings import effects, random_reads
from nbrewind.session.tags import EXCUSED, NEVER, PURE
from nbrewind.session.touched_files import TouchedFiles

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
        self.touched = TouchedFiles(process, history)
        self._counter = 0

    def record(self, running: Running, outcome: Outcome) -> Record:
        """Observe the cell's effects; the state and the live values are at them afterwards."""
        memory, before, count, files = self.memory, running.before, running.count, outcome.files
        cell, values = memory.park()
        running.seen, running.values = cell, values
        flags = list(cell.flags)
        private = NEVER in running.tags
        notes = [*cell.notes, *self.tasks.notes(), *self.touched.take_in_unseen(files, before)]
        self.touched.take_in_outputs(files, before)
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
        behind = Behind.of(running.code, read, memory.live)
        names = behind.names()
        trace = self._trace(running, cell, read, before, files, flags, new_modules, names)
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
        attributes = self._attributes(behind, read, packages, new_modules, before)
        attributes += sorted(patched.difference(attributes))
        around = effects(
            self.process,
            before,
            running.ambient,
            read=read,
            names=names,
            untold=untold.labels(
                self.process,
                transformed=running.transformed,
                behind=behind,
                values=running.values,
                loaded=new_modules,
                files=files,
                before=before,
            ),
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
        delta = self._delta(
            running, observed, deleted, before, files, trace, flags, has_result, attributes, new_modules
        )
        given_up = whole_of(before, read & {*bound, *patched, *delta.deleted})
        trace = replace(trace, whole=given_up | observed.whole, identities=identities, replaced=replaced)
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
        for root in memory.held.keys() - after.names.keys():
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
        names: frozenset[str],
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
        again = {"mod:" + name for name in self.process.imports.twice & new_modules}
        absent = sorted(name for name in cell.absent | again if name not in before.names)
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
        if {"sys", "modules"} <= names:
            ambient[LOADED_MODULES] = modules_digest(before)
        patched = patches_digest(before, reads)
        if patched:
            ambient[PATCHES] = patched
        if cell.position:
            ambient["position"] = hash_parts(str(running.count))
            flags.append("position")
        file_reads = {**self.touched.found_by_tasks(files), **files.reads}
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
        self, behind: Behind, read: set[Root], packages: set[str], new_modules: set[str], before: State
    ) -> list[Root]:
        """Module attributes that the cell may have set or changed (R8)."""
        if not rules.on("R8"):
            return []
        wanted = {n for n in list(BASELINES) if n.partition(".")[0] in packages and n in sys.modules}
        wanted |= {root[4:] for root in read if root.startswith("mod:")} | new_modules
        # A module made by hand is a value of the notebook like any other.
        wanted = {name for name in wanted if getattr(sys.modules.get(name), "__spec__", None) is not None}
        stored = behind.stored_attributes()
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
        found.update({root: None for root in before.attributes if root in read})
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
        classes = {root for root in preview.marked if root.startswith("cls:")}
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
            files=self.touched.written(files, before),
            result=result,
            early=early,
        )

    @staticmethod
    def _attribute_exists(root: Root) -> bool:
        try:
            return bool(modules.get_attribute(root)) or root != modules.FIGURES
        except LookupError:
            return False

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
