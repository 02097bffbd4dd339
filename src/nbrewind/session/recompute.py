"""Recomputation of opaque values (R5): their cells run again in the live namespace.

The parked values are swapped to the historical state and back; what the cells write
besides must have the recorded digests, or the value is not trusted.
"""

from __future__ import annotations

import contextlib
import inspect
import threading
from collections.abc import Iterable, Mapping, Set
from typing import TYPE_CHECKING, Any, NamedTuple

from nbrewind.errors import NBRewindError, RecomputeFailed
from nbrewind.flow import code as codes
from nbrewind.flow.ambient import digest_of
from nbrewind.model import Commit, Record, Root, State, Version
from nbrewind.plan.algebra import apply_delta, from_symbol, reachable, replaceable
from nbrewind.session import modules, prepare
from nbrewind.session.keep import left_out
from nbrewind.session.memory import Memory, same
from nbrewind.session.recorder import key_of_trace
from nbrewind.session.standing import depth, reclass, stand_in

if TYPE_CHECKING:
    from nbrewind.session.core import Session


def asynchronous(session: Session, root: Root) -> bool:
    """Whether cells that have to run again for ``root`` wait at their top level.

    Raises:
        RecomputeFailed: its cells are unknown here.
    """
    codes = (
        prepare.compiled(session.transform(record.source), session.compile_flags())
        for _, (_, record, _) in _steps(session, root)
    )
    return any(code is not None and code.co_flags & inspect.CO_COROUTINE for code in codes)


def producers(session: Session, root: Root) -> tuple[int, ...]:
    """Indices of the cells that have to run again for ``root``, as far as they are known."""
    try:
        return tuple(commit.index for _, (commit, _, _) in _steps(session, root) if commit.index >= 0)
    except RecomputeFailed:
        return ()


async def recompute(session: Session, root: Root) -> None:
    """Rebuild ``root`` as it is in the current state.

    Raises:
        RecomputeFailed: its cells are unknown here, failed, or wrote something else.
    """
    steps = _steps(session, root)
    memory, process = session.memory, session.process
    state, cell, running = session.state, memory.cell, session.running
    horizon = session.horizon
    quiet, memory.thread.quiet = memory.thread.quiet, 0
    inside = dict(memory.user_values())
    shims = set(memory.namespace.shims)
    memory.namespace.drop_shims()
    stash = {name: dict.pop(memory.namespace, name) for name in inside}
    live, held = dict(memory.live), dict(memory.held)
    attributes = {root: _attribute(root) for root in held if root.startswith("attr:")}
    # Live values may refer to these very objects; classes that the cells make again stand back.
    made_before = dict(memory.world.classes)
    classes = {
        name: cls for name, cls in made_before.items() if name in state.names and memory.is_fresh(name)
    }
    with process.suspended():
        ambient = {key: process.ambient.value(key) for key in process.ambient.snapshot()}
    aside = contextlib.ExitStack()
    aside.enter_context(process.files.set_aside())
    apart: set[Root] = set()
    recording, process.ambient.recording = process.ambient.recording, False
    executing, process.tasks.executing = process.tasks.executing, False
    between, memory.between = memory.between, type(memory.between)()
    session.running = None
    # Threads of an engine may need a name while its cells run again here.
    lock, memory.lock = memory.lock, threading.RLock()
    # What is being loaded now had other versions then, which may have to be loaded first.
    loading, memory.loading = memory.loading, set()
    try:
        for place, (commit, record, before) in steps:
            session.horizon = place
            await _run_again(session, commit, record, before)
    finally:
        memory.lock, memory.loading = lock, loading
        session.horizon = horizon
        rebuilt = _Rebuilt(dict(memory.live), dict(memory.held))
        memory.cell, session.running = cell, running
        memory.state = state
        memory.live, memory.held = live, held
        torn = _adopt(memory, rebuilt, classes, made_before, attributes, inside.keys())
        _put_attributes(session, attributes, rebuilt.held)
        for name, cls in sorted(classes.items(), key=depth):
            made = memory.world.classes[name]
            if made is not cls:
                memory.world.register_class(name, cls)
                try:
                    stand_in(cls, made, memory.world.classes.values())
                except TypeError:  # Python's: `__weakref__` among other slots, for one
                    apart.add(name)
        dict.update(memory.namespace, stash)
        memory.leave_alive()
        for name in shims:
            if not dict.__contains__(memory.namespace, name):
                memory.namespace.shim(name)
        process.ambient.recording = recording
        process.tasks.executing = executing
        memory.between = between
        memory.thread.quiet = quiet
        with memory.own_work():
            process.layer.lay_down(state.files)
            for key, value in ambient.items():
                process.ambient.put(key, value)
        aside.close()
        _bring_again(
            session, {n for _, (_, record, _) in steps for n in record.delta.names if n in attributes}
        )
    if apart:
        memory.drop_users(apart)
        raise RecomputeFailed(
            f"{root} cannot be restored here: its cells made the class {min(apart).rpartition('#')[2]} "
            "again, and Python gives no instance of it another, equal class. Run its cells first."
        )
    if torn:
        raise RecomputeFailed(
            f"{root} cannot be restored inside of this cell: its cells made a class again, and {min(torn)}, "
            f"which this cell has used, shares objects with values of it. Name {root} in the cell itself."
        )
    for _, (_, record, _) in steps:
        if session.report is not None:
            session.report.recomputed.append(record.id)


class _Rebuilt(NamedTuple):
    """What was in memory after the last cell had run again, and at which versions."""

    live: dict[Root, Any]
    held: dict[Root, Version]


def _adopt(
    memory: Memory,
    rebuilt: _Rebuilt,
    classes: dict[Root, type],
    made_before: Mapping[Root, type],
    attributes: dict[Root, Any],
    used: Set[Root],
) -> set[Root]:
    """Take from what was rebuilt what the state wants; gives what a running cell has ``used`` of the rest.

    ``classes`` and ``attributes`` lose those that do not have to be put back.
    """
    names = memory.state.names
    now = memory.world.classes
    torn = memory.drop_users(
        {n for n, cls in made_before.items() if n not in classes and now.get(n) is not cls}
    )
    fit = {
        name
        for name, held in rebuilt.held.items()
        # What has an image comes from there.
        if (version := names.get(name)) is not None and not version.image and same(held, version)
    }
    there = {name for name in memory.held if memory.is_live(name)}.union(used)
    taken = replaceable(memory.state, fit, there, used)
    torn |= memory.drop_users({name for name in taken if classes.pop(name, None) is not None})
    for name in taken:
        attributes.pop(name, None)  # it is what the cells ran again for
        if name in rebuilt.live:
            memory.live[name] = rebuilt.live[name]
        memory.held[name] = names[name]
    for name, held in rebuilt.held.items():
        version = names.get(name) if name.startswith("cls:") else None
        if version is not None and not version.links and same(held, version):
            memory.held[name] = version
    return torn.intersection(used)


_GONE = object()


def _attribute(root: Root) -> Any:
    """An attribute of a module or class as it is now."""
    try:
        return modules.get_attribute(root)
    except LookupError:
        return _GONE


def _bring_again(session: Session, attributes: Iterable[Root]) -> None:
    """What a module holds and the cells may have changed in place comes from its image."""
    memory = session.memory
    for root in attributes:
        memory.drop(root)
        version = session.state.names.get(root)
        if version is not None and version.image and not version.links:
            memory.materialise(root)


def _put_attributes(session: Session, wanted: dict[Root, Any], touched: Iterable[Root]) -> None:
    """Give attributes of modules and classes back what they were before cells ran again."""
    for root in touched:
        if root.startswith("attr:") and root not in wanted and root not in session.state.names:
            modules.reset_attribute(root, session.process.counters.first)
    for root, value in wanted.items():
        now = _attribute(root)
        if now is value or (root == modules.FIGURES and now == value):
            continue
        if value is _GONE:
            modules.reset_attribute(root, session.process.counters.first)
        else:
            modules.put_attribute(root, value)


def _steps(session: Session, root: Root) -> list[tuple[int, tuple[Commit, Record, State]]]:
    """The commits of the branch that made and touched the value, and for opaque inputs theirs, by place.

    A record may be on the branch more than once: the last place that fits the order of the chain is meant.
    """
    version = session.state.names[root]
    commits = session.history.commits
    wanted: set[int] = set()
    queue = [(version.chain, len(commits) if session.horizon is None else session.horizon)]
    while queue:
        chain, horizon = queue.pop()
        end = horizon
        for one in reversed(chain):
            place = _last_place(session, one, end)
            if place is None:  # chains of values that came to share objects follow each other in it
                place = _last_place(session, one, horizon)
            if place is None:
                raise RecomputeFailed(
                    f"{root} cannot be restored ({version.opaque}), and the cells that made it are not part "
                    "of this run. Run them again with `--force`."
                )
            end = min(end, place)
            if place in wanted:
                continue
            wanted.add(place)
            _, record, before = commits[place]
            if "interrupted" in record.flags:
                raise RecomputeFailed(
                    f"{root} cannot be restored ({version.opaque}): a cell that made it was interrupted, and "
                    "running it again would do more. Run that cell anew."
                )
            for symbol in record.trace.reads:
                source = from_symbol(symbol, before.results)
                read = before.names.get(source) if source is not None else None
                if read is not None and not read.image and not (source or "").startswith("mod:"):
                    queue.append((read.chain, place))
    if not wanted:
        raise RecomputeFailed(
            f"{root} cannot be restored ({version.opaque}) and no cell is known to have made it."
        )
    return [(place, commits[place]) for place in sorted(wanted)]


def _last_place(session: Session, record: str, end: int) -> int | None:
    """Where the branch has a record, or another one of the same trace, last before ``end``."""
    records = [step[1] for step in session.history.commits[:end]]
    for place in range(end - 1, -1, -1):
        if records[place].id == record:
            return place
    trace = _trace_key(session, record)
    for place in range(end - 1, -1, -1):
        if trace and key_of_trace(records[place].source_key, records[place].trace) == trace:
            return place
    return None


def _trace_key(session: Session, record: str) -> str:
    """A cell that had to run again has a new record for the same trace."""
    try:
        found = session.store.record(record)
    except NBRewindError:
        return ""
    return key_of_trace(found.source_key, found.trace)


def _check_modules(session: Session, commit: Commit, record: Record, before: State) -> None:
    """A helper module's data has to be as importing it left it, where no cell had changed it (R8).

    Raises:
        RecomputeFailed: it was changed in place since, as by running the cell again before.
    """
    for root in record.delta.names.keys() - before.names.keys():
        first = session.memory.attribute_baseline.get(root)
        with session.memory.own_work():
            if first is None or digest_of(_attribute(root)) == first:
                continue
        raise RecomputeFailed(
            f"cell {commit.index} changes {root.removeprefix('attr:').replace(':', '.')} in place, "
            "which is not as it was when the cell ran first.",
            (commit.index,) if commit.index >= 0 else (),
        )


async def _run_again(session: Session, commit: Commit, record: Record, before: State) -> None:
    memory, process = session.memory, session.process
    memory.become(before)
    with memory.own_work():
        process.layer.lay_down(before.files)
    process.bring()
    _check_modules(session, commit, record, before)
    cell = memory.begin()
    cell.ends = False
    old_classes = dict(memory.world.classes)
    transformed = session.transform(record.source)
    code = prepare.compiled(transformed, session.compile_flags())
    session.take_baselines(
        transformed, code, codes.attribute_names(code) if code is not None else frozenset()
    )
    if code is not None:
        prepare.prefault(memory, code)
    if session.run_again is None:
        raise RecomputeFailed("no shell is attached to run cells again")
    error = await session.run_again(record.source, commit.execution_count)
    _, values = memory.park()
    if error is not None and record.error is None:
        raise RecomputeFailed(f"running cell {commit.index} again raised {type(error).__name__}: {error}")
    for name, value in values.items():
        memory.live[name] = value
    bound = frozenset(n for n, v in values.items() if cell.faulted.get(n) != id(v))
    trace_key = key_of_trace(record.source_key, record.trace)
    deleted = {n for n in cell.faulted if n not in values}
    keep = reachable(before, set(bound) | deleted)
    observed = process.observer.observe(
        dict(values),
        before=before,
        reads=cell.reads,
        bound=bound,
        mutated=frozenset(),
        creator=trace_key,
        record=record.id,
        count=commit.execution_count,
        taken=lambda: keep,
        attributes=[root for root in record.delta.names if root.startswith("attr:")],
        save=False,
    )
    after = apply_delta(before, record.delta, commit.execution_count)
    for root, version in observed.versions.items():
        expected = after.names.get(root)
        if expected is None or root.startswith(("mod:", "attr:")):
            continue
        if version.digest != expected.digest and (not expected.opaque or left_out(expected)):
            raise RecomputeFailed(
                f"cell {commit.index} is nondeterministic: running it again gave another {root}. "
                "Execute it and its readers with `--force`.",
                (commit.index,) if commit.index >= 0 else (),
            )
    memory.state = after
    found = {*observed.versions, *observed.unchanged}
    if "nondeterministic" not in record.flags and ("static" in record.flags or "process" not in record.flags):
        # It counted as touching what its code may touch, and what runs code when it goes; now it was watched.
        held = memory.held
        still = {r for r, v in before.names.items() if r in held and same(held[r], v)}
        still = {r for r in still if ":" in r or r in memory.live}
        found |= {r for r in still if r in after.names and after.names[r].opaque}
    for root in found:
        version_now = after.names.get(root)
        if version_now is not None:
            memory.held[root] = version_now
    for root, cls in sorted(memory.world.classes.items(), key=depth):
        old = old_classes.get(root)
        if old is not None and old is not cls:
            reclass(old, cls)
