"""``nbrewind log``: the runs that a store holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nbrewind.cli.common import (
    DebugOption,
    JsonOption,
    StoreOption,
    full_path,
    is_package,
    open_existing,
    print_json,
    store_path,
    verb,
)
from nbrewind.errors import OK

_EXAMPLE = """\b
Examples:
  nbrewind log
  nbrewind log analysis.ipynb -n 5
  nbrewind log paper.zip
"""


def log(
    notebook: Annotated[
        Path | None, typer.Argument(metavar="[NOTEBOOK|PACKAGE]", help="Only runs of this notebook.")
    ] = None,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="At most so many runs.")] = 20,
    store: StoreOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """List runs, newest first."""
    from nbrewind.store import budget

    opened = open_existing(store_path(notebook, store))
    try:
        one = notebook is not None and not is_package(notebook)
        runs = opened.runs(str(full_path(notebook)) if notebook is not None and one else None)[:limit]
        counts = {run.id: len(opened.commits(run.id)) for run in runs}
        pinned = budget.pinned(opened.path)
    finally:
        opened.close()
    from nbrewind.report.jsonview import SCHEMA, run_summary

    if as_json:
        print_json(
            {
                "schema": SCHEMA,
                "runs": [
                    {**run_summary(run), "cells": counts[run.id], "pinned": run.id in pinned} for run in runs
                ],
            }
        )
        return OK
    from nbrewind.report.text import output_console, runs_table

    output_console().print(runs_table(runs, counts, pinned) if runs else "No runs.")
    return OK


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("log", epilog=_EXAMPLE)(verb(log))
