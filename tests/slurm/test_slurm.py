"""Dask and Parsl whose workers are jobs of a real Slurm: what runs, what is served, jobs cancelled in mid-run."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from slurm.conftest import SlurmSite, client, partitions, running, submitted, until

pytestmark = [pytest.mark.engines, pytest.mark.real_kernel, pytest.mark.timeout(900)]

Make = Callable[[Sequence[str]], SlurmSite]
TASKS = 20
FLIGHT = 4
"""Tasks that one kill may cost: those that ran, and those whose results were on their way to the log."""
FUNCTIONS = """
def mark(name):
    with open(f"{MARKS}/{name}", "a") as counter:
        counter.write("ran\\n")

def shifted(x):
    return x + OFFSET

def load(x):
    mark("load")
    return x % 1000

def work(x):
    mark("work")
    time.sleep(PAUSE)
    return shifted(x) * 2

def total(*values):
    mark("total")
    return sum(values)
"""
APPS = """
@python_app
def load(x):
    with open(MARKS + "/load", "a") as counter:
        counter.write("ran\\n")
    return x % 1000

@python_app
def work(x, offset, pause):
    import time
    with open(MARKS + "/work", "a") as counter:
        counter.write("ran\\n")
    time.sleep(pause)
    return (x + offset) * 2

@python_app
def total(*values):
    with open(MARKS + "/total", "a") as counter:
        counter.write("ran\\n")
    return sum(values)
"""
"""Parsl sends an app without the globals of the notebook."""
DASK = [
    "import time\nfrom dask.distributed import Client\nfrom dask_jobqueue import SLURMCluster",
    "OFFSET, PAUSE, PARTS = 10, 0.01, 20",
    FUNCTIONS,
    """
cluster = SLURMCluster(cores=1, processes=1, memory="600MB", walltime="00:10:00",
                       scheduler_options={"host": "127.0.0.1", "dashboard_address": None})
cluster.scale(jobs=2)
client = Client(cluster)
""",
    "parts = client.map(work, client.map(load, range(PARTS)))\nr = client.submit(total, *parts).result()",
    "print(r)",
]
PARSL = [
    "import time\nimport parsl\nfrom parsl import python_app\nfrom parsl.config import Config\n"
    "from parsl.executors import HighThroughputExecutor\nfrom parsl.launchers import SimpleLauncher\n"
    "from parsl.providers import SlurmProvider",
    "OFFSET, PAUSE, PARTS = 10, 0.01, 20",
    APPS,
    """
provider = SlurmProvider(partition="main", cores_per_node=1, mem_per_node=1, walltime="00:10:00", exclusive=False,
                         init_blocks=2, max_blocks=2, launcher=SimpleLauncher())
htex = HighThroughputExecutor(label="slurm", address="127.0.0.1", loopback_address="127.0.0.1", cores_per_worker=1,
                              max_workers_per_node=1, provider=provider)
kernel = parsl.load(Config(executors=[htex], retries=5, initialize_logging=False))
""",
    "r = total(*[work(load(x), OFFSET, PAUSE) for x in range(PARTS)]).result()",
    "print(r)",
]
NOTEBOOKS = {"dask": DASK, "parsl": PARSL}
FIRST = {"load": TASKS, "work": TASKS, "total": 1}


def expected(offset: int = 10, parts: int = TASKS, factor: int = 2) -> str:
    return f"{sum((x + offset) * factor for x in range(parts))}\n"


@pytest.mark.parametrize("engine", NOTEBOOKS)
def test_only_what_an_edit_affects_runs(site: Make, engine: str) -> None:
    here = site(NOTEBOOKS[engine])
    assert here.executed("audit") == {f"c{n}" for n in range(6)}
    assert dict(here.counts()) == FIRST
    assert here.printed() == expected()

    jobs = submitted()
    assert here.executed("repeat") == set()
    assert dict(here.counts()) == FIRST, "a task ran although nothing changed"
    assert submitted() == jobs, "a job was submitted although nothing changed"
    assert here.printed() == expected()

    # A longer list: the tasks of its old part are served.
    here.edit("PARTS = 10, 0.01, 20", "PARTS = 10, 0.01, 23")
    assert here.executed("repeat") == {"c1", "c4", "c5"}
    assert dict(here.counts() - Counter(FIRST)) == {"load": 3, "work": 3, "total": 1}
    assert here.printed() == expected(parts=23)
    assert submitted() > jobs

    # A constant that a helper of the tasks reads.
    before = here.counts()
    here.edit("PARTS = 10, 0.01, 23", "PARTS = 20, 0.01, 23")
    assert here.executed("repeat") == {"c1", "c4", "c5"}
    assert dict(here.counts() - before) == {"work": 23, "total": 1}
    assert here.printed() == expected(20, 23)

    # A task whose result does not change wakes none of those that take it.
    before = here.counts()
    here.edit("return x % 1000", "return x % 1001")
    assert here.executed("repeat") == {"c2", "c4"}
    assert dict(here.counts() - before) == {"load": 23}

    # One function.
    before, jobs = here.counts(), submitted()
    here.edit("return sum(values)", "return sum(values) * 1")
    assert here.executed("repeat") == {"c2", "c4"}
    assert dict(here.counts() - before) == {"total": 1}
    assert submitted() > jobs


@pytest.mark.parametrize("engine", NOTEBOOKS)
def test_a_job_of_workers_is_cancelled_in_mid_run(site: Make, engine: str) -> None:
    here = site([cell.replace("PARTS = 10, 0.01, 20", "PARTS = 10, 0.2, 40") for cell in NOTEBOOKS[engine]])
    with here.started("audit") as kernel:
        until(
            lambda: (here.counts()["work"] >= 8 and len(running()) >= 2) or kernel.poll() is not None, "work"
        )
        client("scancel", running()[0])
        assert here.counts()["work"] < 40
        assert kernel.wait(200) == 0
    assert here.printed() == expected(parts=40)
    # An engine runs what was lost with the job again.
    counts = here.counts()
    assert 40 <= counts["work"] < 60

    jobs = submitted()
    assert here.executed("repeat") == set()
    assert here.printed() == expected(parts=40)
    here.edit("return sum(values)", "return sum(values) * 1")
    assert here.executed("repeat") == {"c2", "c4"}
    assert dict(here.counts() - counts) == {"total": 1}, "a task that was finished ran again"
    assert here.printed() == expected(parts=40)
    assert submitted() > jobs


def test_the_job_of_the_notebook_is_cancelled_in_mid_run(site: Make) -> None:
    """As at the end of its walltime: what its tasks had finished is served to the next job."""
    here = site(
        [
            "import time\nfrom concurrent.futures import ProcessPoolExecutor",
            "OFFSET, PAUSE, PARTS = 10, 0.2, 40",
            FUNCTIONS,
            "with ProcessPoolExecutor(2) as pool:\n    r = sum(pool.map(work, range(PARTS)))",
            "print(r)",
        ]
    )
    call = [*here.call("audit"), "-o", str(here.folder.parent / "out.ipynb")]
    job = client("sbatch", "--parsable", f"--chdir={here.folder}", "--wrap", shlex.join(call)).strip()
    until(lambda: here.counts()["work"] >= 12, "some work")
    client("scancel", job)
    until(lambda: job not in running(), "the end of the job")
    time.sleep(1)  # what was in flight ends
    done = here.counts()["work"]
    assert 12 <= done < 40

    here.executed("repeat")
    assert here.printed() == expected(parts=40)
    assert here.counts()["work"] - done <= 40 - done + FLIGHT
    assert here.executed("repeat") == set()


def test_a_rebuilt_cluster_has_this_site_s_settings(site: Make) -> None:
    """What the notebook leaves open is asked for where it is repeated, as the engine does."""
    size = "cluster.scale(jobs=2)"
    here = site([*(cell.replace(size, "") for cell in DASK[:4]), size, *DASK[4:]])
    first = submitted()
    here.executed("audit")
    assert partitions(first) == {"main"}
    second = submitted()
    here.settings(interface="lo", queue="other", name="elsewhere")
    assert here.executed("repeat") == set(), "settings of a site are no input"
    here.edit("return sum(values)", "return sum(values) * 1")
    assert here.executed("repeat") == {"c2", "c5"}
    assert here.printed() == expected()
    assert partitions(second) == {"other"}
