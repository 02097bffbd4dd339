"""What an engine's adapter has to keep so that no task's result can be told from a run (docs/engines.md)."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from nbrewind.flow import environment
from nbrewind.tasks.adapter import EngineAdapter
from nbrewind.testing import enginecases as cases
from nbrewind.testing.notebook import Notebook
from nbrewind.testing.taskstore import MemoryTaskStore


class EngineConformance:
    """Subclass it in a test module, say how the engine is used, and let pytest collect it.

    Each test is two or more lives of a small notebook on one store.  Tasks count their own
    executions in files, so the log under test takes no part in the counting.
    """

    # -- what a subclass gives ----------------------------------------------------------------

    adapter: ClassVar[type[EngineAdapter]]
    start: ClassVar[str]
    """A cell that starts the engine and defines, in terms of its API as notebooks use it,

    ``submit(func, *args, **kwargs)``, which gives a handle of the task, and ``result(handle)``.
    """
    stop: ClassVar[str] = ""
    """A cell that ends the engine."""

    by_value: ClassVar[bool] = True
    """Whether functions without a name of their own (lambdas, closures) can be sent."""
    completed: ClassVar[bool] = False
    """Whether ``start`` defines ``completed(handles)``: handles in the order of completion."""
    chains: ClassVar[bool] = False
    """Whether a handle may be an argument of a task, also inside lists and dicts."""
    prints: ClassVar[bool] = False
    """Whether what tasks print appears in the notebook."""
    remote: ClassVar[bool] = True
    """Whether tasks run in other processes than the notebook's."""
    largest: ClassVar[int] = 32 << 20
    """Bytes of the large result."""
    wide: ClassVar[int] = 1000
    """Tasks of the wide cases."""

    # -- the lives ----------------------------------------------------------------------------

    @pytest.fixture(autouse=True)
    def _desk(self, tmp_path: Path) -> Iterator[None]:
        self.folder = tmp_path
        self.store = MemoryTaskStore()
        self.hooked = self.adapter()
        self.last: Notebook | None = None
        self.variables = dict(os.environ)
        here = Path.cwd()
        yield
        self.end()
        self.hooked.uninstall()
        os.chdir(here)
        os.environ.clear()
        os.environ.update(self.variables)

    def begin(self, functions: str = cases.FUNCTIONS) -> Notebook:
        """A new life: the engine started, the functions defined."""
        self.end()
        notebook = Notebook(self.folder, self.store, self.hooked)
        notebook.forget_counts()
        self.last = notebook
        notebook.run(textwrap.dedent(self.start))
        notebook.run(textwrap.dedent(functions))
        return notebook

    def end(self) -> None:
        """End the last life."""
        if self.last is not None and self.stop:
            self.last.run(textwrap.dedent(self.stop))
        self.last = None

    def life(self, source: str, functions: str = cases.FUNCTIONS, *, serve: bool = True) -> Any:
        """A whole life with one cell of tasks; gives what the cell left in ``r``."""
        notebook = self.begin(functions)
        notebook.run(textwrap.dedent(source), serve=serve)
        return notebook.space.get("r")

    @property
    def ran(self) -> Counter[str]:
        """Executions in the last life, by function."""
        assert self.last is not None
        return self.last.executed()

    def unchanged(self, source: str, functions: str = cases.FUNCTIONS) -> Any:
        """Two equal lives: the second runs nothing and gives the same."""
        value = self.life(source, functions)
        assert self.life(source, functions) == value
        assert not self.ran, "an unchanged task ran again"
        return value

    # -- edits of code ------------------------------------------------------------------------

    def test_an_unchanged_task_does_not_run(self) -> None:
        assert self.unchanged("r = result(submit(work, 1))") == 14
        assert self.last is not None
        assert (self.last.last.served, self.last.last.run, self.last.last.failed) == (1, 0, 0)

    @pytest.mark.parametrize(("before", "after", "runs"), cases.EDITS.values(), ids=cases.EDITS)
    def test_edits_of_code(self, before: str, after: str, runs: bool) -> None:
        source = "r = [result(h) for h in [submit(work, i) for i in range(2)]]"
        self.life(source)
        edited = cases.FUNCTIONS.replace(before, after)
        assert edited != cases.FUNCTIONS
        value = self.life(source, edited)
        assert self.ran["work"] == (2 if runs else 0)
        assert self.last is not None
        assert repr(value) == repr([self.last.space["work"](i) for i in range(2)])

    def test_a_captured_container(self) -> None:
        source = "r = result(submit(lookup, 1))"
        assert self.unchanged(source) == (1, 2)
        assert self.life("TABLE['a'].append(5)\n" + source) == (1, 5)
        assert self.ran["lookup"] == 1

    def test_a_default_that_is_set_afterwards(self) -> None:
        source = "r = result(submit(work, 1))"
        self.life(source)
        assert self.life("work.__defaults__ = (4,)\n" + source) == 18

    def test_closures(self) -> None:
        self._by_value()
        make = (
            "def make(n):\n    def inner(x):\n        mark('inner')\n        return x + n\n    return inner\n"
        )
        assert self.unchanged(make + "r = result(submit(make(5), 1))") == 6
        assert self.life(make + "r = result(submit(make(6), 1))") == 7
        assert self.ran == {"inner": 1}

    def test_lambdas(self) -> None:
        self._by_value()
        assert self.unchanged("r = result(submit(lambda x: (mark('l'), x + K)[1], 1))") == 11
        assert self.life("r = result(submit(lambda x: (mark('l'), x - K)[1], 1))") == -9
        assert self.ran == {"l": 1}

    def test_bound_methods_see_state_and_class(self) -> None:
        source = "r = result(submit(Model(2).predict, 5))"
        assert self.unchanged(source) == 30
        assert self.life(source.replace("Model(2)", "Model(4)")) == 60
        for before, after in (("factor = 3", "factor = 5"), ("self.a * x", "self.a * x * x")):
            self.life(source, cases.FUNCTIONS.replace(before, after))
            assert self.ran == {"predict": 1}, after

    def test_partials(self) -> None:
        source = "from functools import partial\nr = result(submit(partial(work, shift=1), 1))"
        assert self.unchanged(source) == 15
        assert self.life(source.replace("shift=1", "shift=2")) == 16
        assert self.ran == {"work": 1}

    def test_a_local_module(self) -> None:
        module = self.folder / "conformance_helper.py"
        source = f"r = result(submit(imports, {str(self.folder)!r}))"
        sys.path.insert(0, str(self.folder))
        try:
            for body, runs in (("1", 1), ("1", 0), ("2", 1)):
                module.write_text(f"def value():\n    return {body}\n")
                sys.modules.pop("conformance_helper", None)
                assert self.life(source) == int(body)
                assert self.ran["imports"] == runs
        finally:
            sys.path.remove(str(self.folder))
            sys.modules.pop("conformance_helper", None)

    @pytest.mark.parametrize(
        "named", ["import packaging\n", "    import packaging\n"], ids=["global", "inside"]
    )
    def test_versions_of_packages_count_by_their_rule(
        self, named: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """R13: by default the same major and minor numbers of the packages that the task names."""
        body = "    mark('versioned')\n    return len(packaging.__name__) + x\n"
        head = "def versioned(x):\n"
        functions = cases.FUNCTIONS + (head + named if named[0] == " " else named + head) + body
        source = "r = result(submit(versioned, 1))"
        with_versions(monkeypatch, versions := {"packaging": ""})
        for step in ("24.1 runs", "24.1", "24.1.2", "25.0 runs", "24.1"):
            versions["packaging"], _, runs = step.partition(" ")
            assert self.life(source, functions) == 10
            assert self.ran["versioned"] == bool(runs), step
        versions["packaging"] = "26.0"
        notebook = self.begin(functions)
        notebook.context.package_holds = lambda name, recorded: True
        notebook.run(source)
        assert not self.ran

    def test_versions_behind_results_count(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who gets a function of a package from another task names the package nowhere."""
        if not self.chains:
            pytest.skip("the engine takes no handles as arguments")
        functions = cases.FUNCTIONS + textwrap.dedent("""
            import packaging.version
            def give():
                mark('give')
                return packaging.version.parse
            def call(function, text):
                mark('call')
                return str(function(text))
        """)
        source = "r = result(submit(call, submit(give), '1'))"
        with_versions(monkeypatch, versions := {"packaging": ""})
        for versions["packaging"], runs in (("24.1", 1), ("24.1", 0), ("25.0", 1), ("24.1", 0)):
            assert self.life(source, functions) == "1"
            assert [self.ran["give"], self.ran["call"]] == [runs, runs], versions

    # -- arguments ----------------------------------------------------------------------------

    @pytest.mark.parametrize(("before", "after"), cases.DIFFERENT.values(), ids=cases.DIFFERENT)
    def test_arguments_that_are_not_the_same(self, before: str, after: str) -> None:
        self.life(f"r = result(submit(show, {before}))")
        assert self.life(f"r = result(submit(show, {after}))") == repr(eval(after))
        assert self.ran["show"] == 1

    @pytest.mark.parametrize(("before", "after"), cases.SAME.values(), ids=cases.SAME)
    def test_arguments_that_are_the_same(self, before: str, after: str) -> None:
        self.life(f"r = result(submit(show, {before}))")
        self.life(f"r = result(submit(show, {after}))")
        assert not self.ran

    @pytest.mark.parametrize(("before", "after", "runs"), cases.ARRAYS.values(), ids=cases.ARRAYS)
    def test_arrays(self, before: str, after: str, runs: bool | None) -> None:
        np = pytest.importorskip("numpy")
        source = "import numpy as np\nr = result(submit(show, {}))"
        self.life(source.format(before))
        assert self.life(source.format(after)) == repr(eval(after, {"np": np}))
        assert runs is None or self.ran["show"] == int(runs)

    def test_keywords(self) -> None:
        assert self.unchanged("r = result(submit(work, 1, scale=7))") == 24
        assert self.life("r = result(submit(work, 1, scale=8))") == 26
        assert self.ran == {"work": 1}

    def test_an_argument_that_is_changed_after_its_task(self) -> None:
        source = "x = [1]\na = result(submit(show, x))\nx.append(2)\nr = (a, result(submit(show, x)))"
        assert self.unchanged(source) == ("[1]", "[1, 2]")

    def test_an_argument_without_content_just_runs(self) -> None:
        source = "try:\n    r = result(submit(show, (i for i in ())))\nexcept Exception as e:\n    r = e"
        kind = type(self.life(source, serve=False))
        assert type(self.life(source)) is kind
        assert self.last is not None
        assert self.last.last.served == 0

    def test_sets_under_another_hash_seed(self) -> None:
        # Under the seed of our kernels, 0, sets count in the order in which they iterate.
        assert _key_elsewhere("1") == _key_elsewhere("2")
        assert _key_elsewhere("0") == _key_elsewhere("0")

    # -- files, variables, the working folder --------------------------------------------------

    def test_an_input_file(self) -> None:
        path = self.folder / "in.txt"
        path.write_text("1")
        source = f"r = result(submit(read, {str(path)!r}))"
        assert self.unchanged(source) == "1"
        os.utime(path, (1, 1))
        assert self.life(source) == "1"
        assert not self.ran, "a touched file is no other file"
        path.write_text("2")
        assert self.life(source) == "2"
        path.write_text("1")
        assert self.life(source) == "1"
        assert not self.ran, "going back is a hit too"

    def test_a_renamed_input_file(self) -> None:
        (self.folder / "in.txt").write_text("1")
        self.life(f"r = result(submit(read, {str(self.folder / 'in.txt')!r}))")
        (self.folder / "in.txt").rename(self.folder / "other.txt")
        assert self.life(f"r = result(submit(read, {str(self.folder / 'other.txt')!r}))") == "1"
        assert self.ran == {"read": 1}

    def test_an_input_file_that_is_gone(self) -> None:
        path = self.folder / "in.txt"
        path.write_text("1")
        source = f"try:\n    r = result(submit(read, {str(path)!r}))\nexcept Exception as e:\n    r = 'none'"
        assert self.life(source) == "1"
        path.unlink()
        assert self.life(source) == "none"

    def test_a_folder_that_is_listed(self) -> None:
        folder = self.folder / "data"
        folder.mkdir()
        (folder / "a").touch()
        source = f"r = result(submit(listed, {str(folder)!r}))"
        assert self.unchanged(source) == ["a"]
        (folder / "b").touch()
        assert self.life(source) == ["a", "b"]

    def test_output_files_come_back(self) -> None:
        path = self.folder / "out.txt"
        source = f"r = result(submit(write, {str(path)!r}, 'hello'))"
        self.life(source)
        for spoil in (path.unlink, lambda: path.write_text("something else")):
            spoil()
            self.life(source)
            assert not self.ran
            assert path.read_text() == "hello"

    def test_a_file_that_is_only_appended_to_is_not_written_again(self) -> None:
        path = self.folder / "log.txt"
        source = f"r = result(submit(note, {str(path)!r}, 'line'))"
        self.unchanged(source)
        assert path.read_text() == "line"

    def test_an_output_that_is_the_next_task_s_input(self) -> None:
        path = self.folder / "mid.txt"
        source = (
            f"submitted = result(submit(write, {str(path)!r}, TEXT))\nr = result(submit(read, submitted))"
        )
        assert self.unchanged("TEXT = 'a'\n" + source) == "a"
        assert self.life("TEXT = 'b'\n" + source) == "b"
        assert self.ran == {"write": 1, "read": 1}

    def test_variables_of_the_environment(self) -> None:
        source = "r = result(submit(variable, 'CONFORMANCE_OF_TASKS'))"
        os.environ["CONFORMANCE_OF_TASKS"] = "1"
        assert self.unchanged(source) in ("1", None)
        os.environ["CONFORMANCE_OF_TASKS"] = "2"
        value = self.life(source)
        assert self.ran == {"variable": 1}
        assert value == self.life(source, serve=False), "as the engine gives it without a log"

    def test_the_working_folder(self) -> None:
        for name in ("a", "b"):
            (self.folder / name).mkdir()
            (self.folder / name / "in.txt").write_text(name)
        source = "r = result(submit(os.path.abspath, 'in.txt'))"
        found = []
        for name in ("a", "b"):
            os.chdir(self.folder / name)
            found.append((self.life(source), self.life(source, serve=False)))
        assert all(one == other for one, other in found)

    # -- equal tasks, random tasks -------------------------------------------------------------

    def test_duplicates(self) -> None:
        assert self.unchanged("r = [result(h) for h in [submit(work, 1), submit(work, 1)]]") == [14, 14]

    def test_draws_stay_apart(self) -> None:
        source = "r = [result(h) for h in [submit(draw) for _ in range(3)]]"
        values = self.unchanged(source)
        assert len(set(values)) == 3
        more = self.life(source.replace("range(3)", "range(4)"))
        assert more[:3] == values
        assert len(set(more)) == 4
        assert self.ran == {"draw": 1}

    def test_results_are_objects_of_their_own(self) -> None:
        source = (
            "a, b = [result(h) for h in [submit(list, (1,)), submit(list, (1,))]]\na.append(2)\nr = (a, b)"
        )
        assert self.unchanged(source) == ([1, 2], [1])

    # -- results -------------------------------------------------------------------------------

    def test_none_is_a_result(self) -> None:
        assert self.unchanged("r = (result(submit(nothing, 1)), 'end')") == (None, "end")

    def test_instances_are_of_the_notebook_s_class(self) -> None:
        assert self.unchanged("p = result(submit(point, 4))\nr = (type(p) is Point, p.v)") == (True, 4)

    def test_a_large_result(self) -> None:
        assert self.unchanged(f"r = len(result(submit(big, {self.largest})))") == self.largest

    def test_damaged_objects_are_misses(self) -> None:
        source = "r = result(submit(work, 1))"
        self.life(source)
        self.store.objects.clear()
        assert self.life(source) == 14
        assert self.ran == {"work": 1}

    def test_what_tasks_print(self, capfd: pytest.CaptureFixture[str]) -> None:
        source = "r = result(submit(talk, 7))"
        self.life(source)
        entries = [e for found in self.store.entries.values() for e in found if e.name == "talk"]
        assert [e.stdout for e in entries] == ["task says 7\n"]
        capfd.readouterr()
        self.life(source)
        assert not self.ran
        if self.prints:
            assert capfd.readouterr().out.count("task says 7") == 1

    def test_what_an_entry_tells(self) -> None:
        self.life("r = result(submit(work, 1))")
        entry = next(e for found in self.store.entries.values() for e in found if e.name == "work")
        assert entry.seconds > 0 and entry.memory > 1 << 20 and entry.worker and entry.created
        assert entry.engine == self.adapter.name

    # -- failures ------------------------------------------------------------------------------

    CAUGHT = """
    r = []
    for x in (1, 0, 4):
        try:
            r.append(result(submit(inverse, x)))
        except Exception as error:
            r.append(type(error).__name__)
    """

    def test_a_task_that_raises_runs_again(self) -> None:
        value = self.life(self.CAUGHT)
        assert value[::2] == [1, 0.25]
        assert self.last is not None
        assert self.last.last.failed == 1
        assert self.life(self.CAUGHT) == value
        assert self.ran["inverse"] >= 1
        assert (self.last.last.served, self.last.last.run) == (2, 1)

    def test_a_failure_that_is_mended(self) -> None:
        path = self.folder / "in.txt"
        source = f"try:\n    r = result(submit(read, {str(path)!r}))\nexcept Exception as e:\n    r = 'none'"
        assert self.life(source) == "none"
        path.write_text("here")
        assert self.life(source) == "here"
        assert self.unchanged(source) == "here"

    # -- many ----------------------------------------------------------------------------------

    def test_three_of_many_changed(self) -> None:
        source = "r = [result(h) for h in [submit(work, x) for x in XS]]"
        self.life(f"XS = list(range({self.wide}))\n" + source)
        xs = f"XS = list(range({self.wide}))\nXS[7], XS[{self.wide // 2}], XS[-1] = 5000, 6000, 7000\n"
        value = self.life(xs + source)
        assert (value[7], value[self.wide // 2], value[-1]) == (10012, 12012, 14012)
        assert self.ran == {"work": 3}

    def test_a_wide_fan_in(self) -> None:
        source = (
            f"r = result(submit(total, [result(h) for h in [submit(load, i) for i in range({self.wide})]]))"
        )
        if self.chains:
            source = f"r = result(submit(total, [submit(load, i) for i in range({self.wide})]))"
        assert self.unchanged(source) == sum(range(self.wide))

    def test_early_cutoff(self) -> None:
        source = "r = result(submit(fit, result(submit(clean, result(submit(load, {}))))))"
        if self.chains:
            source = "r = result(submit(fit, submit(clean, submit(load, {}))))"
        assert self.unchanged(source.format(12)) == 2
        assert self.life(source.format(13)) == 2
        assert self.ran == {"load": 1, "clean": 1}
        assert self.life(source.format(25)) == 3
        assert self.ran == {"load": 1, "clean": 1, "fit": 1}

    def test_handles_inside_containers(self) -> None:
        if not self.chains:
            pytest.skip("the engine takes no handles as arguments")
        source = "r = result(submit(total, [submit(load, 1), submit(load, {})]))"
        assert self.unchanged(source.format(2)) == 3
        assert self.life(source.format(5)) == 6
        assert self.ran == {"load": 1, "total": 1}

    def test_order_of_completion(self) -> None:
        if not self.completed:
            pytest.skip("the engine tells no order of completion")
        slow = "def slow(x):\n    mark('slow')\n    time.sleep(0.3 if x == 0 else 0.01 * x)\n    return x\n"
        source = "r = [result(h) for h in completed([submit(slow, x) for x in range(3)])]"
        order = self.life(source, cases.FUNCTIONS + slow)
        assert sorted(order) == [0, 1, 2]
        assert self.life(source, cases.FUNCTIONS + slow) == order
        assert not self.ran

    # -- the log's own manners -----------------------------------------------------------------

    def test_an_audit_runs_everything(self) -> None:
        source = "r = result(submit(work, 1))"
        for _ in range(2):
            assert self.life(source, serve=False) == 14
            assert self.ran == {"work": 1}

    def test_tasks_between_cells_are_left_alone(self) -> None:
        notebook = self.begin()
        notebook.run("def between():\n    return result(submit(work, 1))")
        before = sys.modules["__main__"]
        sys.modules["__main__"] = notebook.module
        try:
            assert notebook.space["between"]() == 14
        finally:
            sys.modules["__main__"] = before
        assert self.life("r = result(submit(work, 1))") == 14
        assert self.ran == {"work": 1}

    def test_an_uninstalled_adapter_leaves_no_trace(self) -> None:
        self.life("r = result(submit(work, 1))")
        notebook = self.begin()
        self.hooked.uninstall()
        sys.modules["__main__"], before = notebook.module, sys.modules["__main__"]
        try:
            exec("r = result(submit(work, 1))", notebook.space)
        finally:
            sys.modules["__main__"] = before
        assert notebook.space["r"] == 14
        assert self.ran == {"work": 1}

    def test_planning_sees_what_changed(self) -> None:
        path = self.folder / "in.txt"
        path.write_text("1")
        notebook = self.begin()
        notebook.run(f"r = result(submit(read, {str(path)!r}))")
        assert notebook.context.holds(notebook.keys) == ([], [])
        path.write_text("2")
        assert notebook.context.holds(notebook.keys) == (["in.txt"], [])
        self.store.objects.clear()
        assert notebook.context.holds(notebook.keys)[1]

    def _by_value(self) -> None:
        if not self.by_value:
            pytest.skip("the engine sends functions by name only")


def with_versions(monkeypatch: pytest.MonkeyPatch, versions: Mapping[str, str]) -> None:
    """Let packages seem to be installed in these versions, as they are when somebody asks."""
    installed = environment.installed_version
    monkeypatch.setattr(
        environment, "installed_version", lambda name: versions[name] if name in versions else installed(name)
    )


def _key_elsewhere(seed: str) -> str:
    """The key of a task with sets of texts, in a process with another hash seed."""
    source = (
        "from nbrewind.tasks import TaskContext\n"
        "from nbrewind.testing.taskstore import MemoryTaskStore\n"
        "print(TaskContext(MemoryTaskStore(), '.').identify(len, ({'a', 'b', 'c', 'd'}, frozenset('xyz')))),"
    )
    environment = {
        **os.environ,
        "PYTHONHASHSEED": seed,
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
    }
    found = subprocess.run(
        [sys.executable, "-c", source], env=environment, capture_output=True, text=True, check=True
    )
    return found.stdout
