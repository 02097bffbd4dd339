"""The real Parsl: what runs, what is served, and that served apps are right.

Most tests run apps in threads of this process, where a kernel starts in no time; what
depends on worker processes is told by the tests of the ``HighThroughputExecutor``.
"""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from engines.conftest import children
from nbrewind.engines.parsl import ParslAdapter
from nbrewind.testing.notebook import Notebook
from nbrewind.testing.taskstore import MemoryTaskStore

parsl = pytest.importorskip("parsl")

pytestmark = [
    # Third parties' own: typeguard's late imports, and forks under threads.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

Make = Callable[[], Notebook]
IMPORTS = """
import os, parsl
from parsl import python_app, bash_app, join_app, File
from parsl.config import Config
from parsl.executors import HighThroughputExecutor, ThreadPoolExecutor
from parsl.providers import LocalProvider
"""
THREADS = "parsl.load(Config(executors=[ThreadPoolExecutor(max_threads=4)], initialize_logging=False))"
PROCESSES = """
parsl.load(Config(executors=[HighThroughputExecutor(
    label="htex", address="127.0.0.1", loopback_address="127.0.0.1", max_workers_per_node=2,
    provider=LocalProvider(init_blocks=1, max_blocks=1))], initialize_logging=False))
"""
APPS = """
K = 10
def helper(x):
    return x + 1
@python_app
def work(x, *, scale=2):
    mark("work")
    return helper(x) * scale + K
@python_app
def add(a, b):
    mark("add")
    return a + b
@python_app
def total(values):
    mark("total")
    return sum(values)
"""


@pytest.fixture
def adapter() -> Iterator[ParslAdapter]:
    made = ParslAdapter()
    yield made
    made.uninstall()


@pytest.fixture
def notebooks(tmp_path: Path, adapter: ParslAdapter, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes one notebook life after another on the same store and folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", os.path.dirname(sys.executable), prepend=os.pathsep)
    store = MemoryTaskStore()

    def make() -> Notebook:
        end()
        notebook = Notebook(tmp_path, store, adapter)
        notebook.forget_counts()
        return notebook

    yield make
    end()


def end() -> None:
    """What the end of a process does."""
    loader = parsl.dataflow.dflow.DataFlowKernelLoader
    if loader._dfk is not None:
        loader._dfk.cleanup()
    loader.clear()


def run(notebook: Notebook, source: str, apps: str = APPS, *, load: str = THREADS, serve: bool = True) -> Any:
    notebook.run(IMPORTS + load, serve=serve)
    notebook.run(textwrap.dedent(apps), serve=serve)
    notebook.run(textwrap.dedent(source), serve=serve)
    return notebook.space.get("r")


CASES = {
    "one app": "r = work(1).result()",
    "a chain": "r = add(work(1), work(2)).result()",
    "many": "r = [f.result() for f in [work(i) for i in range(5)]]",
    "equal calls": "r = [f.result() for f in [work(1) for i in range(3)]]",
    "keywords": "r = work(1, scale=7).result()",
    "a part of a result": (
        "@python_app\ndef pair():\n    mark('pair')\n    return [1, {'a': 2}]\nr = work(pair()[1]['a']).result()"
    ),
    "completion order": (
        "from concurrent.futures import as_completed\n"
        "r = sorted(f.result() for f in as_completed([work(i) for i in range(5)]))"
    ),
    "a join": ("@join_app\ndef outer(n):\n    return [work(i) for i in range(n)]\nr = outer(3).result()"),
    "a join of a join": (
        "@join_app\ndef fib(n):\n    return add(fib(n - 1), fib(n - 2)) if n > 1 else work(n)\nr = fib(4).result()"
    ),
    "an executor of Parsl": (
        "from parsl.concurrent import ParslPoolExecutor\n"
        "def twice(x):\n    mark('twice')\n    return 2 * x\n"
        "r = list(ParslPoolExecutor(dfk=parsl.dfk()).map(twice, range(4)))"
    ),
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_an_unchanged_cell_runs_no_app(notebooks: Make, source: str) -> None:
    first = notebooks()
    value = run(first, source, serve=False)
    assert first.last.served == 0
    assert first.last.run > 0
    second = notebooks()
    assert run(second, source) == value
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
    "another app": (("return sum(values)", "return sum(values) + 1"), 0),
}


@pytest.mark.parametrize(("edit", "runs"), EDITS.values(), ids=EDITS)
def test_edits_of_what_an_app_reaches(notebooks: Make, edit: tuple[str, str], runs: int) -> None:
    source = "r = [f.result() for f in [work(i) for i in range(4)]]"
    run(notebooks(), source)
    second = notebooks()
    value = run(second, source, APPS.replace(*edit))
    assert second.executed()["work"] == runs
    plain = dict(second.space)
    assert value == [plain["work"].func.__wrapped__(i) for i in range(4)]


@pytest.mark.parametrize(
    ("before", "after"),
    [("1", "True"), ("1", "1.0"), ("[1, 2]", "(1, 2)"), ("0.0", "-0.0"), ("{'a': 1}", "{'a': True}"),
     ("'1'", "b'1'"), ("'run-202401011234'", "'run-202402011234'")],
)  # fmt: skip
def test_arguments_that_are_equal_but_not_the_same(notebooks: Make, before: str, after: str) -> None:
    apps = "@python_app\ndef show(x):\n    mark('show')\n    return repr(x)"
    run(notebooks(), f"r = show({before}).result()", apps)
    second = notebooks()
    assert run(second, f"r = show({after}).result()", apps) == repr(eval(after))
    assert second.executed()["show"] == 1


def test_cache_true_is_not_trusted(notebooks: Make) -> None:
    """Parsl's own memoizer knows an app by its name: a changed body would get the old result."""
    apps = "@python_app(cache=True)\ndef f(x):\n    mark('f')\n    return x + 1"
    source = "r = [f(1).result(), f(1).result()]"
    first = notebooks()
    assert run(first, source, apps) == [2, 2]
    assert first.executed()["f"] == 1, "two equal calls of a cached app run once, as in Parsl"
    second = notebooks()
    assert run(second, source, apps) == [2, 2]
    assert not second.executed()
    third = notebooks()
    assert run(third, source, apps.replace("x + 1", "x + 2")) == [3, 3]
    assert third.executed()["f"] == 1


def test_a_changed_upstream_with_an_equal_result_wakes_nothing(notebooks: Make) -> None:
    apps = """
    @python_app
    def load(i):
        mark("load"); return i
    @python_app
    def clean(x):
        mark("clean"); return x // 10
    @python_app
    def fit(x):
        mark("fit"); return x + 1
    """
    source = "r = fit(clean(load(12))).result()"
    assert run(notebooks(), source, apps) == 2
    second = notebooks()
    assert run(second, source.replace("12", "13"), apps) == 2
    assert second.executed() == {"load": 1, "clean": 1}
    third = notebooks()
    assert run(third, source.replace("12", "25"), apps) == 3
    assert third.executed() == {"load": 1, "clean": 1, "fit": 1}


def test_files_that_an_app_opens(notebooks: Make, tmp_path: Path) -> None:
    apps = "@python_app\ndef read(p):\n    mark('read')\n    return int(open(p).read())"
    paths = [str(tmp_path / f"p{i}.txt") for i in range(3)]
    for i, path in enumerate(paths):
        Path(path).write_text(str(i))
    source = f"r = [f.result() for f in [read(p) for p in {paths!r}]]"
    assert run(notebooks(), source, apps) == [0, 1, 2]
    Path(paths[1]).write_text("50")
    second = notebooks()
    assert run(second, source, apps) == [0, 50, 2]
    assert second.executed()["read"] == 1
    Path(paths[1]).write_text("1")
    third = notebooks()
    assert run(third, source, apps) == [0, 1, 2]
    assert not third.executed(), "one key has several entries: going back is a hit"


def test_file_arguments_count_by_content(notebooks: Make, tmp_path: Path) -> None:
    apps = """
    @python_app
    def count(inputs=()):
        mark("count")
        return sum(len(open(f.filepath).read()) for f in inputs)
    """
    one = tmp_path / "one.txt"
    one.write_text("abc")
    source = "r = count(inputs=[File('one.txt')]).result()"
    assert run(notebooks(), source, apps) == 3
    os.utime(one, (1, 1))
    second = notebooks()
    assert run(second, source, apps) == 3
    assert not second.executed(), "only its time changed"
    one.write_text("abcd")
    third = notebooks()
    assert run(third, source, apps) == 4
    assert third.executed()["count"] == 1
    assert "one.txt" in third.context.cell_files()[0], "a cell depends on what its apps name"


BASH = """
@bash_app
def hello(name, outputs=(), stdout=None, stderr=None):
    mark("hello")
    return f"echo hi {name}; echo -n {name} > {outputs[0]}; echo warn >&2"
"""


def test_bash_apps_bring_their_files_back(notebooks: Make, tmp_path: Path) -> None:
    source = """
    f = hello("bob", outputs=[File("name.txt")], stdout="hello.out", stderr=("hello.err", "w"))
    r = (f.result(), f.outputs[0].result().filepath, open("name.txt").read(), open("hello.out").read(),
         "warn" in open("hello.err").read(), f.stdout)
    """
    files = ("name.txt", "hello.out", "hello.err")
    first = notebooks()
    value = run(first, source, BASH)
    assert value == (0, "name.txt", "bob", "hi bob\n", True, "hello.out")
    contents = {name: (tmp_path / name).read_bytes() for name in files}
    for name in files:
        (tmp_path / name).unlink()
    second = notebooks()
    assert run(second, source, BASH) == value
    assert not second.executed()
    assert {name: (tmp_path / name).read_bytes() for name in files} == contents
    assert set(files) <= second.context.cell_files()[1].keys()


def test_files_that_a_command_names(notebooks: Make, tmp_path: Path) -> None:
    apps = """
    @bash_app
    def sort(a, b):
        return f"sort {a} >{b}"
    """
    source = "sort('in.txt', 'out.txt').result()\nr = open('out.txt').read()"
    (tmp_path / "in.txt").write_text("b\na\n")
    assert run(notebooks(), source, apps) == "a\nb\n"
    (tmp_path / "out.txt").unlink()
    second = notebooks()
    assert run(second, source, apps) == "a\nb\n"
    assert (second.last.served, second.last.run) == (1, 0)
    (tmp_path / "in.txt").write_text("d\nc\n")
    assert run(notebooks(), source, apps) == "c\nd\n"


HIDDEN = {
    "a program": "python3 reader.py out.txt",
    "a variable": "F=in.txt; cat $F > out.txt",
    "a pattern": "cat i*.txt > out.txt",
    "a script": "bash reader.sh",
    "a name in a file": "sort --files0-from=names > out.txt",
}


@pytest.mark.parametrize("command", HIDDEN.values(), ids=HIDDEN)
def test_a_command_that_may_open_what_it_does_not_name_runs_again(
    notebooks: Make, tmp_path: Path, command: str
) -> None:
    """Nothing tells a worker what a child process opens: such an app is neither stored nor served."""
    (tmp_path / "reader.py").write_text("import sys\nopen(sys.argv[1], 'w').write(open('in.txt').read())\n")
    (tmp_path / "reader.sh").write_text("cat in.txt > out.txt\n")
    (tmp_path / "names").write_text("in.txt\0")
    apps = f"@bash_app\ndef read():\n    mark('read')\n    return {command!r}"
    source = "read().result()\nr = open('out.txt').read()"
    for text in ("one\n", "two\n", "two\n"):
        (tmp_path / "in.txt").write_text(text)
        notebook = notebooks()
        assert run(notebook, source, apps) == text
        assert notebook.executed()["read"] == 1
        assert any("is not stored" in note and "not seen" in note for note in notebook.context.cell.notes)


def test_a_file_that_a_command_names_and_that_is_not_there(notebooks: Make, tmp_path: Path) -> None:
    apps = "@bash_app\ndef read():\n    return 'cat in.txt > out.txt || echo none > out.txt'"
    source = "read().result()\nr = open('out.txt').read()"
    assert run(notebooks(), source, apps) == "none\n"
    (tmp_path / "in.txt").write_text("there\n")
    assert run(notebooks(), source, apps) == "there\n"


def test_streams_are_appended_to(notebooks: Make, tmp_path: Path) -> None:
    """Parsl appends: what was in the file is an input, and is there after a hit."""
    source = "r = hello('bob', outputs=[File('n.txt')], stdout='log.txt').result()"
    (tmp_path / "log.txt").write_text("before\n")
    run(notebooks(), source, BASH)
    assert (tmp_path / "log.txt").read_text() == "before\nhi bob\n"
    (tmp_path / "log.txt").write_text("before\n")
    second = notebooks()
    run(second, source, BASH)
    assert not second.executed()
    assert (tmp_path / "log.txt").read_text() == "before\nhi bob\n"
    (tmp_path / "log.txt").write_text("other\n")
    third = notebooks()
    run(third, source, BASH)
    assert third.executed()["hello"] == 1
    assert (tmp_path / "log.txt").read_text() == "other\nhi bob\n"


def test_streams_with_names_that_parsl_chooses(notebooks: Make, tmp_path: Path) -> None:
    source = """
    f = hello("bob", outputs=[File("n.txt")], stdout=parsl.AUTO_LOGNAME)
    f.result()
    r = open(f.stdout).read()
    where = f.stdout
    """
    first = notebooks()
    assert run(first, source, BASH) == "hi bob\n"
    second = notebooks()
    assert run(second, source, BASH) == "hi bob\n"
    assert not second.executed()
    assert first.space["where"] != second.space["where"]


def test_files_from_app_to_app(notebooks: Make, tmp_path: Path) -> None:
    apps = """
    @bash_app
    def make(n, outputs=()):
        mark("make")
        return f"seq {n} > {outputs[0]}"
    @python_app
    def lines(inputs=()):
        mark("lines")
        return len(open(inputs[0].filepath).readlines())
    """
    source = "r = lines(inputs=[make(4, outputs=[File('seq.txt')]).outputs[0]]).result()"
    assert run(notebooks(), source, apps) == 4
    (tmp_path / "seq.txt").unlink()
    second = notebooks()
    assert run(second, source, apps) == 4
    assert not second.executed()
    third = notebooks()
    assert run(third, source.replace("make(4", "make(5"), apps) == 5
    assert third.executed() == {"make": 1, "lines": 1}


def test_two_apps_that_write_one_file_are_not_stored(notebooks: Make, tmp_path: Path) -> None:
    apps = """
    @bash_app
    def say(word, stdout="all.txt"):
        return f"echo {word}; sleep 0.3"
    """
    source = "fs = [say(w) for w in 'ab']\nr = [f.result() for f in fs]"
    first = notebooks()
    run(first, source, apps)
    assert any("same file" in note for note in first.context.cell.notes)
    (tmp_path / "all.txt").unlink()
    second = notebooks()
    run(second, source, apps)
    assert second.last.run == 2
    assert sorted((tmp_path / "all.txt").read_text().split()) == ["a", "b"]


def test_failures_run_again(notebooks: Make) -> None:
    apps = "@python_app\ndef inverse(x):\n    mark('inverse')\n    return 1 / x"
    source = """
    r = []
    for x in (1, 0, 4):
        try: r.append(inverse(x).result())
        except ZeroDivisionError: r.append(None)
    """
    first = notebooks()
    assert run(first, source, apps) == [1, None, 0.25]
    assert first.last.failed == 1
    second = notebooks()
    assert run(second, source, apps) == [1, None, 0.25]
    assert second.executed()["inverse"] == 1
    failing = "r = None\ntry: add(inverse(0), 1).result()\nexcept Exception as e: r = type(e).__name__"
    assert run(notebooks(), failing, APPS + apps) == "DependencyError"


def test_retries_count_once_and_are_served(notebooks: Make, tmp_path: Path) -> None:
    load = THREADS.replace("initialize", "retries=2, initialize")
    apps = f"""
    @python_app
    def flaky():
        mark("flaky")
        import os
        if os.path.getsize({str(tmp_path / "counts" / "flaky")!r}) < 2:
            raise RuntimeError("not yet")
        return 5
    """
    first = notebooks()
    assert run(first, "r = flaky().result()", apps, load=load) == 5
    assert first.executed()["flaky"] == 2
    assert (first.last.run, first.last.failed) == (1, 0)
    second = notebooks()
    assert run(second, "r = flaky().result()", apps, load=load) == 5
    assert not second.executed()


def test_unseeded_draws_stay_apart(notebooks: Make) -> None:
    apps = "@python_app\ndef draw():\n    mark('draw')\n    return os.urandom(8)"
    source = "r = [f.result() for f in [draw() for _ in range(3)]]"
    values = run(notebooks(), source, apps)
    assert len(set(values)) == 3
    second = notebooks()
    assert run(second, source, apps) == values
    more = notebooks()
    assert len(set(run(more, source.replace("3", "4"), apps))) == 4
    assert more.executed()["draw"] == 1


def test_a_hit_starts_no_executor(notebooks: Make) -> None:
    """A kernel that only serves starts nothing; the first miss starts what it needs."""
    source = "r = [f.result() for f in [work(i) for i in range(2)]]"
    apps = APPS.replace("def helper(x):\n    return x + 1", "").replace(
        'mark("work")\n    return helper(x) * scale + K', "return x * scale"
    )
    before = children()
    run(notebooks(), source, apps, load=PROCESSES, serve=False)
    assert children() != before
    second = notebooks()
    assert children() == before
    assert run(second, source, apps, load=PROCESSES) == [0, 2]
    assert children() == before
    assert second.last.served == 2
    value = second.run("r = work(5).result()")
    assert (value.run, second.space["r"]) == (1, 10)
    assert children() != before


def test_a_look_at_the_executors_starts_them(notebooks: Make) -> None:
    before = children()
    notebook = notebooks()
    notebook.run(IMPORTS + PROCESSES)
    assert children() == before
    notebook.run("r = parsl.dfk().executors['htex'].outstanding")
    assert children() != before


def test_kernels_and_futures_come_back_from_their_recipes(notebooks: Make, tmp_path: Path) -> None:
    apps = """
    @python_app
    def double(x, outputs=()):
        for f in outputs:
            open(f.filepath, "w").write("out")
        return 2 * x
    """
    source = "f = double(21, outputs=[File('o.txt')])\nr = f.result()\nd = f.outputs[0]\nk = parsl.dfk()"
    first = notebooks()
    assert run(first, source, apps, load=PROCESSES, serve=False) == 42
    before = {name: described(first, name) for name in "kfd"}
    end()
    after = children()
    parsl_recipes().known.clear()
    second = notebooks()
    second.run(IMPORTS)
    kernel, future, data = (rebuilt(second, before[name]) for name in "kfd")
    assert future.done() and future.result() == 42
    assert data.result().filepath == "o.txt"
    assert isinstance(kernel, parsl.dataflow.dflow.DataFlowKernel)
    parsl.dataflow.dflow.DataFlowKernelLoader._dfk = kernel
    second.run(textwrap.dedent(apps))
    second.space["f"] = future
    second.run("r = double(21, outputs=[File('o.txt')]).result()")
    assert second.last.served == 1
    second.run("f0 = double(f).result()")
    assert second.space["f0"] == 84
    assert children() != after, "the first miss started its workers"


def parsl_recipes() -> Any:
    from nbrewind.engines.parsl import recipes

    return recipes


def described(notebook: Notebook, name: str) -> str:
    value = notebook.space[name]
    handle = next(h for cls, h in notebook.adapter.handles().items() if isinstance(value, cls))
    return json.dumps(handle(value))


def rebuilt(notebook: Notebook, text: str) -> Any:
    return notebook.adapter.rebuild(*json.loads(text))


def test_tasks_between_cells_are_left_alone(notebooks: Make) -> None:
    notebook = notebooks()
    run(notebook, "r = 0")
    assert notebook.space["work"](1).result() == 14
    assert notebook.context.counts.run == 0


def test_without_the_adapter_nothing_is_left(notebooks: Make, adapter: ParslAdapter) -> None:
    notebook = notebooks()
    run(notebook, "r = work(1).result()")
    adapter.uninstall()
    assert notebook.space["work"](2).result() == 16
    kernel = parsl.dataflow.dflow.DataFlowKernel
    assert kernel.submit.__module__ == "parsl.dataflow.dflow"
    assert "result" not in vars(parsl.dataflow.futures.AppFuture)
    assert parsl.dataflow.futures.AppFuture.result is Future.result
