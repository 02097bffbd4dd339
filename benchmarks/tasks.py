"""What the task log costs: identity, look-up, overhead over the bare engine, a log of a million entries.

``python -m benchmarks.tasks [part ...]`` prints one table per part.  Ratios are of runs that
alternate in one process, by CPU time of the manager where the machine may be busy.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from nbrewind.model import TaskEntry
from nbrewind.store import Store
from nbrewind.tasks import TaskContext
from nbrewind.tasks.submission import begin
from nbrewind.testing.notebook import Notebook
from nbrewind.testing.taskstore import MemoryTaskStore

K = 10


def helper(x: int) -> int:
    return x + K


def work(x: int, scale: int = 2) -> int:
    return helper(x) * scale


def timed(call: Callable[[], Any]) -> tuple[float, float]:
    """Seconds on the wall and of this process's CPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def row(*cells: object) -> None:
    print("  ".join(f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in cells))


def identity() -> None:
    """CPU time of an identity, and of identity and look-up of a hit, by kind of argument."""
    import numpy as np

    arguments: dict[str, Any] = {
        "an integer": 7,
        "a text of 1 KB": "x" * 1000,
        "a list of 100 integers": list(range(100)),
        "a dict of 1000": {str(i): i for i in range(1000)},
        "an array of 1 MB": np.zeros(1 << 17),
        "an array of 100 MB": np.zeros(100 << 17),
    }
    print("\nidentity: microseconds of CPU per task (identity alone; with the look-up of a hit)")
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder) / "store")
        context = TaskContext(store, folder)
        for name, value in arguments.items():
            count = 5 if "100 MB" in name else 2000 if "integer" in name or "text" in name else 100
            context.begin_cell()
            key = context.identify(work, (value,))
            result = store.put(b"P" + b"N.")
            store.add_task(TaskEntry(key, "work", result))
            store.flush()
            _, alone = timed(
                lambda value=value, count=count: [context.identify(work, (value,)) for _ in range(count)]
            )

            def both(value: Any = value, count: int = count) -> None:
                for _ in range(count):
                    context.cell.occurrences.clear()
                    begin(context, work, (value,), engine="bench")

            _, served = timed(both)
            row(f"{name:24}", 1e6 * alone / count, 1e6 * served / count, f"served {context.counts.served}")
        store.close()


def overhead() -> None:
    """Empty tasks through each engine, bare and logged, alternating."""
    engines: dict[str, tuple[str, str, str, str]] = {
        "threads": (
            "futures:FuturesAdapter",
            "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(2)",
            "r = list(pool.map(f, XS))",
            "pool.shutdown()",
        ),
        "processes": (
            "futures:FuturesAdapter",
            "from concurrent.futures import ProcessPoolExecutor",
            "with ProcessPoolExecutor(2) as pool:\n    r = list(pool.map(f, XS))",
            "",
        ),
        "dask": (
            "dask:DaskAdapter",
            "from dask.distributed import Client\n"
            "client = Client(n_workers=2, threads_per_worker=1, dashboard_address=None)",
            "r = client.gather(client.map(f, XS, pure=False))",
            "client.close()",
        ),
        "joblib": (
            "joblib:JoblibAdapter",
            "from joblib import Parallel, delayed",
            "r = Parallel(n_jobs=2)(delayed(f)(x) for x in XS)",
            "",
        ),
    }
    count, rounds = 2000, 3
    print(f"\noverhead: {count} empty tasks, median of {rounds} alternating rounds, us per task")
    row("engine    ", "bare wall", "logged wall", "served wall", "bare CPU", "logged CPU", "served CPU")
    for name, (where, start, run, stop) in engines.items():
        module, _, cls = where.partition(":")
        adapter = getattr(__import__(f"nbrewind.engines.{module}", fromlist=[cls]), cls)()
        exec(start.split("\n")[0], {})
        with tempfile.TemporaryDirectory() as folder:
            store = Store.open(Path(folder) / "store")
            notebook = Notebook(Path(folder), store, adapter)
            notebook.run(start + "\ndef f(x):\n    return x")
            found: dict[str, list[tuple[float, float]]] = {"bare": [], "logged": [], "served": []}
            for number in range(rounds):
                notebook.space["XS"] = range(number * count, (number + 1) * count)
                for kind in found:
                    found[kind].append(timed(partial(_cell, notebook, run, bare=kind == "bare")))
            notebook.run(stop)
            store.close()
        medians = [
            [1e6 * statistics.median(p[i] for p in pairs) / count for pairs in found.values()] for i in (0, 1)
        ]
        row(f"{name:10}", *medians[0], *medians[1])


def _cell(notebook: Notebook, source: str, *, bare: bool) -> None:
    if not bare:
        notebook.run(source)
        return
    notebook.adapter.uninstall()
    before, sys.modules["__main__"] = sys.modules["__main__"], notebook.module
    try:
        exec(source, notebook.space)
    finally:
        sys.modules["__main__"] = before


def changed() -> None:
    """A thousand tasks of 20 ms of which three changed: hit rate and time."""
    from nbrewind.engines.futures import FuturesAdapter

    with tempfile.TemporaryDirectory() as folder:
        notebook = Notebook(Path(folder), MemoryTaskStore(), FuturesAdapter())
        notebook.run(
            "from concurrent.futures import ThreadPoolExecutor\nimport time\npool = ThreadPoolExecutor(8)\n"
            "def f(x):\n    time.sleep(0.02)\n    return x\nXS = list(range(1000))"
        )
        first, _ = timed(lambda: notebook.run("r = list(pool.map(f, XS))"))
        second, _ = timed(lambda: notebook.run("r = list(pool.map(f, XS))"))
        served = notebook.last.served
        third, _ = timed(
            lambda: notebook.run("XS[1], XS[50], XS[999] = -1, -2, -3\nr = list(pool.map(f, XS))")
        )
        print("\n1000 tasks of 20 ms on 8 threads: seconds for all; unchanged; three changed")
        row(first, second, f"(served {served})", third, f"(run {notebook.last.run})")


def scale() -> None:
    """A log of a million entries: open, look up, append, size."""
    entries = 1_000_000
    folder = Path(tempfile.mkdtemp())
    try:
        store = Store.open(folder / "store")
        store.close()
        _fill(folder / "store", entries)
        opened, _ = timed(lambda: Store.open(folder / "store").tasks("0" * 32))
        store = Store.open(folder / "store")
        keys = [f"{number * 7919 % entries:032x}" for number in range(2000)]
        looked, cpu = timed(lambda: [store.tasks(key) for key in keys])
        context = TaskContext(store, folder)
        context.begin_cell()
        appended, _ = timed(lambda: _append(context, 2000))
        size = sum(path.stat().st_size for path in (folder / "store").rglob("*") if path.is_file())
        print(f"\nlog of {entries} entries: open s; look-up us (wall, CPU); append us; MB")
        row(opened, 1e6 * looked / len(keys), 1e6 * cpu / len(keys), 1e6 * appended / 2000, size / 1e6)
        store.close()
    finally:
        shutil.rmtree(folder)


def _append(context: TaskContext, count: int) -> None:
    for number in range(count):
        task = begin(context, work, (number,), engine="bench")
        task.finished(task.call(number))
    context.store.flush()  # type: ignore[attr-defined]


def _fill(store: Path, entries: int) -> None:
    """Rows as the writer makes them, a hundred thousand at once."""
    import sqlite3

    from nbrewind.store.catalog import add_functions
    from nbrewind.store.ledger import encode

    connection = sqlite3.connect(store / "catalog.sqlite")
    add_functions(connection)
    body = TaskEntry("", "work", "0" * 32, seconds=1.0, created=time.time(), engine="bench", worker="host:1")
    for begin_at in range(0, entries, 100_000):
        rows = []
        for number in range(begin_at, begin_at + 100_000):
            key = f"{number:032x}"
            rows.append((key, encode(TaskEntry(key, body.name, body.result, seconds=1.0, engine="bench"))))
        with connection:
            connection.executemany("insert into tasks (key, body, seal) values (?1, ?2, seal(?2))", rows)
    connection.close()


PARTS = {"identity": identity, "overhead": overhead, "changed": changed, "scale": scale}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
