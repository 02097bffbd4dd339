"""``nbrewind tasks``: the log of distributed tasks, and what a task's identity is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nbrewind.cli.common import (
    DebugOption,
    JsonOption,
    StoreOption,
    is_package,
    open_existing,
    print_json,
    store_path,
    verb,
)
from nbrewind.errors import OK, UsageError

_EXAMPLE = """\b
Examples:
  nbrewind tasks analysis.ipynb -n 10
  nbrewind tasks --explain 3f0c9a        what the identity of this task is made of
  nbrewind tasks --explain 3f0c9a 77b1d2 what differs between two
"""


def tasks(
    keys: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NOTEBOOK|PACKAGE] | KEY [KEY2]",
            help="A notebook whose store is meant, or a package, or keys to explain.",
        ),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Explain one key, or the difference of two.")
    ] = False,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="At most so many tasks.")] = 20,
    store: StoreOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """List completed tasks, newest first, or explain their keys."""
    given = keys or []
    if explain and not 1 <= len(given) <= 2:
        raise UsageError("--explain takes one key or two; `nbrewind tasks` lists them.")
    if not explain and (len(given) > 1 or (given and not _has_store(given[0]))):
        raise UsageError(f"{given[0]!r} is no notebook. To explain a key, add --explain.")
    notebook = Path(given[0]) if given and not explain else None
    opened = open_existing(store_path(notebook, store))
    try:
        if explain:
            found = [_of(opened, key) for key in given]
        else:
            found = [entry for entry in opened.recent_tasks(10 * limit) if entry.engine != "shape"][:limit]
    finally:
        opened.close()
    from nbrewind.report import taskview
    from nbrewind.report.jsonview import SCHEMA

    content: dict[str, Any]
    if not explain:
        content = {"tasks": [taskview.summary(entry) for entry in found]}
    elif len(found) == 1:
        content = {"task": {**taskview.summary(found[0]), **taskview.made_of(found[0])}}
    else:
        content = {"differences": taskview.differences(*found)}
    if as_json:
        print_json({"schema": SCHEMA, **content})
        return OK
    from nbrewind.report.text import output_console

    output_console().print(taskview.shown(content))
    return OK


def _has_store(place: str) -> bool:
    return place.endswith(".ipynb") or is_package(Path(place))


def _of(store: Any, prefix: str) -> Any:
    """The newest entry of the one key that begins so."""
    keys = store.task_keys(prefix)
    if not keys:
        raise UsageError(
            f"The store has no task whose key begins with {prefix!r}; `nbrewind tasks` lists them."
        )
    if len(keys) > 1:
        raise UsageError(
            f"{prefix!r} begins several keys ({', '.join(k[:12] for k in keys)}): give more of it."
        )
    return store.tasks(keys[0])[-1]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("tasks", epilog=_EXAMPLE)(verb(tasks))
