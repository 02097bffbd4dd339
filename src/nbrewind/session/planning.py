"""What a repeat would do, without a kernel and without executing anything."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbrewind.errors import MissingObject
from nbrewind.flow import code as codes
from nbrewind.model import CellReport, Commit, Record, Root, Run, State
from nbrewind.plan.algebra import apply_delta, from_symbol
from nbrewind.plan.match import choose, label
from nbrewind.session.explain import Explainer
from nbrewind.session.history import inherited
from nbrewind.session.refusal import refused
from nbrewind.session.tags import PURE, must_run
from nbrewind.session.world_files import StartWorld
from nbrewind.store import Store


@dataclass(frozen=True, slots=True)
class PlanCell:
    """A code cell of the notebook."""

    source: str
    cell_id: str = ""
    tags: Sequence[str] = field(default=())


def plan_notebook(
    store: Store, cells: Sequence[PlanCell], root: Path, notebook: str = ""
) -> list[CellReport]:
    """What ``repeat`` of a notebook in ``root`` would do, cell by cell, and why."""
    from IPython.core import inputtransformer2

    manager: Any = inputtransformer2
    manager = manager.TransformerManager()
    runs = store.runs(notebook or None)
    run = inherited(runs[0], store) if runs else Run(id="")
    start = StartWorld(root.resolve(), run, store.digest_file, dict(os.environ))
    start.ignored = {str(store.path), notebook} if notebook else {str(store.path)}
    return plan_cells(
        store, cells, start, manager.transform_cell, branch=store.branch(run), explainer=Explainer(store, run)
    )


def plan_cells(
    store: Store,
    cells: Sequence[PlanCell],
    start: StartWorld,
    transform: object,
    *,
    branch: Sequence[Commit] = (),
    explainer: Explainer | None = None,
    flags: int = 0,
) -> list[CellReport]:
    """Walk the cells over the records; values of cells that must run are not known beforehand."""
    from nbrewind.session.core import written_names

    assert callable(transform)
    state = State()
    unknown: dict[Root, int] = {}
    previous: dict[int, Record] = {}
    for commit in branch:
        with contextlib.suppress(MissingObject):  # a damaged row
            previous[commit.index] = store.record(commit.record)
    ids = frozenset(record.id for record in previous.values())
    explainer = explainer or Explainer(store, None)
    reports: list[CellReport] = []
    count = 0
    stopped = False
    for index, cell in enumerate(cells):
        if not cell.source.strip():
            reports.append(CellReport(index, cell.cell_id, "skipped", "empty"))
            continue
        if stopped:
            reports.append(CellReport(index, cell.cell_id, "skipped", "after an error"))
            continue
        count += 1
        key = codes.source_key(transform(cell.source))
        recorded = store.records(key)
        pure = PURE in cell.tags
        records = [r for r in recorded if not refused(r, pure=pure) and store.complete(r)]
        tagged = must_run(cell.tags)
        if tagged:
            records = []
        report = _one(index, cell, records, state, unknown, start, ids, explainer)
        if tagged:
            report[0].reason, report[0].changed_inputs = tagged, []
        elif recorded and not records and report[0].action == "executed":
            report[0].reason = refused(recorded[0], pure=pure) or "the store misses part of its record"
        record = report[1]
        reports.append(report[0])
        if record is None and not unknown:
            again = choose([r for r in recorded if "process" in r.flags], state, start, branch=ids).record
            if again is not None:
                # It must run, for what it does to the process; its values will be what they were.
                state = apply_delta(state, again.delta, count)
                continue
        if record is not None:
            state = apply_delta(state, record.delta, count)
            report[0].writes = written_names(record.delta)
            report[0].recorded_seconds = record.seconds
            for root in _written(record, state):
                unknown.pop(root, None)
            stopped = record.error is not None and "raises-exception" not in cell.tags
            continue
        for root in _guess_writes(cell, records, previous, index, transform, flags):
            unknown[root] = index
    return reports


def _one(
    index: int,
    cell: PlanCell,
    records: list[Record],
    state: State,
    unknown: dict[Root, int],
    start: StartWorld,
    branch: frozenset[str],
    explainer: Explainer,
) -> tuple[CellReport, Record | None]:
    choice = choose(records, state, start, branch=branch)
    record = choice.record
    if record is None:
        for candidate in records:
            waits = sorted({unknown[r] for r in _read(candidate, state) if r in unknown})
            if waits:
                names = [label(r) for r in _read(candidate, state) if r in unknown]
                report = CellReport(
                    index, cell.cell_id, "depends", f"depends on {names[0]}", changed_inputs=names
                )
                report.depends_on = waits
                return report, None
        reason = explainer.reason(choice, state)
        return CellReport(index, cell.cell_id, "executed", reason, changed_inputs=choice.changed), None
    waits = sorted({unknown[root] for root in _read(record, state) if root in unknown})
    report = CellReport(index, cell.cell_id, "restored", "trace holds")
    report.reads = [label(root) for root in record.trace.reads if not root.startswith(("lib:", "cls:"))]
    if waits:
        report.action, report.depends_on = "depends", waits
        report.changed_inputs = [label(root) for root in _read(record, state) if root in unknown]
        report.reason = f"depends on {report.changed_inputs[0]}"
        return report, None
    if record.error is not None:
        report.action, report.replayed = "failed", True
    return report, record


def _read(record: Record, state: State) -> set[Root]:
    found = {from_symbol(root, state.results) or root for root in record.trace.reads}
    return found | set(record.trace.absent) | {f"file:{path}" for path in record.trace.files}


def _written(record: Record, state: State) -> set[Root]:
    found = {from_symbol(root, state.results) or root for root in record.delta.names}
    return found | {f"file:{path}" for path in record.delta.files}


def _guess_writes(
    cell: PlanCell,
    records: list[Record],
    previous: dict[int, Record],
    index: int,
    transform: object,
    flags: int,
) -> set[Root]:
    """What a cell that must run may write: what it names, and what its last record wrote."""
    import ast

    assert callable(transform)
    found: set[Root] = set()
    try:
        code = compile(transform(cell.source), "<cell>", "exec", flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        found |= codes.stored_names(code) | codes.global_names(code)
    except (SyntaxError, ValueError):
        pass
    last = records[0] if records else previous.get(index)
    if last is not None:
        found |= set(last.delta.names) | {f"file:{path}" for path in last.delta.files}
    return found
