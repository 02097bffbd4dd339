"""What differs between two runs, by comparing records: nothing is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from nbrewind.model import Commit, Record, Run
from nbrewind.report.jsonview import SCHEMA, run_summary
from nbrewind.report.words import first_line

Pair = tuple[Commit, Record | None]


@dataclass(frozen=True, slots=True)
class CellChange:
    """One cell in both runs.  ``change`` is the first that holds of: ``only in A``, ``only in B``,
    ``source``, ``inputs``, ``results`` (same source and inputs, other results), ``same``."""

    index: int
    cell_id: str
    change: str
    source: str
    inputs: tuple[str, ...] = ()
    """Roots, files and ambient items that were read with different content."""
    names: tuple[str, ...] = ()
    """Names whose values differ after the cell."""
    files: tuple[str, ...] = ()
    outputs_equal: bool | None = None


def compare_runs(first: Sequence[Pair], second: Sequence[Pair]) -> list[CellChange]:
    """Cell by cell, in the order of the second run; cells that only the first has come last.

    Of a cell that ran several times in a live run the last commit counts.
    """
    left, right = _by_cell(first), _by_cell(second)
    changes = [
        _compare(left[key], pair) if key in left else _alone(pair, "only in B") for key, pair in right.items()
    ]
    return changes + [_alone(pair, "only in A") for key, pair in left.items() if key not in right]


def _by_cell(pairs: Sequence[Pair]) -> dict[str, Pair]:
    found: dict[str, Pair] = {}
    for position, pair in enumerate(pairs):
        commit = pair[0]
        key = commit.cell_id or f"#{commit.index if commit.index >= 0 else position}"
        found.pop(key, None)  # keeps the order of the last execution
        found[key] = pair
    return found


def _alone(pair: Pair, change: str) -> CellChange:
    commit, record = pair
    return CellChange(commit.index, commit.cell_id, change, record.source if record is not None else "")


def _different(one: dict[str, Any], other: dict[str, Any]) -> tuple[str, ...]:
    return tuple(sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key)))


def _compare(first: Pair, second: Pair) -> CellChange:
    (_, old), (commit, new) = first, second
    if old is None or new is None:
        same = first[0].record == commit.record
        return CellChange(commit.index, commit.cell_id, "same" if same else "record lost", "")
    inputs = (
        _different(old.trace.reads, new.trace.reads)
        + _different(old.trace.files, new.trace.files)
        + _different(old.trace.ambient, new.trace.ambient)
    )
    names = _different(
        {name: version.digest for name, version in old.delta.names.items()},
        {name: version.digest for name, version in new.delta.names.items()},
    )
    files = _different(old.delta.files, new.delta.files)
    outputs_equal = old.outputs == new.outputs
    if old.source_key != new.source_key:
        change = "source"
    elif inputs:
        change = "inputs"
    elif names or files or not outputs_equal or old.error != new.error:
        change = "results"
    else:
        change = "same"
    return CellChange(commit.index, commit.cell_id, change, new.source, inputs, names, files, outputs_equal)


def diff_object(one: Run, other: Run, changes: Sequence[CellChange]) -> dict[str, Any]:
    """What ``diff --json`` prints."""
    return {
        "schema": SCHEMA,
        "a": run_summary(one),
        "b": run_summary(other),
        "equal": all(change.change == "same" for change in changes),
        "cells": [asdict(change) for change in changes],
    }


def diff_table(changes: Sequence[CellChange]) -> Table:
    """A row per cell."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("cell", "change", "inputs", "results", "outputs", "source"):
        table.add_column(title, overflow="fold")
    words = {None: "-", True: "equal", False: "differ"}
    for change in changes:
        table.add_row(
            "-" if change.index < 0 else str(change.index),
            Text(change.change, style="dim" if change.change == "same" else "yellow"),
            Text(", ".join(change.inputs)),
            Text(", ".join(change.names + change.files)),
            words[change.outputs_equal],
            Text(first_line(change.source), style="dim"),
        )
    return table
