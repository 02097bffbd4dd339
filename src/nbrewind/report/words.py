"""Words for people: durations, sizes, reasons, a run in one line.  Kernels need no more than these."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from nbrewind.model import CellReport


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


def visible(text: str) -> str:
    """``text`` with what could steer a terminal, or cannot be printed at all, written as an escape."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def joined(value: object) -> str:
    """The text of an output's field, which notebooks may hold as a list of lines."""
    if isinstance(value, list):
        return "".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""
