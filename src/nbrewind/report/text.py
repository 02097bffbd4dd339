"""Tables for people, and one line per cell."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from nbrewind.model import CellReport, Commit, Record, Run
from nbrewind.report.words import duration, first_line, moment, saved_seconds, task_words, why

PIPE_WIDTH = 160
"""Columns of a table that goes into a pipe or a file."""

STYLES = {
    "restored": "green",
    "executed": "yellow",
    "recomputed": "magenta",
    "failed": "bold red",
    "skipped": "dim",
    "depends": "cyan",
}


def cell_line(report: CellReport, total: int) -> Text:
    """One line for a finished cell."""
    width = len(str(max(total - 1, 0)))
    line = Text(f"[{report.index:>{width}}] ")
    line.append(f"{report.action:<10}", style=STYLES.get(report.action, ""))
    if report.action != "skipped":
        line.append(f" {duration(report.seconds):>8}")
        saved = saved_seconds([report])
        if saved >= 0.001:
            line.append(f"  saved {duration(saved)}", style="green")
    tasks = task_words(report)
    if tasks:
        line.append(f"  tasks: {tasks}")
    line.append(f"  {why(report)}", style="dim")
    return line


def warning_line(report: CellReport, warning: str, total: int) -> Text:
    """One warning of a cell, below its line."""
    width = len(str(max(total - 1, 0)))
    return Text(f"{'':{width + 3}}warning: {warning}", style="yellow")


def output_console() -> Console:
    """Standard output for tables: as wide as the terminal, wide enough for a pipe."""
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(highlight=False, width=PIPE_WIDTH)
    return console


def plan_table(reports: Iterable[CellReport], sources: Sequence[str]) -> Table:
    """What a repeat would do: a row per cell."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("cell", "would be", "recorded", "why", "source"):
        table.add_column(title, justify="right" if title == "recorded" else "left", overflow="fold")
    for report in reports:
        source = sources[report.index] if 0 <= report.index < len(sources) else ""
        table.add_row(
            str(report.index),
            Text(report.action, style=STYLES.get(report.action, "")),
            duration(report.recorded_seconds),
            Text(why(report)),
            Text(first_line(source), style="dim"),
        )
    return table


def runs_table(runs: Iterable[Run], counts: dict[str, int], pinned: Collection[str] = ()) -> Table:
    """The history: a row per run, newest first; ``counts`` are commits per run id."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("run", "started", "mode", "status", "cells", "notebook"):
        table.add_column(title, justify="right" if title == "cells" else "left", overflow="fold")
    for run in runs:
        cells = str(counts.get(run.id, 0))
        table.add_row(
            run.id[:12],
            moment(run.started),
            run.mode,
            run.status + (", pinned" if run.id in pinned else ""),
            cells,
            Text(run.notebook or "-"),
        )
    return table


def commits_table(pairs: Iterable[tuple[Commit, Record | None]]) -> Table:
    """A row per commit in the order given."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("commit", "In", "cell", "action", "recorded", "writes", "source"):
        right = title in {"In", "cell", "recorded"}
        table.add_column(title, justify="right" if right else "left", overflow="fold")
    for commit, record in pairs:
        writes = sorted(record.delta.names) if record is not None else []
        table.add_row(
            commit.id[:12],
            str(commit.execution_count),
            "-" if commit.index < 0 else str(commit.index),
            Text(commit.action, style=STYLES.get(commit.action, "")),
            duration(record.seconds) if record is not None else "-",
            Text(", ".join(writes[:6]) + (", …" if len(writes) > 6 else "")),
            Text(first_line(record.source) if record is not None else "", style="dim"),
        )
    return table


def commit_table(commit: Commit, record: Record | None) -> Table:
    """Everything about one commit, as rows of key and value."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    rows: list[tuple[str, str]] = [
        ("commit", commit.id),
        ("parent", commit.parent or "- (root)"),
        ("cell", f"{commit.index if commit.index >= 0 else '-'} {commit.cell_id}".rstrip()),
        ("action", commit.action),
        ("why", commit.reason),
        ("when", moment(commit.created)),
    ]
    if record is None:
        rows.append(("record", f"{commit.record} is no longer in the store"))
    else:
        files = (*record.trace.files, *record.trace.probes, *record.trace.listings)
        rows += [
            ("record", record.id),
            ("recorded", f"{moment(record.created)}, {duration(record.seconds)}"),
            ("reads", ", ".join(sorted(record.trace.reads))),
            ("absent", ", ".join(record.trace.absent)),
            ("files read", ", ".join(sorted(files))),
            ("ambient", ", ".join(sorted(record.trace.ambient))),
            ("writes", ", ".join(sorted(record.delta.names))),
            ("deletes", ", ".join(sorted(record.delta.deleted))),
            ("files written", ", ".join(sorted(record.delta.files))),
            ("tasks", str(len(record.tasks)) if record.tasks else ""),
            ("flags", ", ".join(record.flags)),
            ("notes", "\n".join(record.notes)),
            ("error", f"{record.error.ename}: {record.error.evalue}" if record.error else ""),
            ("source", record.source),
        ]
    for key, value in rows:
        if value:
            table.add_row(key, Text(value))
    return table
