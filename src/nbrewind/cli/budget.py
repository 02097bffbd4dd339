"""What happens after a run to a store that has grown beyond its budget."""

from __future__ import annotations

import os
from pathlib import Path

from nbrewind.cli.common import complain
from nbrewind.errors import NBRewindError


def check_budget() -> None:
    """Refuse a budget that is none before anything runs.

    Raises:
        UsageError: ``NBREWIND_BUDGET`` holds no size.
    """
    from nbrewind.store import budget

    if told := os.environ.get(budget.VARIABLE, ""):
        budget.size_of(told, budget.VARIABLE)


def keep_within_budget(place: Path) -> None:
    """Delete the oldest runs of a store that is over its budget, and tell what is kept.

    The run that just ended is unharmed by whatever goes wrong here: that is told, no more.
    """
    from nbrewind.report.words import size
    from nbrewind.store import budget
    from nbrewind.store.catalog import identity

    if identity(place) is None or not os.access(place, os.W_OK):
        return
    try:
        limit, held = budget.limit(place), budget.held(place)
        if limit is None or held <= limit:
            return
        line = f"The store holds {size(held)}, more than its budget of {size(limit)}."
        try:
            complain(f"{line} {_deleted(place, int(limit * budget.ROOM))}")
        except NBRewindError as error:
            complain(f"{line} No old run was deleted: {error}")
    except (NBRewindError, OSError) as error:
        complain(f"Whether the store is over its budget could not be found out: {error}")


def _deleted(place: Path, most: int) -> str:
    from nbrewind.report.progress import counting
    from nbrewind.report.words import size
    from nbrewind.store import gc
    from nbrewind.values.images import MAGIC

    with counting("deleting old runs") as tell:
        found = gc.collect(place, gc.Limits(keep_bytes=most), MAGIC, tell)
    gone = (
        f"{len(found.runs)} old runs were deleted ({size(found.bytes)})"
        if found.runs
        else "No old run can go"
    )
    return (
        f"{gone}; kept: {found.kept_runs} runs, {size(found.kept_bytes)}, among them the newest of every "
        "notebook and pinned ones. `nbrewind gc --budget SIZE` gives it another budget, `nbrewind pin` keeps "
        "a run."
    )
