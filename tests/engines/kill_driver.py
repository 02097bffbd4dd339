"""A manager that may be killed at any time: runs many tasks through an engine on a real store.

``python kill_driver.py ENGINE FOLDER TASKS PAUSE``, with the seconds that a task takes, prints ``sum served run`` when it is through.
"""

from __future__ import annotations

import sys
from pathlib import Path

from nbrewind.engines.dask import DaskAdapter
from nbrewind.engines.futures import FuturesAdapter
from nbrewind.engines.joblib import JoblibAdapter
from nbrewind.store import Store
from nbrewind.tasks.adapter import EngineAdapter
from nbrewind.testing.notebook import Notebook

STARTS: dict[str, tuple[type[EngineAdapter], str, str]] = {
    "dask": (
        DaskAdapter,
        "from dask.distributed import Client\n"
        'client = Client(n_workers=2, threads_per_worker=1, dashboard_address=":0")',
        "r = client.gather(client.map(slow, range({})))\nclient.close()",
    ),
    "processes": (
        FuturesAdapter,
        "from concurrent.futures import ProcessPoolExecutor",
        "with ProcessPoolExecutor(2) as pool:\n    r = list(pool.map(slow, range({})))",
    ),
    "joblib": (
        JoblibAdapter,
        "from joblib import Parallel, delayed",
        "r = Parallel(n_jobs=2)(delayed(slow)(i) for i in range({}))",
    ),
}
SLOW = """
def slow(i):
    time.sleep(PAUSE)
    mark("slow")
    return i * i
"""


def main(engine: str, folder: Path, tasks: int, pause: float) -> None:
    kind, start, work = STARTS[engine]
    store = Store.open(folder / "store")
    notebook = Notebook(folder, store, kind())
    notebook.run(start)
    notebook.run(SLOW.replace("PAUSE", str(pause)))
    notebook.run(work.format(tasks))
    store.flush()
    print(sum(notebook.space["r"]), notebook.last.served, notebook.last.run, flush=True)
    store.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
