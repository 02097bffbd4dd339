"""How results of Dask's tasks reach the log: in batches where they can, one by one where they must."""

from __future__ import annotations

import asyncio
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from distributed import Client

from nbrewind.engines.dask import following, job
from nbrewind.engines.dask.following import Following
from nbrewind.engines.dask.graph import Item
from nbrewind.testing.notebook import Notebook

Make = Callable[[], Notebook]


def run(notebook: Notebook, cluster: str, functions: str, source: str, **options: Any) -> Any:
    notebook.run(f"from dask.distributed import Client, wait\nclient = Client({cluster!r})")
    notebook.run(textwrap.dedent(functions))
    notebook.run(textwrap.dedent(source), **options)
    return notebook.space.get("r")


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many results were asked for, by the notebook or for the log."""
    counts: list[int] = []
    original: Any = Client._gather

    async def gather(client: Any, futures: Any, *args: Any) -> Any:
        counts.append(len(futures))
        return await original(client, futures, *args)

    monkeypatch.setattr(Client, "_gather", gather)  # before the adapter takes hold of it
    return counts


@pytest.mark.parametrize(("size", "asked"), [(10, 0), (100_000, 3)])
def test_small_results_come_with_the_reports(
    fetched: list[int], notebooks: Make, cluster: str, size: int, asked: int
) -> None:
    functions = f"def make(x):\n    mark('make')\n    return str(x) * {size}"
    source = "fs = client.map(make, range(3))\nd = len(wait(fs).done)"
    run(notebooks(), cluster, functions, source)
    assert sum(fetched) == asked
    second = notebooks()
    value = run(second, cluster, functions, source + "\nr = client.gather(fs)")
    assert value == [str(x) * size for x in range(3)]
    assert not second.executed()


def test_inputs_and_results_in_one_batch(notebooks: Make, cluster: str) -> None:
    functions = """
    def one(x):
        mark("one")
        return x + 1
    def two(x):
        mark("two")
        return 2 * x
    """
    source = "r = client.gather(client.map(two, client.map(one, range(50))))"
    value = run(notebooks(), cluster, functions, source)
    second = notebooks()
    assert run(second, cluster, functions, source) == value == [2 * (x + 1) for x in range(50)]
    assert not second.executed()
    third = notebooks()
    run(third, cluster, functions.replace("x + 1", "1 + x"), source)
    assert third.executed() == {"one": 50}, "the keys of the second tasks rest on results that the log has"


def test_the_trace_is_that_of_the_try_that_succeeded(notebooks: Make, cluster: str, tmp_path: Path) -> None:
    functions = """
    def read(folder):
        first = not os.path.exists(os.path.join(folder, "tried"))
        if first:
            open(os.path.join(folder, "tried"), "a").close()
            open(os.path.join(folder, "wrong.txt")).read()
            raise OSError("not yet")
        mark("read")
        return open(os.path.join(folder, "right.txt")).read()
    """
    (tmp_path / "wrong.txt").write_text("wrong")
    (tmp_path / "right.txt").write_text("right")
    source = f"r = client.submit(read, {str(tmp_path)!r}, retries=2).result()"
    assert run(notebooks(), cluster, functions, source) == "right"
    (tmp_path / "wrong.txt").write_text("changed")
    second = notebooks()
    assert run(second, cluster, functions, source) == "right"
    assert not second.executed()
    (tmp_path / "right.txt").write_text("changed")
    third = notebooks()
    assert run(third, cluster, functions, source) == "changed"
    assert third.executed() == {"read": 1}


def test_a_task_that_was_never_called_sends_no_report(
    notebooks: Make, cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_REPORT_WAIT", 1000.0)
    functions = "def fail(x):\n    raise ValueError(x)\ndef after(x):\n    return x"
    source = "f = client.submit(after, client.submit(fail, 1))\nr = type(f.exception()).__name__"
    first = notebooks()
    assert run(first, cluster, functions, source) == "ValueError"
    assert first.last.failed == 1, "the second one has no key: its input has no result"
    found = following_of(first)
    until = time.monotonic() + 60
    while found._followed and time.monotonic() < until:
        time.sleep(0.01)
    assert not found._followed, "nobody waits for reports that cannot come"


def test_results_of_futures_that_were_let_go_at_once(notebooks: Make, cluster: str) -> None:
    functions = "def make(x, n):\n    mark('make')\n    return str(x) * n"
    source = "r = [len(client.submit(make, x, n).result()) for n in (1, 100_000) for x in range(8)]"
    value = run(notebooks(), cluster, functions, source)
    second = notebooks()
    assert run(second, cluster, functions, source) == value
    assert not second.executed()


def test_futures_that_were_let_go_before_the_end_are_not_followed(notebooks: Make, cluster: str) -> None:
    functions = "def wait_for(x):\n    time.sleep(1)\n    return x"
    source = "fs = client.map(wait_for, range(20))\nn = len(fs)\ndel fs"
    first = notebooks()
    run(first, cluster, functions, source)
    found = following_of(first)
    until = time.monotonic() + 60
    while (found._expected or found._followed) and time.monotonic() < until:
        time.sleep(0.01)  # on the client's loop
    assert (found._expected, found._followed) == ({}, {})


def following_of(notebook: Notebook) -> Following:
    found: Following = notebook.space["client"].__dict__["_nbrewind_runtime"].following
    return found


class States:
    """The part of a client that tells how tasks ended."""

    def __init__(self) -> None:
        self.futures: dict[str, Any] = {}


def report(ident: str, value: bytes) -> dict[str, Any]:
    return {"ident": ident, "failed": False, "value": value}


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What reached the log."""
    found: list[Any] = []

    def write_all(context: Any, finished: Any, reports: Any) -> None:
        found.extend((item.key, value) for item, value, _, _ in finished)

    monkeypatch.setattr(following.record, "write_all", write_all)
    monkeypatch.setattr(following, "Future", lambda key, client: None)
    return found


def followed(client: States | None) -> tuple[Following, Item]:
    """One task that was sent."""

    async def offload(call: Callable[..., Any], *args: Any) -> Any:
        return call(*args)

    runtime: Any = SimpleNamespace(client=client, context=None, offload=offload)
    found = Following(runtime)
    found._hurry(+1)
    item = Item("k", ident="i", deep="d", base="d", recorded=True, fate="run")
    graph: Any = SimpleNamespace(open=set(), pins={}, held=[], done=lambda item: None)
    found.start(graph, [item])
    return found, item


def test_a_run_that_the_scheduler_never_heard_of_is_not_logged(written: list[Any]) -> None:
    """Its worker was lost right after the report: what another worker returns is what is delivered."""

    async def both() -> None:
        client, ended = States(), asyncio.Event()
        state = SimpleNamespace(status="pending", wait=ended.wait)
        client.futures["k"] = state
        found, item = followed(client)
        found.arrived((0.0, {"reports": [report("i", b"I1\n.")]}))
        for _ in range(20):
            await asyncio.sleep(0)
        assert written == []
        found.arrived((0.0, {"reports": [report("i", b"I2\n.")]}))
        state.status = "finished"
        ended.set()
        await item.settled.wait()

    asyncio.run(both())
    assert written == [("k", 2)]


@pytest.mark.parametrize("value", [b"not a pickle", b"I1\n."])
def test_whatever_comes_nothing_waits_for_ever(written: list[Any], value: bytes) -> None:
    """A value that cannot be loaded here, or a client that is gone."""

    async def one() -> None:
        client = States()
        client.futures["k"] = SimpleNamespace(status="finished", wait=asyncio.Event().wait)
        found, item = followed(client if value.startswith(b"not") else None)
        if value.startswith(b"not"):
            found.released(item, client.futures.pop("k"))
        found.arrived((0.0, {"reports": [report("i", value)]}))
        await asyncio.wait_for(item.settled.wait(), 30)

    asyncio.run(one())
    assert written == []


def test_every_call_has_a_function_of_its_own(notebooks: Make, cluster: str) -> None:
    """Functions travel as one pickle for all tasks, and share no state on a worker."""
    functions = "N = 0\ndef count(x):\n    global N\n    N += 1\n    return N, __name__, count.__name__"
    source = "r = client.gather(client.map(count, range(20)))"
    assert set(run(notebooks(), cluster, functions, source)) == {(1, "__main__", "count")}


def test_what_a_function_and_its_arguments_share_stays_one_object(notebooks: Make, cluster: str) -> None:
    functions = "def g():\n    return 1\ndef same(x):\n    return x is g"
    assert run(notebooks(), cluster, functions, "r = client.submit(same, g).result()") is True


def test_functions_of_a_notebook_are_pickled_once_for_many_tasks(
    notebooks: Make, cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed: list[Any] = []
    seal, wrapped = job.seal, job.Job._wrapped

    def sealing(func: Any) -> bytes:
        sealed.append(func)
        return seal(func)

    def wrapping(self: Any, item: Any, spec: Any) -> Any:
        task = wrapped(self, item, spec)
        sealed.append(task.func.func)
        return task

    monkeypatch.setattr(job, "seal", sealing)
    monkeypatch.setattr(job.Job, "_wrapped", wrapping)
    functions = "def plain(x):\n    return x\nL = []\ndef holds(x):\n    return len(L)"
    first = notebooks()
    run(first, cluster, functions, "r = client.gather(client.map(plain, range(3)))")
    plain, holds = first.space["plain"], first.space["holds"]
    assert sealed == [plain, None, None, None]
    sealed.clear()
    first.run("r = client.gather(client.map(holds, range(2)))")
    assert sealed == [holds, holds], "tasks of a function that holds objects travel as they ever did"
