"""Other identities of a task through our cases: Dask's keys and joblib.Memory (table in docs/engines.md).

Each case is run twice, before and after an edit, in two processes whose cells have the file
names that ipykernel gives them.  *Right*: a hit where nothing changed, a run where something did.
*Stale*: another value than the function gives.  *Needless*: a run although nothing changed.

``python -m benchmarks.task_peers`` prints the table in Markdown.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbrewind.testing import enginecases as cases


@dataclass(frozen=True)
class Case:
    """Functions and the expression ``(func, args)`` in two lives; whether the task has to run again."""

    before: tuple[str, str]
    after: tuple[str, str]
    runs: bool


def all_cases() -> dict[str, Case]:
    """The cases of the conformance class that need no engine."""
    code, work = cases.FUNCTIONS, "work, (1,)"
    found = {"nothing changed": Case((code, work), (code, work), False)}
    for name, (before, after, runs) in cases.EDITS.items():
        found[f"edit of {name}"] = Case((code, work), (code.replace(before, after), work), runs)
    lookup = "lookup, (1,)"
    found["a captured container"] = Case((code, lookup), (code + "\nTABLE['a'].append(5)", lookup), True)
    make = "def make(n):\n    def inner(x):\n        return x + n\n    return inner\n"
    found["a closure's value"] = Case((make, "make(5), (1,)"), (make, "make(6), (1,)"), True)
    found["a lambda"] = Case((code, "lambda x: x + K, (1,)"), (code, "lambda x: x - K, (1,)"), True)
    method = "Model(2).predict, (5,)"
    found["a bound method, unchanged"] = Case((code, method), (code, method), False)
    found["state of a bound method"] = Case((code, method), (code, method.replace("2", "4")), True)
    found["a class's attribute"] = Case(
        (code, method), (code.replace("factor = 3", "factor = 5"), method), True
    )
    for name, (before, after) in cases.DIFFERENT.items():
        found[f"other arguments: {name}"] = Case(
            (code, f"show, ({before},)"), (code, f"show, ({after},)"), True
        )
    for name, (before, after) in cases.SAME.items():
        found[f"same arguments: {name}"] = Case(
            (code, f"show, ({before},)"), (code, f"show, ({after},)"), False
        )
    numpy = code + "\nimport numpy as np"
    for name, (before, after, changed) in cases.ARRAYS.items():
        if changed is not None:
            found[f"arrays: {name}"] = Case(
                (numpy, f"show, ({before},)"), (numpy, f"show, ({after},)"), changed
            )
    write = "\nopen(FOLDER + '/in.txt', 'w').write({!r})"
    read = "read, (FOLDER + '/in.txt',)"
    found["an input file, changed"] = Case(
        (code + write.format("1"), read), (code + write.format("2"), read), True
    )
    found["an input file, touched"] = Case(
        (code + write.format("1"), read), (code + write.format("1"), read), False
    )
    helper = (
        "\nopen(FOLDER + '/peer_helper.py', 'w').write('def value():\\n    return {}\\n')"
        "\nsys.path.insert(0, FOLDER)\nimport peer_helper"
    )
    function = "peer_helper.value, ()"
    found["body of a local module's function"] = Case(
        (code + helper.format(1), function), (code + helper.format(2), function), True
    )
    return found


Answer = tuple[Any, bool]
"""The value that an identity gives for a call, and whether the call was run for it."""


def by_nbrewind(folder: Path) -> Callable[[Any, Any], Answer]:
    from nbrewind.store import Store
    from nbrewind.tasks import TaskContext
    from nbrewind.tasks.submission import begin

    store = Store.open(folder / "store")

    def ask(func: Any, args: Any) -> Answer:
        context = TaskContext(store, folder)
        context.begin_cell()
        task = begin(context, func, args, engine="peers")
        value = task.result if task.served else task.finished(task.call(*args))
        store.flush()
        return value, not task.served

    return ask


def by_dask(folder: Path) -> Callable[[Any, Any], Answer]:
    from dask.base import tokenize

    def ask(func: Any, args: Any) -> Answer:
        path = folder / tokenize(func, {}, *args)  # as Client.submit does
        if path.exists():
            return pickle.loads(path.read_bytes()), False
        value = func(*args)
        path.write_bytes(pickle.dumps(value))
        return value, True

    return ask


def by_memory(folder: Path) -> Callable[[Any, Any], Answer]:
    from joblib import Memory

    def ask(func: Any, args: Any) -> Answer:
        cached = Memory(folder, verbose=0).cache(func)
        known = cached.check_call_in_cache(*args)
        return cached(*args), not known

    return ask


PEERS = {"nbrewind": by_nbrewind, "Dask's keys": by_dask, "joblib.Memory": by_memory}


def life(peer: str, folder: Path, which: str) -> dict[str, str]:
    """All cases in one life: per case what the identity was."""
    found = {}
    for number, (name, case) in enumerate(all_cases().items()):
        place = folder / str(number)
        place.mkdir(exist_ok=True)
        functions, call = case.before if which == "before" else case.after
        try:
            found[name] = _outcome(PEERS[peer](place), place, functions, call, case, which)
        except Exception as error:  # noqa: BLE001 - peers fail in ways of their own; the table says so
            found[name] = f"fails ({type(error).__name__})"
    return found


def _outcome(ask: Any, place: Path, functions: str, call: str, case: Case, which: str) -> str:
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    sys.modules.pop("peer_helper", None)
    module.__dict__.update(FOLDER=str(place), mark=lambda name: None)
    for source in (*_cells(functions), f"call = ({call})"):
        name = f"/tmp/ipykernel_{os.getpid()}/{abs(hash(source)) % 10**9}.py"
        __import__("linecache").cache[name] = (len(source), None, source.splitlines(True), name)
        exec(compile(source, name, "exec"), module.__dict__)
    func, args = module.__dict__["call"]
    value, ran = ask(func, args)
    if which == "after" and repr(value) != repr(func(*args)):
        return "**stale**"
    return "needless" if which == "after" and ran and not case.runs else "right"


def _cells(functions: str) -> list[str]:
    """One definition a cell, with the lines above it: ipykernel names a cell's file by its text."""
    lines = functions.split("\n")
    starts = [n for n, line in enumerate(lines) if line.startswith(("def ", "class ", "open", "TABLE", "K "))]
    return ["\n".join(lines[a:b]) for a, b in zip([0, *starts], [*starts, len(lines)], strict=True)]


def main() -> None:
    """Run all lives and print the table."""
    answers: dict[str, dict[str, str]] = {}
    for peer in PEERS:
        with tempfile.TemporaryDirectory() as folder:
            for which in ("before", "after"):
                done = subprocess.run(
                    [sys.executable, "-m", __spec__.name, peer, folder, which],
                    env={**os.environ, "PYTHONHASHSEED": "0"},
                    capture_output=True,
                    text=True,
                    check=True,
                )
                answers[peer] = json.loads(done.stdout.splitlines()[-1])
    print("| case | " + " | ".join(PEERS) + " |\n|---|" + "---|" * len(PEERS))
    for name in all_cases():
        print(f"| {name} | " + " | ".join(answers[peer][name] for peer in PEERS) + " |")
    for verdict in ("right", "**stale**", "needless"):
        counts = (str(sum(v == verdict for v in answers[peer].values())) for peer in PEERS)
        print(f"| {verdict.strip('*')}, of {len(all_cases())} | " + " | ".join(counts) + " |")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print("\n" + json.dumps(life(sys.argv[1], Path(sys.argv[2]), sys.argv[3])))
    else:
        main()
