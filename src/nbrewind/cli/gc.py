"""``nbrewind gc``: give back the room of what nothing leads to any more."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from nbrewind.cli.common import (
    DebugOption,
    JsonOption,
    PlaceArgument,
    StoreOption,
    amount,
    bytes_of,
    open_existing,
    place_of_store,
    print_json,
    verb,
)
from nbrewind.errors import OK, UsageError

_EXAMPLE = """\b
Examples:
  nbrewind gc --dry-run                      what would go (the default)
  nbrewind gc --yes                          delete it
  nbrewind gc --older-than 30d --keep-bytes 20G --yes
  nbrewind gc --budget 20G                   what every later run keeps the store to
"""

_SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def gc(
    place: PlaceArgument = None,
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="AGE", help="Drop runs that ended so long ago: 12h, 30d, 8w."),
    ] = None,
    keep_bytes: Annotated[
        str | None,
        typer.Option("--keep-bytes", metavar="SIZE", help="Keep the newest runs that fit: 500M, 20G."),
    ] = None,
    limit: Annotated[
        str | None,
        typer.Option(
            "--budget",
            metavar="SIZE",
            help="Only remember what the store may grow to (500M, 20G, none, default): after each run the "
            "oldest runs beyond it go.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Only say what would go. The default.")
    ] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Delete what no run leads to, and old runs where --older-than or --keep-bytes say so.

    The newest run of every notebook stays, and so do pinned runs and what living kernels rely on.
    """
    if yes and dry_run:
        raise UsageError("--yes deletes and --dry-run does not: give one of them.")
    if limit is not None:
        return _remember(place_of_store(place, store), limit, as_json=as_json)
    before = time.time() - amount(older_than, _SECONDS, "--older-than") if older_than else 0.0
    budget = bytes_of(keep_bytes, "--keep-bytes")
    path = place_of_store(place, store)
    from nbrewind.report.jsonview import SCHEMA
    from nbrewind.report.progress import counting
    from nbrewind.report.words import size
    from nbrewind.store import gc as garbage
    from nbrewind.values.images import MAGIC

    limits = garbage.Limits(before, budget)
    if yes:
        with counting("deleting objects") as tell:
            found = garbage.collect(path, limits, MAGIC, tell)
    else:
        found = garbage.survey(path, limits, MAGIC)
    counts = {
        name: len(getattr(found, name))
        for name in ("runs", "commits", "records", "tasks", "objects", "leftovers")
    }
    kept = {"runs": found.kept_runs, "bytes": found.kept_bytes}
    over = budget is not None and found.kept_bytes > budget
    if as_json:
        gone = {**counts, "bytes": found.bytes}
        print_json(
            {
                "schema": SCHEMA,
                "store": str(path),
                "deleted": yes,
                "garbage": gone,
                "kept": kept,
                "over": over,
            }
        )
        return OK
    listed = ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "nothing"
    print(f"{'deleted' if yes else 'would delete'}: {listed} ({size(found.bytes)})")
    print(f"kept: {found.kept_runs} runs, {size(found.kept_bytes)}")
    if over:
        print("That is more than --keep-bytes: the newest run of every notebook stays, and pinned ones.")
    if not yes and any(counts.values()):
        print("Nothing was deleted; do it with --yes.")
    return OK


def _remember(path: Path, text: str, *, as_json: bool) -> int:
    from nbrewind.report.jsonview import SCHEMA
    from nbrewind.report.words import size
    from nbrewind.store import budget

    if text != "default":
        budget.size_of(text, "--budget")
    open_existing(path).close()  # refuses a folder that is not a store
    budget.set_limit(path, text)
    limit, held = budget.limit(path), budget.held(path)
    if as_json:
        print_json({"schema": SCHEMA, "store": str(path), "budget": limit, "bytes": held})
    else:
        print(f"budget: {'none' if limit is None else size(limit)}; the store holds {size(held)}")
    return OK


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("gc", epilog=_EXAMPLE)(verb(gc))
