"""One notebook's life with values of a library: audited, read anew after a restore, and edited upstream.

What cells print is compared with a plain run, since only the library can say what its values are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from support import compare, folders
from support.notebooks import Lab, Notebook, Result


@dataclass
class Life:
    """``make`` and ``change`` are cells; ``look`` prints all that can be seen, and is edited to change something."""

    make: str
    change: str
    look: str
    other_change: str
    other_look: str
    """Changes a restored value in place and prints what its aliases show."""
    files: Mapping[str, str] = field(default_factory=dict)
    because: str = ""
    """Part of the reason why a value cannot be stored; empty where all can."""


def live(lab: Lab, life: Life) -> None:
    """Audits the notebook, and edits its last cell, then its second one, each time against a plain run."""
    notebook = Notebook([life.make, life.change, life.look], life.files)
    audited = lab.audit(notebook)
    assert [run.status for run in audited.runs] == ["ok"] * 3, [run.traceback for run in audited.runs]
    same = lab.run("repeat", notebook.edited({}), describe=False)
    assert same.skipped == {0, 1, 2}, same.reports
    assert shown(same) == shown(audited)
    read = edited(lab, notebook, {2: life.other_look})
    assert read.skipped == {0, 1}, read.reports
    refused = [warning for warning in audited.warnings if "cannot be stored" in warning]
    assert bool(refused) == bool(life.because) and life.because in " ".join(refused), refused
    changed = edited(lab, notebook, {1: life.other_change})
    assert 1 not in changed.skipped and 2 not in changed.skipped, changed.reports
    assert 0 in changed.skipped, changed.reports


def edited(lab: Lab, notebook: Notebook, edit: Mapping[int, str]) -> Result:
    """A repeat after an edit, which must print and leave behind what a plain run does."""
    cells = notebook.edited(edit)
    lab.numbers += 1
    folder = lab.home / f"plain{lab.numbers}"
    folders.lay_down(folder, notebook.files)
    plain = lab.run("plain", cells, folder=folder, describe=False)
    assert [run.status for run in plain.runs] == ["ok"] * len(cells), [run.traceback for run in plain.runs]
    result = lab.run("repeat", cells, describe=False)
    pairs = zip(shown(plain), shown(result), strict=True)
    differences = [f"cell {i}: {a} in the reference, {b} here" for i, (a, b) in enumerate(pairs) if a != b]
    differences += folders.differences(plain.files, result.files)
    assert not differences, "\n".join([*differences, *map(str, result.reports)])
    return result


def shown(result: Result) -> list[object]:
    """What the cells put out."""
    return [compare.outputs(run.messages) for run in result.runs]
