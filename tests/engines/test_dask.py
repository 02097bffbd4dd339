"""The real Dask: what runs, what is served, and that served tasks are right."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engines.conftest import children
from nbrewind.testing.engines import with_versions
from nbrewind.testing.notebook import Notebook

Make = Callable[[], Notebook]
CLIENT = "from dask.distributed import Client, as_completed, wait\nclient = Client({!r})\n"

FUNCTIONS = """
K = 10
def helper(x):
    return x + 1
def work(x, *, scale=2):
    mark("work")
    return helper(x) * scale + K
def add(a, b):
    mark("add")
    return a + b
def total(values):
    mark("total")
    return sum(values)
"""


def run(notebook: Notebook, cluster: str, source: str, functions: str = FUNCTIONS, serve: bool = True) -> Any:
    notebook.run(CLIENT.format(cluster))
    notebook.run(textwrap.dedent(functions))
    notebook.run(textwrap.dedent(source), serve=serve)
    return notebook.space.get("r")


APIS = {
    "submit": "r = client.submit(work, 1).result()",
    "chain": "r = client.submit(add, client.submit(work, 1), client.submit(work, 2)).result()",
    "map": "r = client.gather(client.map(work, range(5)))",
    "map of futures": "r = client.gather(client.map(work, client.map(work, range(3))))",
    "kwargs": "r = client.submit(work, 1, scale=7).result()",
    "as_completed": "r = sorted(f.result() for f in as_completed(client.map(work, range(5))))",
    "as_completed with results": (
        "r = sorted(v for _, v in as_completed(client.map(work, range(5)), with_results=True))"
    ),
    "wait": "fs = client.map(work, range(4)); d = wait(fs); r = (len(d.done), len(d.not_done), fs[0].done())",
    "nested": "r = client.submit(total, [client.submit(work, 1), client.submit(work, 2)]).result()",
    "gather of a dict": "r = client.gather({'a': client.submit(work, 1), 'b': [client.submit(work, 2)]})",
    "delayed": (
        "import dask\nw = dask.delayed(work)\nr = dask.delayed(total)([w(i) for i in range(4)]).compute()"
    ),
    "dask.compute": "import dask\nw = dask.delayed(work)\nr = dask.compute(w(1), [w(2), w(3)])",
    "client.compute": "import dask\nr = client.compute(dask.delayed(work)(3)).result()",
    "persist": "import dask\np = dask.delayed(work)(3).persist()\nr = (p + 1).compute()",
    "array": (
        "import dask.array as da\nr = float(da.arange(10, chunks=5).map_blocks("
        "lambda b: b * K, dtype=int).sum().compute())"
    ),
    "executor": "r = list(client.get_executor().map(work, range(3)))",
    "scatter": "r = client.submit(total, client.scatter([1, 2, 3], hash=False)).result()",
    "callback": (
        "import threading\ndone = threading.Event()\nf = client.submit(work, 1)\n"
        "f.add_done_callback(lambda f: done.set())\nr = done.wait(10)"
    ),
    "asynchronous task": (
        "async def later(x):\n    mark('later')\n    return x\nr = client.submit(later, 4).result()"
    ),
}


@pytest.mark.parametrize("source", APIS.values(), ids=APIS)
def test_an_unchanged_cell_runs_no_task(notebooks: Make, cluster: str, source: str) -> None:
    first = notebooks()
    value = run(first, cluster, source)
    assert first.last.served == 0
    assert first.last.run > 0
    second = notebooks()
    assert run(second, cluster, source) == value
    assert not second.executed()
    assert second.last.run == 0
    assert second.last.served > 0


EDITS = {
    "body": (("return helper(x) * scale + K", "return helper(x) * scale + K + 0"), 4),
    "helper": (("return x + 1", "return x + 2"), 4),
    "global": (("K = 10", "K = 11"), 4),
    "type of a global": (("K = 10", "K = 10.0"), 4),
    "default": (("scale=2", "scale=3"), 4),
    "comment only": (("K = 10", "# ten\nK = 10"), 0),
    "another function": (("return sum(values)", "return sum(values) + 1"), 0),
}


@pytest.mark.parametrize(("edit", "runs"), EDITS.values(), ids=EDITS)
def test_edits_of_what_a_function_reaches(
    notebooks: Make, cluster: str, edit: tuple[str, str], runs: int
) -> None:
    source = "r = client.gather(client.map(work, range(4)))"
    run(notebooks(), cluster, source)
    second = notebooks()
    value = run(second, cluster, source, FUNCTIONS.replace(*edit))
    assert second.executed()["work"] == runs
    plain = dict(second.space)
    assert value == [plain["work"](i) for i in range(4)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("1", "True"),
        ("1", "1.0"),
        ("[1, 2]", "(1, 2)"),
        ("0.0", "-0.0"),
        ("{'a': 1}", "{'a': True}"),
        ("'1'", "b'1'"),
    ],
)
def test_arguments_that_are_equal_but_not_the_same(
    notebooks: Make, cluster: str, before: str, after: str
) -> None:
    functions = "def show(x):\n    mark('show')\n    return repr(x)"
    run(notebooks(), cluster, f"r = client.submit(show, {before}).result()", functions)
    second = notebooks()
    value = run(second, cluster, f"r = client.submit(show, {after}).result()", functions)
    assert value == after
    assert second.executed()["show"] == 1


def test_closures_classes_and_partials(notebooks: Make, cluster: str) -> None:
    functions = """
    from functools import partial
    class Model:
        def __init__(self, a): self.a = a
        def predict(self, x):
            mark("predict")
            return self.scaled(x)
        def scaled(self, x): return self.a * x
    def make(n):
        def inner(x):
            mark("inner")
            return x + n
        return inner
    def power(x, n):
        mark("power")
        return x ** n
    """
    source = (
        "r = client.gather([client.submit(Model(3).predict, 2), client.submit(make(5), 1),"
        " client.submit(partial(power, n=2), 3)])"
    )
    assert run(notebooks(), cluster, source, functions) == [6, 6, 9]
    again = notebooks()
    assert run(again, cluster, source, functions) == [6, 6, 9]
    assert not again.executed()
    changed = notebooks()
    source = source.replace("make(5)", "make(6)").replace("n=2", "n=3")
    assert run(changed, cluster, source, functions) == [6, 7, 27]
    assert changed.executed() == {"inner": 1, "power": 1}
    method = notebooks()
    functions = functions.replace("return self.a * x", "return self.a * x + 1")
    assert run(method, cluster, source, functions) == [7, 7, 27]
    assert method.executed() == {"predict": 1}


def test_result_of_a_notebook_class_is_of_the_live_class(notebooks: Make, cluster: str) -> None:
    functions = (
        "class P:\n    def __init__(self, v): self.v = v\ndef make(v):\n    mark('make')\n    return P(v)"
    )
    source = "f = client.submit(make, 4)\nr = (type(f.result()) is P, f.result().v)"
    assert run(notebooks(), cluster, source, functions) == (True, 4)
    second = notebooks()
    assert run(second, cluster, source, functions) == (True, 4)
    assert not second.executed()


def test_body_of_a_local_module(notebooks: Make, cluster: str, tmp_path: Path) -> None:
    """Dask's own token does not see this edit."""
    source = """
    import sys
    def load():
        import sys
        sys.path.insert(0, FOLDER)
        sys.modules.pop("local_helper_a", None)
        import local_helper_a
        mark("load")
        return local_helper_a.value()
    r = client.submit(load).result()
    """
    module = tmp_path / "local_helper_a.py"
    sys.path.insert(0, str(tmp_path))
    try:
        for body, runs in (("1", 1), ("1", 0), ("2", 1)):
            module.write_text(f"def value():\n    return {body}\n")
            notebook = notebooks()
            notebook.space["FOLDER"] = str(tmp_path)
            assert run(notebook, cluster, source, "") == int(body)
            assert notebook.executed()["load"] == runs
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("local_helper_a", None)


def test_input_files_that_a_task_opens(notebooks: Make, cluster: str, tmp_path: Path) -> None:
    functions = "def read(p):\n    mark('read')\n    return int(open(p).read())"
    paths = [str(tmp_path / f"p{i}.txt") for i in range(3)]
    for i, path in enumerate(paths):
        Path(path).write_text(str(i))
    source = f"r = client.gather(client.map(read, {paths!r}))"
    assert run(notebooks(), cluster, source, functions) == [0, 1, 2]
    Path(paths[1]).write_text("50")
    second = notebooks()
    assert run(second, cluster, source, functions) == [0, 50, 2]
    assert second.executed()["read"] == 1
    changed, missing = second.context.holds(second.keys)
    assert (changed, missing) == ([], [])
    Path(paths[1]).write_text("1")
    third = notebooks()
    assert run(third, cluster, source, functions) == [0, 1, 2]
    assert not third.executed(), "one key has several entries: going back is a hit"
    Path(paths[2]).unlink()
    assert third.context.holds(third.keys)[0] == ["p2.txt"]


def test_files_behind_an_unrecorded_node(notebooks: Make, cluster: str, tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    source = f"import dask.bag as db\nr = db.read_text({str(path)!r}).map(int).sum().compute()"
    for text, value in (("1\n2\n", 3), ("1\n2\n", 3), ("1\n5\n", 6)):
        path.write_text(text)
        notebook = notebooks()
        assert run(notebook, cluster, source, "") == value


def test_output_files_come_back(notebooks: Make, cluster: str, tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    functions = "def write(p, v):\n    mark('write')\n    open(p, 'w').write(v)\n    return p"
    source = f"r = client.submit(write, {str(target)!r}, 'hello').result()"
    run(notebooks(), cluster, source, functions)
    target.unlink()
    second = notebooks()
    run(second, cluster, source, functions)
    assert not second.executed()
    assert target.read_text() == "hello"
    target.write_text("something else")
    run(notebooks(), cluster, source, functions)
    assert target.read_text() == "hello"


def test_failed_tasks_run_again(notebooks: Make, cluster: str) -> None:
    functions = "def inverse(x):\n    mark('inverse')\n    return 1 / x"
    source = """
    r = []
    for x in (1, 0, 4):
        try: r.append(client.submit(inverse, x).result())
        except ZeroDivisionError: r.append(None)
    """
    first = notebooks()
    assert run(first, cluster, source, functions) == [1, None, 0.25]
    assert first.last.failed == 1
    second = notebooks()
    assert run(second, cluster, source, functions) == [1, None, 0.25]
    assert second.executed()["inverse"] == 1
    assert run(notebooks(), cluster, source.replace("0", "5"), functions) == [1, 0.2, 0.25]


def test_errors_skip_with_served_futures(notebooks: Make, cluster: str) -> None:
    functions = "def inverse(x):\n    mark('inverse')\n    return 1 / x"
    source = "fs = client.map(inverse, [1, 0, 4])\nr = client.gather(fs, errors='skip')"
    assert run(notebooks(), cluster, source, functions) == [1, 0.25]
    assert run(notebooks(), cluster, source, functions) == [1, 0.25]


def test_unseeded_duplicates_stay_apart(notebooks: Make, cluster: str) -> None:
    functions = "import random\ndef draw():\n    mark('draw')\n    return random.random()"
    source = "r = client.gather([client.submit(draw, pure=False) for _ in range(3)])"
    values = run(notebooks(), cluster, source, functions)
    assert len(set(values)) == 3
    second = notebooks()
    assert run(second, cluster, source, functions) == values
    assert not second.executed()
    more = notebooks()
    grown = run(more, cluster, source.replace("3", "4"), functions)
    assert grown[:3] == values
    assert len(set(grown)) == 4
    assert more.executed()["draw"] == 1


def test_unseeded_delayed_draws_keep_their_places(notebooks: Make, cluster: str) -> None:
    functions = (
        "import random, dask\n@dask.delayed\ndef draw():\n    mark('draw')\n    return random.random()"
    )
    source = "r = dask.compute([draw() for _ in range(8)], draw() - draw())"
    values = run(notebooks(), cluster, source, functions)
    second = notebooks()
    assert run(second, cluster, source, functions) == values
    assert not second.executed()


def test_early_cutoff_between_tasks(notebooks: Make, cluster: str) -> None:
    functions = """
    def load(i):
        mark("load"); return i
    def clean(x):
        mark("clean"); return x // 10
    def fit(x):
        mark("fit"); return x + 1
    """
    source = "r = client.submit(fit, client.submit(clean, client.submit(load, 12))).result()"
    assert run(notebooks(), cluster, source, functions) == 2
    second = notebooks()
    assert run(second, cluster, source.replace("12", "13"), functions) == 2
    assert second.executed() == {"load": 1, "clean": 1}
    third = notebooks()
    assert run(third, cluster, source.replace("12", "25"), functions) == 3
    assert third.executed() == {"load": 1, "clean": 1, "fit": 1}


def test_changed_input_behind_an_unchanged_task(notebooks: Make, cluster: str, tmp_path: Path) -> None:
    """The key of the second task is the same at submission: its upstream's file is what changed."""
    path = tmp_path / "in.txt"
    functions = """
    def read(p):
        mark("read")
        return int(open(p).read())
    def double(x):
        mark("double")
        return 2 * x
    """
    source = f"r = client.submit(double, client.submit(read, {str(path)!r})).result()"
    path.write_text("3")
    assert run(notebooks(), cluster, source, functions) == 6
    path.write_text("40")
    second = notebooks()
    assert run(second, cluster, source, functions) == 80
    assert second.executed() == {"read": 1, "double": 1}


@pytest.mark.parametrize(
    "call",
    [
        "dask.delayed(call)(dask.delayed(packaging.version.parse), '1').compute(optimize_graph=False)",
        "client.submit(call, client.scatter([packaging.version.parse])[0], '1').result()",
        "dask.delayed(call)(packaging.version.parse, '1').compute()",
    ],
)
def test_versions_behind_nodes_that_are_not_recorded(
    notebooks: Make, cluster: str, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    functions = (
        FUNCTIONS + "import dask, packaging.version\ndef call(f, x):\n    mark('call')\n    return f(x)\n"
    )
    with_versions(monkeypatch, versions := {"packaging": ""})
    for versions["packaging"], runs in (("24.1", 1), ("24.1", 0), ("25.0", 1), ("24.1", 0)):
        notebook = notebooks()
        assert run(notebook, cluster, f"r = str({call})", functions) == "1"
        assert notebook.executed()["call"] == runs


def test_served_values_do_not_poison_the_scheduler(notebooks: Make, cluster: str) -> None:
    functions = """
    import dask
    @dask.delayed
    def a(x): return x
    @dask.delayed
    def b(x): return [x]
    """
    run(notebooks(), cluster, "r = b(a(1)).compute()", functions)
    second = notebooks()
    value = run(second, cluster, "v = a(1)\nr = (b(b(v)).compute(), v.compute(), b(v).compute())", functions)
    assert value == ([[1]], 1, [1])


def test_results_are_separate_objects(notebooks: Make, cluster: str) -> None:
    functions = "def make():\n    return [1]"
    source = "f = client.submit(make)\nf.result().append(2)\nr = f.result()"
    assert run(notebooks(), cluster, source, functions) == [1]
    assert run(notebooks(), cluster, source, functions) == [1]


def test_tasks_submitted_between_cells_are_left_alone(notebooks: Make, cluster: str) -> None:
    notebook = notebooks()
    notebook.run(CLIENT.format(cluster) + FUNCTIONS)
    client, work = notebook.space["client"], notebook.space["work"]
    assert not notebook.context.executing
    assert client.submit(lambda: 5).result() == 5
    assert work is not None


LOCAL = """
from dask.distributed import Client, LocalCluster, as_completed, wait
cluster = LocalCluster(n_workers=1, threads_per_worker=2, processes={processes}, dashboard_address=":0")
client = Client(cluster)
"""


def rebuilt(first: Notebook, second: Notebook, names: list[str]) -> None:
    """What a session does with handles: recipes from one life, unconnected objects in the next."""
    handles = first.adapter.handles()
    kinds = {name: next(k for k in handles if isinstance(first.space[name], k)) for name in names}
    described = {name: json.dumps(handles[kinds[name]].describe(first.space[name])) for name in names}
    for name in names:
        if hasattr(first.space[name], "close"):
            first.space[name].close()
    from nbrewind.engines.dask import recipes

    recipes.known.clear()
    for name in names:
        second.space[name] = handles[kinds[name]].rebuild(json.loads(described[name]))


@pytest.mark.parametrize("processes", [True, False])
def test_a_rebuilt_client_starts_nothing_for_hits(notebooks: Make, processes: bool) -> None:
    source = """
    fs = client.map(work, range(4))
    r = (client.gather(fs), sorted(f.result() for f in as_completed(fs)), len(wait(fs).done))
    """
    before = children()
    first = notebooks()
    first.run(LOCAL.format(processes=processes))
    first.run(FUNCTIONS)
    first.run(textwrap.dedent(source))
    value = first.space["r"]
    second = notebooks_without_closing(first)
    rebuilt(first, second, ["client", "cluster"])
    assert children() == before
    try:
        second.run("from dask.distributed import as_completed, wait\n" + FUNCTIONS)
        second.forget_counts()
        second.run(textwrap.dedent(source))
        assert second.space["r"] == value
        assert children() == before
        assert not second.executed()
        client, cluster = second.space["client"], second.space["cluster"]
        second.run("r = client.submit(add, fs[0], 5).result()")
        assert second.space["r"] == value[0][0] + 5
        assert second.executed() == {"add": 1}
        assert client.cluster is cluster
        assert "No scheduler" not in repr(client)
    finally:
        second.space["client"].close()
        second.space["cluster"].close()
    assert children() == before


def notebooks_without_closing(first: Notebook) -> Notebook:
    return Notebook(first.folder, first.context.store, first.adapter)


def test_a_rebuilt_client_closes_and_enters_without_a_cluster(notebooks: Make) -> None:
    before = children()
    first = notebooks()
    first.run("from dask.distributed import Client\nclient = Client(n_workers=1, dashboard_address=':0')")
    first.run(FUNCTIONS)
    first.run("f = client.submit(work, 1)\nr = f.result()")
    second = notebooks_without_closing(first)
    rebuilt(first, second, ["f", "client"])
    second.run(FUNCTIONS)
    second.run("r = f.result()\nwith client:\n    r2 = client.submit(work, 1).result()")
    assert second.space["r"] == second.space["r2"] == first.space["r"]
    assert children() == before
    assert second.space["client"].status == "closed"


def test_what_was_closed_comes_back_closed(notebooks: Make) -> None:
    before = children()
    first = notebooks()
    first.run(LOCAL.format(processes=True))
    first.run("client.close()\ncluster.close()")
    assert children() == before
    second = notebooks_without_closing(first)
    rebuilt(first, second, ["client", "cluster"])
    assert second.space["client"].status == "closed"
    assert second.space["cluster"].__dict__["status"].name == "closed"
    with pytest.raises(ValueError, match="No clients found"):
        second.run("from dask.distributed import get_client, default_client\ndefault_client()")
    assert children() == before


def test_explicit_use_connects(notebooks: Make) -> None:
    first = notebooks()
    first.run("from dask.distributed import Client\nclient = Client(n_workers=1, dashboard_address=':0')")
    second = notebooks_without_closing(first)
    rebuilt(first, second, ["client"])
    try:
        second.run("r = len(client.scheduler_info()['workers'])")
        assert second.space["r"] == 1
    finally:
        second.space["client"].close()


SIZED = """
from dask.distributed import Client, LocalCluster
cluster = LocalCluster(n_workers=0, threads_per_worker=1, processes=False, dashboard_address=":0")
client = Client(cluster)
"""


@pytest.mark.parametrize(
    ("size", "workers"),
    [
        ("cluster.scale(2)", 2),
        ("cluster.adapt(minimum=1, maximum=2)", 1),
        ("client.cluster.scale(n=1)", 1),
        ("cluster.scale(1)\ncluster.scale(3)", 3),
    ],
)
def test_a_rebuilt_cluster_has_its_size(notebooks: Make, size: str, workers: int) -> None:
    """One that came back without workers would wait for ever."""
    first = notebooks()
    first.run(SIZED)
    cluster = first.space["cluster"]
    settings = next(h for c, h in first.adapter.handles().items() if isinstance(cluster, c)).settings
    assert settings(cluster) == ""
    first.run(size)
    assert settings(cluster), "a cell that sizes a cluster changes it"
    second = notebooks_without_closing(first)
    rebuilt(first, second, ["client", "cluster"])
    try:
        second.run(FUNCTIONS)
        second.run("r = client.submit(work, 1).result(20)\nn = len(cluster.worker_spec)")
        assert second.space["r"] == 14
        assert second.space["n"] == workers
    finally:
        second.space["client"].close()
        second.space["cluster"].close()


def test_a_rebuilt_client_sizes_the_cluster_that_it_makes(notebooks: Make) -> None:
    first = notebooks()
    first.run(
        "from dask.distributed import Client\n"
        "client = Client(n_workers=0, threads_per_worker=1, processes=False, dashboard_address=':0')"
    )
    first.run("client.cluster.scale(1)")
    second = notebooks_without_closing(first)
    rebuilt(first, second, ["client"])
    try:
        second.run(FUNCTIONS)
        second.run("r = client.submit(work, 1).result(20)")
        assert second.space["r"] == 14
    finally:
        second.space["client"].close()


def test_a_cluster_leaves_the_import_path_alone(notebooks: Make) -> None:
    first = notebooks()
    first.run("import distributed")
    before = list(sys.path)
    first.run(LOCAL.format(processes=False))
    assert sys.path == before
    first.space["client"].close()
    first.space["cluster"].close()


def test_the_engine_draws_from_a_generator_of_its_own(notebooks: Make, cluster: str) -> None:
    """It draws for each result that it gathers: a served one would leave the notebook other numbers."""
    source = "import random\nrandom.seed(4)\nclient.gather(client.map(work, range({})))\nr = random.random()"
    for tasks in (3, 5):
        notebook = notebooks()
        assert run(notebook, cluster, source.format(tasks)) == random.Random(4).random()
    assert notebook.last.served == 3 and notebook.last.run == 2


def test_rebuilding_imports_the_engine_first() -> None:
    """In a fresh process the engine's import calls install, in the midst of rebuilding."""
    script = """
from nbrewind.engines.dask import adapter
from nbrewind.flow.imports import ImportWatch
from nbrewind.tasks import TaskContext
context, made, watch = TaskContext(None, "."), adapter(), ImportWatch()
watch.install()
for name in made.modules:
    watch.when(name, lambda module: made.install(context))
recipe = {"id": "1", "class": "distributed.client:Client", "args": [], "kwargs": {"n_workers": 1}}
client = made.rebuild("dask.client", recipe)
client.close()
print(client.status)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "closed", done.stderr


def test_equal_futures_have_equal_versions(notebooks: Make, cluster: str) -> None:
    source = "f = client.submit(work, 1)\nr = f.result()"
    first = notebooks()
    run(first, cluster, source)
    version = first.adapter.handles()[type(first.space["f"])].version
    before = version(first.space["f"])
    second = notebooks()
    run(second, cluster, source)
    assert version(second.space["f"]) == before


KILLED = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from nbrewind.testing.notebook import Notebook
from support.taskstore import FolderTaskStore
from nbrewind.engines.dask import DaskAdapter

if __name__ == "__main__":
    folder = Path({folder!r})
    notebook = Notebook(folder, FolderTaskStore(folder / "store"), DaskAdapter())
    notebook.run('''
from dask.distributed import Client
client = Client(n_workers=2, threads_per_worker=1, dashboard_address=":0")
def slow(i):
    time.sleep(0.1)
    mark("slow")
    return i * i
''')
    notebook.run("fs = client.map(slow, range(100))\\nr = client.gather(fs)")
    print(sum(notebook.space["r"]), notebook.last.served, notebook.last.run, flush=True)
    notebook.space["client"].close()
"""


def test_a_killed_manager_costs_only_what_was_not_done(tmp_path: Path) -> None:
    here = Path(__file__).resolve().parents[1]
    script = tmp_path / "driver.py"
    script.write_text(KILLED.format(path=[str(here), *sys.path], folder=str(tmp_path)))
    log = tmp_path / "store" / "log.jsonl"
    driver = subprocess.Popen([sys.executable, str(script)], start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and (not log.exists() or len(log.read_bytes().splitlines()) < 30):
            time.sleep(0.05)
        os.killpg(driver.pid, signal.SIGKILL)
    finally:
        driver.wait(30)
    done = len({json.loads(line)["key"] for line in log.read_text().splitlines() if line.endswith("}")})
    ran = (tmp_path / "counts" / "slow").stat().st_size
    assert 30 <= done < 100
    assert ran - done <= 12, "an entry is durable when its task completes"
    repeat = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=True
    )
    value, served, runs = map(int, repeat.stdout.split())
    assert value == sum(i * i for i in range(100))
    assert served == done
    assert runs == 100 - done
