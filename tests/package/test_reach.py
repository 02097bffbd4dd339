"""What goes into a package: the log of the tasks, under all of its keys."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from nbrewind.model import TaskEntry
from nbrewind.package.pack import Request, pack
from nbrewind.store import Store
from nbrewind.values.images import MAGIC
from package.conftest import Command, make_package


def test_a_task_travels_under_all_of_its_keys(nbrewind: Command, folder: Path) -> None:
    # A record has the key of the submission.  Where a result above it is new, the task is looked for by
    # the results above it, and only if a row of its shape says that this may help.
    make_package(folder / "first")
    notebook = next(folder.glob(".first-*")) / "x.ipynb"
    store = Store.open(notebook.parent / ".nbrewind")
    (task,) = store.tasks("e" * 32)
    store.add_task(replace(task, key="1" * 32))
    store.add_task(TaskEntry("2" * 32, task.name, "", created=3.0, engine="shape"))
    store.add_task(TaskEntry("3" * 32, "another", store.put(b"Pof another notebook")))
    store.add_task(TaskEntry("4" * 32, "another", "", created=3.0, engine="shape"))
    store.flush()
    packed = pack(store, Request(notebook, folder / "paper", name="paper"), MAGIC)
    store.close()
    assert packed.tasks == 1 and not (folder / "paper/compute/shape.yml").exists()
    verified = nbrewind("verify", "paper")
    assert verified.code == 0 and ", 1 tasks," in verified.out
    assert nbrewind("unpack", "paper", "--trust", "-o", "site").code == 0
    there = Store.open(folder / "site/.nbrewind", create=False)
    assert {entry.key[0] for entry in there.task_log()} == set("e12")
    there.close()
