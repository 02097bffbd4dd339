"""``nbrewind check``: whether a store is whole, and dropping what is not."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from nbrewind.cli.common import (
    DebugOption,
    JsonOption,
    PlaceArgument,
    StoreOption,
    place_of_store,
    print_json,
    verb,
)
from nbrewind.errors import OK, STORE

_EXAMPLE = """\b
Examples:
  nbrewind check
  nbrewind check analysis.ipynb --json
  nbrewind check results/.nbrewind --repair
"""


def check(
    place: PlaceArgument = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Drop what is broken, and only that; needs the store for itself.")
    ] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Check all digests of a store, and its catalog against its objects.

    Names whatever is broken and then ends with exit code 4. With --repair that is dropped: cells
    whose record lost a part run once at the next repeat, everything else is restored as before.
    """
    path: Path = place_of_store(place, store)
    from nbrewind.report.jsonview import SCHEMA
    from nbrewind.report.progress import counting
    from nbrewind.report.words import size
    from nbrewind.store import check as checking
    from nbrewind.store.filesystem import caution
    from nbrewind.values.images import references

    with counting("checking objects") as tell:
        work = checking.repair if repair else checking.examine
        found = work(path, references, tell)
    broken = found.problems
    if as_json:
        figures = {"objects": found.objects, "bytes": found.bytes, "rows": found.rows}
        problems = [asdict(problem) for problem in broken]
        print_json(
            {"schema": SCHEMA, "store": str(path), **figures, "problems": problems, "repaired": repair}
        )
    else:
        for problem in broken:
            print(f"{problem.kind} {problem.name}: {problem.reason}")
        whole = f"{found.objects} objects ({size(found.bytes)}), {found.rows} rows"
        verdict = "sound" if not broken else f"{len(broken)} {'dropped' if repair else 'broken'}"
        print(f"{path}: {verdict}; {whole} checked")
        if said := caution(path):
            print(said)
    return OK if repair or not broken else STORE


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("check", epilog=_EXAMPLE)(verb(check))
