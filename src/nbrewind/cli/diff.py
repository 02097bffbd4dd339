"""``nbrewind diff``: what differs between two runs."""

from __future__ import annotations

from typing import Annotated

import typer

from nbrewind.cli.common import (
    DebugOption,
    JsonOption,
    StoreOption,
    open_existing,
    print_json,
    store_path,
    verb,
)
from nbrewind.cli.history import commits_with_records, find_run
from nbrewind.errors import OK

_EXAMPLE = """\b
Examples:
  nbrewind diff                     the last run against the one before
  nbrewind diff 3f2a91 last
"""


def diff(
    first: Annotated[
        str, typer.Argument(metavar="[A]", help="A run: start of its id, last or last~N.")
    ] = "last~1",
    second: Annotated[str, typer.Argument(metavar="[B]", help="The other run.")] = "last",
    store: StoreOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Compare two runs cell by cell: source, inputs, results, files and outputs."""
    from nbrewind.report.diff import compare_runs, diff_object, diff_table

    opened = open_existing(store_path(None, store))
    try:
        runs = opened.runs()
        one, other = find_run(runs, first), find_run(runs, second)
        changes = compare_runs(commits_with_records(opened, one), commits_with_records(opened, other))
    finally:
        opened.close()
    if as_json:
        print_json(diff_object(one, other, changes))
        return OK
    from nbrewind.report.text import output_console

    console = output_console()
    console.print(f"{one.id[:12]} against {other.id[:12]}")
    console.print(diff_table(changes))
    return OK


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("diff", epilog=_EXAMPLE)(verb(diff))
