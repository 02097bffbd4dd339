"""Entries of the task log for people and programs."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nbrewind.model import TaskEntry
from nbrewind.report.words import duration, moment, size

SHORT = 12
"""Characters of a key that are shown."""


def summary(entry: TaskEntry) -> dict[str, Any]:
    """One entry in a list."""
    return {
        "key": entry.key,
        "name": entry.name,
        "engine": entry.engine,
        "completed": entry.created,
        "seconds": entry.seconds,
        "memory": entry.memory,
        "worker": entry.worker,
        "occurrence": entry.occurrence,
        "error": entry.error,
    }


def made_of(entry: TaskEntry) -> dict[str, Any]:
    """What makes an entry a hit, and what it brings."""
    return {
        "parts": dict(sorted(entry.parts.items())),
        "reads": {path: f"{state.kind} {state.digest}" for path, state in sorted(entry.files.items())},
        "variables": dict(sorted(entry.variables.items())),
        "packages": dict(sorted(entry.packages.items())),
        "outputs": {path: f"{state.kind} {state.digest}" for path, state in sorted(entry.outputs.items())},
        "result": entry.result_digest,
        "stdout": entry.stdout,
    }


def differences(one: TaskEntry, other: TaskEntry) -> list[dict[str, Any]]:
    """Where two entries differ: what is in one and not, or not so, in the other."""
    found = []
    mine, theirs = made_of(one), made_of(other)
    for group in ("parts", "reads", "variables", "packages", "outputs"):
        for name in sorted({*mine[group], *theirs[group]}):
            before, after = mine[group].get(name), theirs[group].get(name)
            if before != after:
                found.append({"where": group, "what": name, "one": before, "other": after})
    if mine["result"] != theirs["result"]:
        found.append({"where": "result", "what": "result", "one": mine["result"], "other": theirs["result"]})
    return found


def shown(content: dict[str, Any]) -> RenderableType:
    """The content of the JSON object as text."""
    if "tasks" in content:
        return _list(content["tasks"]) if content["tasks"] else "No tasks."
    if "differences" in content:
        return _differences(content["differences"])
    return _one(content["task"])


def _list(tasks: list[dict[str, Any]]) -> Table:
    table = _table("key", "task", "engine", "completed", "took", "memory", "worker", "outcome")
    for task in tasks:
        table.add_row(
            task["key"][:SHORT],
            Text(task["name"]),
            task["engine"],
            moment(task["completed"]),
            duration(task["seconds"]),
            size(task["memory"]),
            task["worker"],
            Text(task["error"][:60] or "ok"),
        )
    return table


def _differences(found: list[dict[str, Any]]) -> RenderableType:
    if not found:
        return "Nothing differs in what the log knows of the two."
    table = _table("what", "one", "other")
    for item in found:
        where = "" if item["where"] in ("parts", "result") else f" ({item['where']})"
        table.add_row(Text(item["what"] + where), Text(item["one"] or "-"), Text(item["other"] or "-"))
    return table


def _one(task: dict[str, Any]) -> RenderableType:
    head = (
        f"{task['key']}  {task['name']} ({task['engine']}), {duration(task['seconds'])} on {task['worker']}"
    )
    table = _table("made of", "content")
    for group, label in (
        ("parts", ""),
        ("reads", "file "),
        ("variables", "variable "),
        ("packages", "package "),
        ("outputs", "writes "),
    ):
        for name, value in task[group].items():
            table.add_row(Text(label + name), Text(value))
    return Group(Text(head), table)


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, overflow="fold")
    return table
