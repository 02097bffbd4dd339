"""Words and tables for people: durations, sizes, one line per cell."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from nbrewind.model import CellReport, Commit, Record, Run

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


def duration(seconds: float | None) -> str:
    """``0.4 ms``, ``12 ms``, ``3.2 s``, ``4 min 10 s``; a dash for None."""
    if seconds is None:
        return "-"
    if seconds < 0.0995:
        return f"{seconds * 1000:.1f} ms" if seconds < 0.00995 else f"{seconds * 1000:.0f} ms"
    if seconds < 99.5:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def size(count: float) -> str:
    """A number of bytes: ``312 B``, ``4.1 KiB``, ``2.0 GiB``."""
    if count < 1024:
        return f"{count:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        count /= 1024
        if count < 1024:
            return f"{count:.1f} {unit}"
    return f"{count / 1024:.1f} TiB"


def moment(stamp: float) -> str:
    """A time in seconds since the epoch, in this machine's zone."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(stamp)) if stamp else "-"


def first_line(source: str, width: int = 48) -> str:
    """The first line of a cell that says something, cut to ``width`` characters."""
    lines = [line.strip() for line in source.splitlines()]
    line = next((line for line in lines if line and not line.startswith("#")), lines[0] if lines else "")
    return line if len(line) <= width else line[: width - 1] + "…"


def saved_seconds(reports: Iterable[CellReport]) -> float:
    """Seconds that restored cells cost when recorded, less what restoring them cost now."""
    return sum(
        max(0.0, (report.recorded_seconds or 0.0) - report.seconds)
        for report in reports
        if report.action == "restored" or report.replayed
    )


def task_words(report: CellReport) -> str:
    """``24 served, 1 run``; empty for a cell without tasks."""
    counts = report.tasks
    pairs = ((counts.served, "served"), (counts.run, "run"), (counts.failed, "failed"))
    return ", ".join(f"{number} {word}" for number, word in pairs if number)


def why(report: CellReport) -> str:
    """The reason with the inputs that changed."""
    words = report.reason
    missing = [item for item in report.changed_inputs if item not in words]
    if missing:
        words += f" ({', '.join(missing[:4])}{', …' if len(missing) > 4 else ''})"
    if report.replayed:
        words += ", recorded error replayed"
    if report.depends_on:
        words += " on cell " + ", ".join(str(index) for index in report.depends_on)
    return words


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


def summary_line(reports: Sequence[CellReport], *, plan: bool = False) -> str:
    """How a run ended, or what a plan amounts to, in one line."""
    actions = ("restored", "executed", "recomputed", "failed", "depends", "skipped")
    counts = {action: sum(report.action == action for report in reports) for action in actions}
    words = ", ".join(f"{count} {action}" for action, count in counts.items() if count) or "no code cells"
    served = sum(report.tasks.served for report in reports)
    ran = sum(report.tasks.run for report in reports)
    if served or ran:
        words += f"; tasks: {served} served, {ran} run"
    saved = saved_seconds(reports)
    if not plan:
        words += f"; {duration(sum(report.seconds for report in reports))}"
    if saved >= 0.001:
        words += f"; would save {duration(saved)}" if plan else f", {duration(saved)} saved"
    return words


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


def runs_table(runs: Iterable[Run], counts: dict[str, int]) -> Table:
    """The history: a row per run, newest first; ``counts`` are commits per run id."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("run", "started", "mode", "status", "cells", "notebook"):
        table.add_column(title, justify="right" if title == "cells" else "left", overflow="fold")
    for run in runs:
        cells = str(counts.get(run.id, 0))
        table.add_row(
            run.id[:12], moment(run.started), run.mode, run.status, cells, Text(run.notebook or "-")
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
