"""``%load_ext nbrewind`` in a plain kernel: what it records is restored by the repeat kernel, and never wrongly."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import nbformat
import papermill
import pytest
from nbclient import NotebookClient

from support.kernels import House, Kernel, Ran
from support.notebooks import Edit, Lab, Notebook

pytestmark = pytest.mark.real_kernel


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with House() as house:
        yield house


@pytest.fixture
def lab(house: House, tmp_path: Path) -> Lab:
    return Lab(house, tmp_path.resolve(), auditor="extension")


def test_an_unchanged_notebook_is_restored_with_its_outputs(lab: Lab) -> None:
    notebook = Notebook(
        [
            "import sys\na = [1, 2]\nb = a\nprint('out'); print('err', file=sys.stderr)",
            "b.append(3)\na",
            "from IPython.display import HTML, display\nh = display(HTML('<b>x</b>'), display_id='d')\nh.update(HTML('y'))",
            "with open('made.txt', 'w') as f:\n    print(len(a), file=f)",
            "(_, Out[2], open('made.txt').read())",
            "1 / 0",
        ]
    )
    result = lab.check(notebook, skip=range(6))
    assert result.actions[:5] == ["restored"] * 5 and result.actions[5] == "replayed"


TRICKY: Mapping[str, tuple[list[str], Edit, list[int]]] = {
    "eval of a computed string": (["k = 1", "s = 'k + ' + '1'", "r = eval(s)"], {0: "k = 5"}, [2]),
    "exec that binds": (["k = 1", "s = 'y = k'", "exec(s)", "z = y"], {0: "k = 5"}, [2, 3]),
    "globals by a computed key": (["k = 1", "r = globals()['k' + '']"], {0: "k = 5"}, [1]),
    "a frame": (
        ["k = 1", "import sys\ndef f():\n    return sys._getframe(1).f_globals['k']", "r = f()"],
        {0: "k = 5"},
        [2],
    ),
    "__main__": (["k = 1", "import __main__ as m", "r = getattr(m, 'k')"], {0: "k = 5"}, [2]),
    "a module that the table gives": (
        ["k = 1", "import sys\nm = sys.modules['__main__']", "r = m.k"],
        {0: "k = 5"},
        [2],
    ),
    "a global of a function": (["k = 1", "def f(): return k", "r = f()"], {0: "k = 5"}, [2]),
    "functions in a container": (
        ["k = 1", "def f(): return k", "d = {'a': [f]}\ndel f", "r = d['a'][0]()"],
        {0: "k = 5"},
        [3],
    ),
    "a closure": (
        ["k = 1", "def make():\n    def inner(): return k\n    return inner", "g = make()", "r = g()"],
        {0: "k = 5"},
        [3],
    ),
    "a method": (
        ["k = 1", "class C:\n    def m(self): return k", "c = C()\ndel C", "r = c.m()"],
        {0: "k = 5"},
        [3],
    ),
    "a method that the display calls": (
        ["k = 1", "class C:\n    def __repr__(self): return str(k)", "c = C()", "c"],
        {0: "k = 5"},
        [3],
    ),
    "a generator": (
        ["k = 1", "def g():\n    while True: yield k", "it = g()", "r = next(it)"],
        {0: "k = 5"},
        [3],
    ),
    "a function in an array": (
        ["k = 1", "import numpy as np", "a = np.array([lambda: k, None], dtype=object)", "r = a[0]()"],
        {0: "k = 5"},
        [3],
    ),
    "a callback in a library": (
        ["k = 1", "import json\njson.JSONEncoder.default = lambda self, o: k", "r = json.dumps(object())"],
        {0: "k = 5"},
        [2],
    ),
    "a callback that has a name too": (
        [
            "k = 1",
            "import json\ndef default(self, o): return k",
            "json.JSONEncoder.default = default",
            "r = json.dumps(object())",
        ],
        {0: "k = 5"},
        [3],
    ),
    "a weak registry": (
        [
            "k = 1\nclass Signal:\n    pass",
            "import logging, weakref\nclass Source:\n    def value(self): return k\nsource = Source()",
            "logging.lookup = weakref.WeakMethod(source.value)",
            "r = logging.lookup()()",
        ],
        {0: "k = 5\nclass Signal:\n    pass"},
        [3],
    ),
    "a task of another cell": (
        [
            "k = 1\na = []",
            "import asyncio\nasync def work():\n    await asyncio.sleep(0)\n    a.append(k)\n    await asyncio.sleep(60)",
            "t = asyncio.create_task(work())",
            "await asyncio.sleep(0.05)\nn = list(a)",
            "t.cancel();",
        ],
        {0: "k = 5\na = []"},
        [3],
    ),
    "a thread of another cell": (
        [
            "k = 1\na = []",
            "import threading\ngo = threading.Event()\ndef work():\n    go.wait(20)\n    a.append(k)",
            "t = threading.Thread(target=work)\nt.start()",
            "go.set(); n = [a.extend(()) for i in range(3)]\nimport time\nwhile not a: time.sleep(0.01)\nn = list(a)",
        ],
        {0: "k = 5\na = []"},
        [3],
    ),
    "a registry of a library": (
        [
            "k = 1",
            "import pandas as pd\n@pd.api.extensions.register_series_accessor('mine')\nclass A:\n"
            "    def __init__(self, o): pass\n    def k(self): return k",
            "s = pd.Series([1])",
            "r = s.mine.k()",
        ],
        {0: "k = 5"},
        [3],
    ),
    "a magic of the notebook": (
        [
            "k = 1",
            "from IPython.core.magic import register_line_magic\n@register_line_magic\ndef mine(line): return k",
            "r = %mine",
        ],
        {0: "k = 5"},
        [2],
    ),
    "an object behind another name": (
        ["a = [1]", "d = {'x': a}", "d['x'].append(2)", "r = len(a)"],
        {2: "d['x'] += [2, 3]"},
        [2, 3],
    ),
    "a list changed by a function": (
        ["a = [1]", "def add(v): a.append(v)", "add(2)", "r = sum(a)"],
        {2: "add(5)"},
        [2, 3],
    ),
    "a global bound by a function": (
        ["n = 0", "def tick():\n    global n\n    n += 1", "tick()", "r = n"],
        {2: "tick(); tick()"},
        [2, 3],
    ),
    "bound to what it was": (["x = 5", "x = 5", "y = x"], {0: "x = 7"}, []),
    "bound in one branch only": (
        ["c = False\nx = 1", "if c:\n    x = 2", "y = x"],
        {0: "c = False\nx = 3"},
        [1, 2],
    ),
    "bound before an error only": (
        ["x = 1", "try:\n    1 / 0\n    x = 1\nexcept ZeroDivisionError: pass", "y = x"],
        {0: "x = 3"},
        [1, 2],
    ),
    "names of a star import": (["pi = 3", "from math import *", "r = pi"], {0: "pi = 4"}, []),
    "a string that the shell expands": (["w = 'a'", "x = !echo {w} $w"], {0: "w = 'b'"}, [1]),
    "code behind a magic": (["k = 1", "%time r = k", "%%capture c\nprint(k)"], {0: "k = 5"}, [1, 2]),
    "a variable called eval": (["k = 1", "def eval(s): return k", "r = eval('2')"], {0: "k = 5"}, [2]),
    "a class of a pickle": (
        [
            "class C:\n    n = 1",
            "import pickle\ndata = pickle.dumps(C())",
            "r = pickle.loads(data).n",
        ],
        {0: "class C:\n    n = 2"},
        [2],
    ),
    "eval by another name": (["k = 1", "ev = eval", "r = ev('k + 0')"], {0: "k = 5"}, [2]),
    "a module by another name": (
        ["class C:\n    n = 1", "import pickle as p\ndata = p.dumps(C())", "r = p.loads(data).n"],
        {0: "class C:\n    n = 2"},
        [2],
    ),
    "a function of a module by another name": (
        [
            "k = 1",
            "from sys import _getframe as frame",
            "r = frame(0).f_back and k",
            "def f(): return frame(1)",
            "r = f()",
        ],
        {0: "k = 5"},
        [2, 4],
    ),
    "a string annotation": (
        [
            "import typing\nKind = typing.ClassVar[int]",
            "from dataclasses import dataclass, fields\n@dataclass\nclass D:\n    a: 'Kind' = 1",
            "r = len(fields(D))",
        ],
        {0: "import typing\nKind = int"},
        [1],
    ),
    "a subclass that nobody names": (
        [
            "class B: pass",
            "k = 1",
            "def hide():\n    class S(B):\n        def m(self): return k\n    B.kept = [S]",
            "hide()",
            "r = B.__subclasses__()[0]().m()",
        ],
        {1: "k = 5"},
        [4],
    ),
    "absent, then there": (
        ["z = 1", "try:\n    r = k\nexcept NameError:\n    r = 0"],
        {0: "z = 1\nk = 5"},
        [1],
    ),
    "a builtin shadowed": (["z = 1", "r = len('abc')"], {0: "z = 1\nlen = lambda s: 9"}, [1]),
}


@pytest.mark.parametrize("name", TRICKY)
def test_what_hides_from_the_text_is_not_restored_wrongly(lab: Lab, name: str) -> None:
    cells, edit, execute = TRICKY[name]
    notebook = Notebook(cells)
    lab.audit(notebook)
    result = lab.repeat(notebook, edit)
    assert result.problems(execute=execute) == [], result.actions


def test_precise_where_the_text_is_plain(lab: Lab) -> None:
    cells = [
        "k = 2\nu = 0",
        "def f(v): return v * k",
        "import math\nlabels = {'a': 1}",
        "n = 0\nfor i in range(3):\n    n += i\nn",
        "r = f(10)",
        "def g(v): return v + 1",
        "s = [g(v) for v in labels.values()]",
    ]
    lab.check(Notebook(cells), {0: "k = 3\nu = 0"}, skip=[1, 2, 3, 5, 6], execute=[0, 4])


def test_records_say_that_they_are_static(lab: Lab) -> None:
    notebook = Notebook(["k = 1", "r = eval('k' + '')"])
    lab.audit(notebook)
    from nbrewind.store import Store

    store = Store.open(lab.folder / ".nbrewind", readonly=True)
    try:
        [run] = store.runs()
        records = [store.record(commit.record) for commit in store.commits(run.id)]
    finally:
        store.close()
    assert run.mode == "extension" and all("static" in record.flags for record in records)
    assert records[1].notes == ("counts as reading every name: it uses eval",)


@pytest.mark.parametrize("cell_id", ["c1", "unknown"])
def test_tags_count(house: House, tmp_path: Path, cell_id: str) -> None:
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("secret = 'hidden' * 2\nprint(secret)", id="c1")]
    )
    notebook.cells[0].metadata["tags"] = ["nbrewind:never"]
    nbformat.write(notebook, tmp_path / "notebook.ipynb")

    async def main() -> None:
        kernel = await Kernel.start(house, "extension", tmp_path)
        try:
            await kernel.run_cell(notebook.cells[0].source, 0, cell_id=cell_id)
            await kernel.shutdown()
        finally:
            await kernel.close()

    asyncio.run(main())
    stored = [path for path in (tmp_path / ".nbrewind").rglob("*") if path.is_file()]
    assert stored and not any(b"hiddenhidden" in path.read_bytes() for path in stored)


def live(house: House, folder: Path, cells: list[str], *, seed: str = "") -> list[Ran]:
    """Cells in a plain kernel that loads the extension only where they do; ``seed`` is its hash seed."""

    async def main() -> list[Ran]:
        env = {"NBREWIND_STORE": str(folder / ".nbrewind")} | ({"PYTHONHASHSEED": seed} if seed else {})
        # A process of its own: forked ones end without the interpreter's exit, in which the store is written.
        kernel = await Kernel.start(house, "plain", folder, env=env, fresh=True)
        try:
            runs = [await kernel.run_cell(source, index) for index, source in enumerate(cells)]
            await kernel.shutdown()
        finally:
            await kernel.close()
        return runs

    return asyncio.run(main())


def text(run: Ran) -> str:
    """What a cell printed."""
    return "".join(m["content"].get("text", "") for m in run.messages if m["msg_type"] == "stream")


def test_loaded_by_a_cell(lab: Lab, house: House) -> None:
    lab.folder.mkdir(parents=True)
    cells = ["before = [1]", "%load_ext nbrewind\nbeside = 2", "x = len(before) + beside\nx", "y = x * 2"]
    runs = live(house, lab.folder, [*cells, "%rewind status", "%rewind log", "%rewind to abc"])
    assert "recorded in" in text(runs[1]) and "cells: 2" in text(runs[4])
    assert "static" in text(runs[4]) and "y = x * 2" in text(runs[5])
    assert "needs the repeat kernel" in text(runs[6]) or "needs the repeat kernel" in runs[6].evalue
    repeat = lab.run("repeat", [(f"c{i}", source) for i, source in enumerate(cells)], expect=["y == 6"])
    assert repeat.untrue == [] and repeat.actions == ["executed", "executed", "restored", "restored"]
    assert "records its cells by itself" in text(repeat.runs[1])
    again = lab.run("repeat", [(f"c{i}", source) for i, source in enumerate(cells)], expect=["y == 6"])
    assert again.actions == ["restored"] * 4


def test_a_helper_imported_before_loading_counts(lab: Lab, house: House) -> None:
    lab.folder.mkdir(parents=True)
    helper = lab.folder / "helper.py"
    helper.write_text("def f(): return 1\n")
    cells = ["import helper", "%load_ext nbrewind", "x = helper.f()"]
    live(house, lab.folder, cells)
    helper.write_text("def f(): return 2\n\n")
    repeat = lab.run("repeat", [(f"c{i}", source) for i, source in enumerate(cells)], expect=["x == 2"])
    assert repeat.untrue == [] and repeat.actions[2] == "executed"


LOOK = """\
import sys, os, random, IPython
shell = get_ipython()
def look():
    ours = lambda f: str(getattr(f, '__module__', '')).startswith('nbrewind')
    found = [f for fs in shell.events.callbacks.values() for f in fs if ours(f)]
    found += [type(f).__name__ for f in sys.meta_path if ours(type(f))]
    found += [n for n in ('stat', 'lstat', 'access') if hasattr(getattr(os, n), '__wrapped__')]
    found += [n for n in ('seed', 'getstate', 'setstate') if type(getattr(random, n)).__name__ != 'method']
    found += [n for n in ('__getitem__', '__setitem__') if ours(getattr(type(os.environ), n))]
    found += [n for n in ('rewind', 'audit') if n in shell.magics_manager.magics['line']]
    found += ['send'] * ('send' in vars(shell.kernel.session))
    found += ['hook'] * ('update_user_ns' in vars(shell.displayhook))
    found += [n for n in os.listdir('/proc/self/fd') if 'inotify' in os.path.realpath('/proc/self/fd/' + n)]
    return found
"""


def test_unloading_takes_everything_out_and_loading_again_works(lab: Lab, house: House) -> None:
    lab.folder.mkdir(parents=True)
    cells = [LOOK, "len(look())", "%load_ext nbrewind", "len(look()) > 8", "%unload_ext nbrewind", "look()"]
    runs = live(house, lab.folder, [*cells, "a = 1\na", "%load_ext nbrewind", "b = 2", "%rewind status"])
    shown = [
        m["content"]["data"]["text/plain"]
        for r in runs
        for m in r.messages
        if m["msg_type"] == "execute_result"
    ]
    assert shown == ["0", "True", "[]", "1"]
    assert "cells: 1" in text(runs[-1])


def test_what_changes_between_cells_is_no_cells_doing(house: House, tmp_path: Path) -> None:
    async def main() -> tuple[list[str], str]:
        env = {"NBREWIND_STORE": str(tmp_path / ".nbrewind")}
        kernel = await Kernel.start(house, "extension", tmp_path, env=env)
        try:
            await kernel.run_cell("a = [1]\nb = [1]", 0)
            await kernel.execute("a.append(2)", silent=True)
            await kernel.run_cell("n = sum(a)", 1)
            await kernel.execute("a.append(2)", silent=True)
            seen = await kernel.run_cell("m = sum(b)", 2)
            await kernel.shutdown()
        finally:
            await kernel.close()
        repeat = await Kernel.start(house, "repeat", tmp_path, env=env)
        try:
            cells = ["a = [1]\nb = [1]", "n = sum(a)", "m = sum(b)"]
            actions = [(await repeat.run_cell(source, i)).action for i, source in enumerate(cells)]
            assert await repeat.holds("(a, n, m) == ([1], 1, 1)") == ""
        finally:
            await repeat.close()
        return actions, text(seen)

    actions, said = asyncio.run(main())
    assert actions == ["restored", "executed", "executed"]
    assert "not restored: it changes a in a way that its code does not show" in said


def test_set_order_of_another_process_is_not_restored(house: House, tmp_path: Path) -> None:
    cells = [
        "words = 'to be or not to be'.split()",
        "order = list(set(words))",
        "ok = order == list(set(words))",
    ]
    runs = live(house, tmp_path, ["%load_ext nbrewind", *cells], seed="7")
    assert "hash seed" in text(runs[2]) and "hash seed" not in text(runs[1])
    repeat = Lab(house, tmp_path).run(
        "repeat", [(f"c{i}", s) for i, s in enumerate(cells)], folder=tmp_path, expect=["ok"]
    )
    assert repeat.untrue == [] and repeat.actions == ["restored", "executed", "executed"]


@pytest.mark.parametrize("runner", ["nbclient", "papermill"])
def test_an_ordinary_run_then_the_command_line(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runner: str
) -> None:
    """Nobody tells the kernel the notebook's path; the repeat finds the start world all the same (R6)."""
    cells = [
        "%load_ext nbrewind",
        "import os\nseen = os.path.exists('log.txt')",
        "with open('log.txt', 'a') as f:\n    print('line', file=f)",
        "(seen, open('log.txt').read())",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    path = tmp_path.resolve() / "n.ipynb"
    nbformat.write(notebook, path)
    for name, value in house.environment().items():
        monkeypatch.setenv(name, value)
    if runner == "nbclient":
        NotebookClient(
            notebook, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
        ).execute()
        nbformat.write(notebook, path)
    else:
        papermill.execute_notebook(
            str(path), str(path), kernel_name="python3", cwd=str(tmp_path), progress_bar=False
        )
    found = subprocess.run(
        [sys.executable, "-m", "nbrewind", "repeat", str(path), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert [cell["action"] for cell in json.loads(found.stdout)["cells"]] == ["executed"] + ["restored"] * 3
    [output] = nbformat.read(path, as_version=4).cells[3].outputs
    assert output["data"]["text/plain"] == "(False, 'line\\n')"
    assert (tmp_path / "log.txt").read_text() == "line\n"


def test_without_a_kernel_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell()
    try:
        shell.extension_manager.load_extension("nbrewind")
        assert "needs a Jupyter kernel" in capsys.readouterr().out
        assert shell.extension_manager.unload_extension("nbrewind") is None
    finally:
        shell.history_manager.end_session()
