"""Finding runs and commits by what a person types: the start of an id, or nothing for the last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nbrewind.errors import UsageError
from nbrewind.model import Commit, Record, Run
from nbrewind.report.book import record_of

if TYPE_CHECKING:
    from nbrewind.store import Store


def find_run(runs: Sequence[Run], text: str) -> Run:
    """The one run whose id starts with ``text``; ``last`` and ``last~N`` count back from the newest.

    Raises:
        UsageError: none or several.
    """
    if not runs:
        raise UsageError("The store holds no run yet. `nbrewind audit NOTEBOOK` makes the first.")
    name, _, back = text.partition("~")
    if name == "last" and (not back or back.isdigit()):
        steps = int(back or 0)
        if steps >= len(runs):
            raise UsageError(f"The store holds {len(runs)} run(s), so there is no {text!r}.")
        return runs[steps]
    found = [run for run in runs if run.id.startswith(text)]
    if len(found) != 1:
        many = "several runs start" if found else "no run starts"
        raise UsageError(f"{text!r} is not clear: {many} so. `nbrewind log` lists the runs.")
    return found[0]


def commits_with_records(store: Store, run: Run) -> list[tuple[Commit, Record | None]]:
    """The commits of ``run`` in order, each with its record where the store still has it."""
    return [(commit, record_of(store, commit)) for commit in store.commits(run.id)]
