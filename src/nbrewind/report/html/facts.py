"""What the page's script needs as plain data: runs, the steps of their cells, their tasks in columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nbrewind.report.book import Book, RunView, Step, action_of, again, tasks_of
from nbrewind.report.dataflow import headline
from nbrewind.report.words import duration, moment

COUNTED = ("executed", "recomputed", "restored", "failed")


def why(step: Step) -> str:
    """The reason of a step in words, with the inputs that changed."""
    commit = step.commit
    words = commit.reason or {"executed": "executed", "restored": "trace holds"}.get(commit.action, "")
    missing = [item for item in commit.changed_inputs if item not in words]
    if missing:
        words += f" ({', '.join(missing[:4])}{', …' if len(missing) > 4 else ''})"
    if commit.action == "failed" and step.record is not None and step.record.error is not None:
        words += f": {step.record.error.ename}" if words else step.record.error.ename
    return words


def counts(view: RunView) -> dict[str, int]:
    """Cells of a run by what was done, and its tasks."""
    steps = list(view.last.values())
    recomputed = again(steps)
    actions = [action_of(step, recomputed) for step in steps]
    found = {action: actions.count(action) for action in COUNTED}
    found["served"] = sum(step.commit.tasks.served for step in steps)
    found["run"] = sum(step.commit.tasks.run for step in steps)
    found["tasks_failed"] = sum(step.commit.tasks.failed for step in steps)
    return found


def facts(book: Book, outputs: dict[str, str]) -> dict[str, Any]:
    """Everything, for JSON.  ``outputs`` are the outputs of steps other than the newest run's, as HTML."""
    code = [cell for cell in book.cells if cell.kind == "code"]
    keys = [cell.key for cell in code]
    return {
        "cells": [{"index": cell.index, "line": headline(cell.source)[:80]} for cell in code],
        "runs": [_run(view) for view in book.runs],
        "steps": [_steps(view, keys) for view in book.runs],
        "tasks": [_tasks(book, view, keys) for view in book.runs],
        "outputs": outputs,
    }


def _run(view: RunView) -> dict[str, Any]:
    run = view.run
    return {
        "id": run.id[:12],
        "mode": run.mode,
        "status": run.status,
        "started": moment(run.started),
        "seconds": round(view.seconds, 3),
        "took": duration(view.seconds),
        "counts": counts(view),
    }


def _steps(view: RunView, keys: Sequence[str]) -> list[dict[str, Any] | None]:
    """One entry per code cell, in the notebook's order; None for those that the run did not reach."""
    last = view.last
    recomputed = again(last.values())
    found: list[dict[str, Any] | None] = []
    for key in keys:
        step = last.get(key)
        if step is None:
            found.append(None)
            continue
        tasks = step.commit.tasks
        found.append(
            {
                "action": action_of(step, recomputed),
                "why": why(step),
                "seconds": round(step.seconds, 6),
                "now": duration(step.seconds),
                "recorded": duration(step.record.seconds) if step.record is not None else "-",
                "tasks": [tasks.served, tasks.run, tasks.failed],
                "outputs": step.record.outputs if step.record is not None else "",
                "source": step.record.id if step.record is not None else "",
                "end": round(step.commit.created - view.run.started, 4),
            }
        )
    return found


STATES = ("run", "failed", "served")
COLUMNS = ("cell", "name", "worker", "state", "start", "seconds")


def _tasks(book: Book, view: RunView, keys: Sequence[str]) -> dict[str, list[Any]]:
    """Columns, one entry per task, in order of cells and of start: small, and quick to read."""
    places = {key: place for place, key in enumerate(keys)}
    names: dict[str, int] = {}
    workers: dict[str, int] = {}
    columns: dict[str, list[Any]] = {key: [] for key in COLUMNS}
    for step in view.last.values():
        if step.key not in places:
            continue
        for row in tasks_of(book, view, step):
            columns["cell"].append(places[step.key])
            columns["name"].append(names.setdefault(family(row.name), len(names)))
            columns["worker"].append(workers.setdefault(row.worker, len(workers)))
            columns["state"].append(STATES.index(row.state))
            columns["start"].append(round(row.start, 3))
            columns["seconds"].append(round(row.seconds, 4))
    return {"names": list(names), "workers": list(workers), **columns}


def family(name: str) -> str:
    """The name that equal work shares: without the unique part that engines put behind it."""
    head, dash, tail = name.partition("-")
    if dash and tail and all(part and _hexadecimal(part) for part in tail.split("-")):
        return head
    while dash:
        first, dash, rest = tail.partition("-")
        if _hexadecimal(first) and len(first) >= 6:
            return head
        head, tail = f"{head}-{first}", rest
    return name


def _hexadecimal(part: str) -> bool:
    return set(part) <= set("0123456789abcdef") and any(sign.isdigit() for sign in part)
