"""SIGKILL in the middle of a cell that maps 200 tasks: what was finished is not lost."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from jupyter_client.manager import KernelManager
from nbformat.v4 import new_code_cell, new_notebook

from examples.support import Site
from nbrewind.store import Store

pytestmark = [pytest.mark.real_kernel, pytest.mark.slow]

TASKS = 200
CELLS = [
    "import time\nfrom dask.distributed import Client",
    "numbers = list(range(200))",
    "def slow(n):\n"
    "    with open(MARK, 'a') as log:\n"
    "        log.write(f'{n}\\n')\n"
    "    time.sleep(0.05)\n"
    "    return n * n",
    "client = Client(n_workers=2, threads_per_worker=1, host='127.0.0.1', dashboard_address=None)",
    "squares = client.gather(client.map(slow, numbers))",
    "print(len(squares), sum(squares))",
]
MAPPING = 4


def until(condition: Callable[[], bool], what: str, limit: float = 60.0) -> None:
    """Poll; fails after ``limit`` seconds, saying what did not happen."""
    ends = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < ends, f"{what} did not happen within {limit} s"
        time.sleep(0.02)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path / "work", tmp_path / "work" / "kill.ipynb", tmp_path / "marks", tmp_path / "cluster")
    made.folder.mkdir()
    made.marks.mkdir()
    (tmp_path / "preload.py").write_text("def dask_setup(node):\n    pass\n")
    mark = repr(str(made.marks / "slow"))
    cells = [new_code_cell(source.replace("MARK", mark), id=f"c{n}") for n, source in enumerate(CELLS)]
    made.notebook.write_text(json.dumps(new_notebook(cells=cells)), encoding="utf-8")
    return made


def test_killed_kernel_loses_only_the_tasks_in_flight(site: Site) -> None:
    sources = [cell["source"] for cell in json.loads(site.notebook.read_text())["cells"]]
    manager = KernelManager(kernel_name="nbrewind-audit")
    manager.start_kernel(cwd=str(site.folder), env=site.environment())
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        commits = []
        for source in sources[:MAPPING]:
            reply = client.execute(source, reply=True, timeout=60)
            assert reply["content"]["status"] == "ok", reply["content"]
            commits.append(reply["metadata"]["nbrewind"]["commit"])
        store = Store.open(site.folder / ".nbrewind", readonly=True)
        try:
            until(lambda: all(store.is_durable(commit) for commit in commits), "durability of the cells")
        finally:
            store.close()
        client.execute(sources[MAPPING])
        until(lambda: site.counts()["slow"] >= 80, "80 tasks")
        os.kill(manager.provisioner.pid, signal.SIGKILL)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    started = _count_at_rest(site)
    assert 80 <= started < TASKS

    report = site.command("repeat")
    cells = report["cells"]
    assert [cell["action"] for cell in cells[:MAPPING]] == ["restored"] * MAPPING
    assert cells[MAPPING]["action"] == "executed"
    tasks = cells[MAPPING]["tasks"]
    ran = site.counts()["slow"] - started
    assert tasks["served"] + ran == TASKS, "each task was served or ran once"
    assert tasks["run"] == ran
    assert started - 20 <= tasks["served"] <= started, "what had finished is served"
    shown = json.loads(site.notebook.read_text())["cells"][5]["outputs"][0]["text"]
    assert "".join(shown) == f"{TASKS} {sum(n * n for n in range(TASKS))}\n"


def _count_at_rest(site: Site) -> int:
    """Executions once the orphaned workers have noticed that their parent is gone."""
    last, since = site.counts()["slow"], time.monotonic()
    while time.monotonic() - since < 2.0:
        time.sleep(0.05)
        now = site.counts()["slow"]
        if now != last:
            last, since = now, time.monotonic()
    return last
