"""``nbrewind show``: one run, cell by cell, or one commit in full."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from nbrewind.cli.history import commits_with_records, find_run
from nbrewind.errors import OK, UsageError
from nbrewind.model import Commit, Record, Run

if TYPE_CHECKING:
    from nbrewind.store import Store

_EXAMPLE = """\b
Examples:
  nbrewind show                 the last run
  nbrewind show last~1          the run before it
  nbrewind show 3f2a91          a run or a commit by the start of its id
  nbrewind show paper.zip       the last run in a package
"""


def show(
    what: Annotated[
        str,
        typer.Argument(
            metavar="[ID|PACKAGE]", help="Start of a run's or commit's id, last, or last~N; or a package."
        ),
    ] = "last",
    store: StoreOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Show the cells of a run, or everything about one commit."""
    if store is None and is_package(Path(what)):
        store, what = Path(what), "last"
    opened = open_existing(store_path(None, store))
    try:
        run, pairs, single = _find(opened, what)
    finally:
        opened.close()
    from nbrewind.report.jsonview import SCHEMA, commit_object, run_summary

    if as_json:
        objects = [commit_object(commit, record) for commit, record in pairs]
        key = {"commit": objects[0]} if single else {"commits": objects}
        print_json({"schema": SCHEMA, "run": run_summary(run), **key})
        return OK
    from nbrewind.report.text import commit_table, commits_table, output_console
    from nbrewind.report.words import moment

    console = output_console()
    console.print(
        f"run {run.id}  {run.mode}  {run.status}  {moment(run.started)}  {run.notebook or '-'}", markup=False
    )
    console.print(commit_table(*pairs[0]) if single else commits_table(pairs))
    return OK


def _find(store: Store, what: str) -> tuple[Run, list[tuple[Commit, Record | None]], bool]:
    runs = store.runs()
    try:
        run = find_run(runs, what)
    except UsageError:
        for run in runs:
            pairs = [pair for pair in commits_with_records(store, run) if pair[0].id.startswith(what)]
            if pairs:
                return run, pairs[:1], True
        raise
    return run, commits_with_records(store, run), False


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("show", epilog=_EXAMPLE)(verb(show))
