"""What could not be recorded, in words: the store knows rows, people know cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from nbrewind.model import Commit, Record, State
from nbrewind.store import Store


def told(
    commits: Sequence[tuple[Commit, Record, State]], store: Store, unrecorded: Sequence[str]
) -> list[str]:
    """Cells one by one with the reason, then what else is missing; empty where all is well.

    ``unrecorded`` are cells whose recording failed before anything reached the store.
    """
    found = [f"cell {cell}" for cell in unrecorded]
    lost = store.lost
    if not lost:
        return found + store.troubles
    for commit, record, _ in commits:
        reason = lost.get(f"record {record.id}")
        if reason is not None:
            found.append(f"{_cell(commit)}: {reason}")
    tasks = Counter(reason for name, reason in lost.items() if name.startswith("task "))
    found += [f"results of {count} task(s): {reason}" for reason, count in tasks.items()]
    cut = next((c for c, r, _ in commits if f"commit {c.id}" in lost and f"record {r.id}" not in lost), None)
    if cut is not None:
        found.append(f"the history of this run from {_cell(cut)} on: {lost[f'commit {cut.id}']}")
    if not found:
        found = [f"{name if ' ' in name else 'object ' + name}: {reason}" for name, reason in lost.items()]
    return found + store.troubles


def _cell(commit: Commit) -> str:
    if commit.index < 0:
        return f"cell In[{commit.execution_count}]"
    return f"cell {commit.index}" + (f" (id:{commit.cell_id})" if commit.cell_id else "")
