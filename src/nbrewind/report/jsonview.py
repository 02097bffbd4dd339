"""What ``--json`` prints.  The shape is an interface: docs/architecture.md, "JSON"."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from nbrewind.errors import NBRewindError, RefusedError
from nbrewind.model import CellReport, Commit, Record, Run

SCHEMA = 1


def cell_object(report: CellReport) -> dict[str, Any]:
    """One element of ``cells``; seconds are rounded to the microsecond."""
    content: dict[str, Any] = {
        "index": report.index,
        "cell_id": report.cell_id,
        "action": report.action,
        "reason": report.reason,
        "changed_inputs": list(report.changed_inputs),
        "reads": list(report.reads),
        "writes": list(report.writes),
        "seconds": round(report.seconds, 6),
        "recorded_seconds": None if report.recorded_seconds is None else round(report.recorded_seconds, 6),
        "outputs_equal": report.outputs_equal,
        "tasks": {"served": report.tasks.served, "run": report.tasks.run, "failed": report.tasks.failed},
        "warnings": list(report.warnings),
    }
    if report.action == "failed":
        content["replayed"] = report.replayed
    if report.action == "depends":
        content["depends_on"] = list(report.depends_on)
    return content


def totals(reports: Iterable[CellReport], *, plan: bool = False) -> dict[str, Any]:
    """Counts by action and sums of seconds: of this run, and of the records it could use."""
    reports = list(reports)
    actions = ["restored", "executed", "recomputed", "failed", "skipped"] + (["depends"] if plan else [])
    content: dict[str, Any] = {
        action: sum(report.action == action for report in reports) for action in actions
    }
    content["seconds"] = round(sum(report.seconds for report in reports), 6)
    content["recorded_seconds"] = round(sum(report.recorded_seconds or 0.0 for report in reports), 6)
    return content


def run_object(
    notebook: str, status: str, reports: Iterable[CellReport], *, plan: bool = False
) -> dict[str, Any]:
    """What ``audit``, ``repeat`` and ``plan`` print."""
    reports = list(reports)
    return {
        "schema": SCHEMA,
        "notebook": notebook,
        "status": status,
        "cells": [cell_object(report) for report in reports],
        "totals": totals(reports, plan=plan),
    }


def failure_object(notebook: str, error: NBRewindError) -> dict[str, Any]:
    """What they print when they stop before the first cell: no cells, and the message."""
    content = run_object(notebook, "refused" if isinstance(error, RefusedError) else "error", [])
    content["error"] = {"message": str(error), "exit_code": error.exit_code}
    return content


def commit_object(commit: Commit, record: Record | None) -> dict[str, Any]:
    """A commit of the history with the record it applied, without the record's trace."""
    content: dict[str, Any] = msgspec.to_builtins(commit)
    if record is not None:
        content["source"] = record.source
        content["recorded_seconds"] = round(record.seconds, 6)
        content["error"] = msgspec.to_builtins(record.error) if record.error is not None else None
        content["flags"] = list(record.flags)
        content["notes"] = list(record.notes)
        content["reads"] = sorted(record.trace.reads)
        content["writes"] = sorted(record.delta.names)
        content["files_read"] = sorted(record.trace.files)
        content["files_written"] = sorted(record.delta.files)
    return content


def run_summary(run: Run) -> dict[str, Any]:
    """A run without its start world: times are seconds since the epoch."""
    return {
        "id": run.id,
        "notebook": run.notebook,
        "mode": run.mode,
        "status": run.status,
        "started": run.started,
        "ended": run.ended,
        "head": run.head,
        "parent": run.parent,
    }
