"""What the demonstration prints: one table per repeat, and a summary of the three runs."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

from nbrewind.report.text import STYLES
from nbrewind.report.words import duration, first_line


def _without_magics(source: str) -> str:
    """A reader knows a cell by its first line that is no magic."""
    return "\n".join(line for line in source.splitlines() if not line.startswith("%")) or source


def _tasks(cell: dict[str, Any]) -> tuple[str, str]:
    counts = cell.get("tasks") or {}
    served, ran = counts.get("served", 0), counts.get("run", 0)
    return (str(served), str(ran)) if served or ran else ("", "")


def _why(cell: dict[str, Any]) -> str:
    changed = cell.get("changed_inputs") or []
    if cell["action"] == "restored" or not changed:
        return str(cell["reason"])
    return "changed: " + ", ".join(changed[:4]) + (" …" if len(changed) > 4 else "")


def repeat_table(
    title: str, report: dict[str, Any], sources: list[str], audited: dict[str, float] | None = None
) -> Table:
    """Per cell: what happened and why, tasks served and run, seconds now against seconds recorded.

    ``audited`` are the seconds of the first run by cell id: an edited cell has no record, but was there.
    """
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    table.add_column("cell", justify="right")
    table.add_column("source", no_wrap=True)
    table.add_column("what", no_wrap=True)
    table.add_column("why")
    table.add_column("served", justify="right")
    table.add_column("run", justify="right")
    table.add_column("now", justify="right", no_wrap=True)
    table.add_column("recorded", justify="right", no_wrap=True)
    for cell in report["cells"]:
        index = cell["index"]
        headline = first_line(_without_magics(sources[index]), 34) if 0 <= index < len(sources) else ""
        served, ran = _tasks(cell)
        recorded = cell.get("recorded_seconds")
        if recorded is None:
            recorded = (audited or {}).get(cell["cell_id"])
        table.add_row(
            str(index),
            Text(headline, overflow="ellipsis"),
            Text(cell["action"], style=STYLES.get(cell["action"], "")),
            Text(_why(cell)),
            served,
            ran,
            duration(cell.get("seconds")),
            duration(recorded),
        )
    return table


def audit_line(report: dict[str, Any], seconds: float) -> Text:
    """One line for the first run: there is nothing to compare yet."""
    ran = sum((cell.get("tasks") or {}).get("run", 0) for cell in report["cells"])
    totals = report["totals"]
    text = Text("1  nbrewind audit\n", style="bold")
    text.append(
        f"   {totals['executed']} cells executed and recorded, {ran} tasks run on the cluster, "
        f"{duration(seconds)} in all\n",
        style="not bold",
    )
    return text


def edit_text(before: str, after: str) -> Text:
    """The edit between the repeats."""
    text = Text("\nNow the parameter cell is edited:  ")
    text.append(before, style="red strike")
    text.append("  ->  ")
    text.append(after, style="green")
    text.append("\n")
    return text


def summary(runs: list[tuple[str, float, dict[str, Any]]]) -> Table:
    """The three runs side by side; seconds are wall time of the whole process, its start included."""
    table = Table(title="The three runs", title_justify="left", title_style="bold", header_style="bold")
    for heading in ("run", "restored", "executed", "tasks served", "tasks run", "process"):
        table.add_column(heading, justify="left" if heading == "run" else "right", no_wrap=True)
    for title, seconds, report in runs:
        counts = [cell.get("tasks") or {} for cell in report["cells"]]
        totals = report["totals"]
        table.add_row(
            title,
            str(totals["restored"]),
            str(totals["executed"] + totals["recomputed"]),
            str(sum(count.get("served", 0) for count in counts)),
            str(sum(count.get("run", 0) for count in counts)),
            duration(seconds),
        )
    return table
