"""The real TaskVine: a manager, a worker, and tasks of every kind.  Run by ``make test-taskvine``."""

from __future__ import annotations

import os
import textwrap
from typing import Any

import pytest

pytest.importorskip("ndcctools.taskvine", reason="TaskVine has no wheel; `make test-taskvine` brings it")

from nbrewind.engines.taskvine import TaskVineAdapter
from nbrewind.testing import EngineConformance

START = """
import os, subprocess
import ndcctools.taskvine as vine
m = vine.Manager(0)
worker = subprocess.Popen(["vine_worker", "127.0.0.1", str(m.port), "--cores", "2"],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
"""
STOP = """
worker.terminate()
worker.wait()
del m
"""
WAYS = """
done = {}
def submit(func, *args, **kwargs):
    task = vine.PythonTask(func, *args, **kwargs)
    m.submit(task)
    return task
def result(task):
    while task.id not in done and not m.empty():
        found = m.wait(5)
        if found is not None:
            done[found.id] = found
    if not task.successful():
        raise task.output if isinstance(task.output, Exception) else RuntimeError(task.result)
    return task.output
"""


class TestConformance(EngineConformance):
    adapter = TaskVineAdapter
    start = START + WAYS
    stop = STOP
    wide = 60

    def test_the_working_folder(self) -> None:
        """Every task runs in a folder of its own: the notebook's is none of its inputs, served or not."""
        (self.folder / "in.txt").write_text("1")
        source = "try:\n    r = result(submit(read, 'in.txt'))\nexcept Exception:\n    r = 'none'"
        for name in ("a", "b"):
            (self.folder / name).mkdir()
            (self.folder / name / "in.txt").write_text(name)
            os.chdir(self.folder / name)
            assert self.life(source) == self.life(source, serve=False) == "none"

    @pytest.fixture(autouse=True)
    def _here(self, _desk: None, monkeypatch: pytest.MonkeyPatch) -> None:
        # The manager keeps its logs where it starts; modules are imported from a folder that nobody else fills.
        (self.folder / "manager").mkdir()
        monkeypatch.chdir(self.folder / "manager")


@pytest.mark.usefixtures("_desk")
class TestVine(TestConformance):
    """What is TaskVine's own; the class lends its lives."""

    start = START

    def vine(self, source: str, functions: str = "") -> Any:
        return self.life(textwrap.dedent(source), textwrap.dedent(functions))

    def test_shell_tasks_bring_output_and_files(self) -> None:
        (self.folder / "data.txt").write_text("input\n")
        source = f"""
        t = vine.Task("cat in.txt; echo made | tee out > out2")
        t.add_input(m.declare_file({str(self.folder / "data.txt")!r}), "in.txt")
        t.add_output(m.declare_file({str(self.folder / "result.txt")!r}), "out")
        b = m.declare_buffer()
        t.add_output(b, "out2")
        number = m.submit(t)
        while (d := m.wait(5)) is None: pass
        r = (d is t, d.id == number, d.std_output, d.exit_code, d.successful(), d.result, bytes(b.contents()))
        """
        first = self.vine(source)
        assert first == (True, True, "input\n", 0, True, "success", b"made\n")
        (self.folder / "result.txt").unlink()
        assert self.vine(source) == first
        assert self.last is not None and self.last.last.served == 1
        assert (self.folder / "result.txt").read_text() == "made\n"
        (self.folder / "data.txt").write_text("other\n")
        assert self.vine(source)[2] == "other\n"
        assert self.last.last.served == 0

    def test_a_command_that_names_what_is_outside_just_runs(self) -> None:
        out = self.folder / "outside.txt"
        source = f"""
        m.submit(vine.Task("echo x >> {out}"))
        while m.wait(5) is None: pass
        """
        for _ in range(2):
            self.vine(source)
        assert out.read_text() == "x\nx\n"

    def test_a_listing_of_its_own_folder_follows_what_is_declared(self) -> None:
        (self.folder / "data.txt").write_text("1")
        source = f"""
        t = vine.PythonTask(listed, ".")
        t.add_input(m.declare_file({str(self.folder / "data.txt")!r}), NAME)
        m.submit(t)
        while m.wait(5) is None: pass
        r = NAME in t.output
        """
        functions = "def listed(path):\n    import os\n    mark('listed')\n    return os.listdir(path)\n"
        for name, runs in (("one", 1), ("one", 0), ("two", 1)):
            assert self.vine(source.replace("NAME", repr(name)), functions) is True
            assert self.ran["listed"] == runs

    def test_variables_and_commands_count(self) -> None:
        source = """
        t = vine.Task("echo $V")
        t.set_env_var("V", {!r})
        m.submit(t)
        while (d := m.wait(5)) is None: pass
        r = d.std_output
        """
        assert [self.vine(source.format(v)) for v in ("a", "b", "a")] == ["a\n", "b\n", "a\n"]
        assert self.last is not None and self.last.last.served == 1

    def test_tags_ids_empty_and_cancel(self) -> None:
        functions = "def twice(x):\n    mark('twice')\n    return 2 * x\n"
        source = """
        tasks = {}
        for i in range(4):
            t = vine.PythonTask(twice, i)
            t.set_tag("even" if i % 2 == 0 else "odd")
            tasks[i] = m.submit(t)
        before = m.empty()
        def get(wait):
            while (d := wait()) is None: pass
            return d.output
        odd = sorted(get(lambda: m.wait_for_tag("odd", 5)) for _ in range(2))
        two = get(lambda: m.wait_for_task_id(tasks[2], 5))
        m.cancel_by_task_id(tasks[0])
        while not m.empty(): m.wait(1)
        r = (before, odd, two, m.wait(0), len(set(tasks.values())))
        """
        first = self.vine(source, functions)
        assert first == (False, [2, 6], 4, None, 4)
        assert self.vine(source, functions) == first
        assert self.ran["twice"] <= 1, "a task that was cancelled before it was done has no result"

    def test_temporary_files_stay_with_workers(self) -> None:
        functions = """
        def make(x):
            mark("make")
            return x
        def use(path):
            mark("use")
            import cloudpickle
            return cloudpickle.load(open(path, "rb")) + 1
        """
        source = """
        a = vine.PythonTask(make, 41)
        a.enable_temp_output()
        m.submit(a)
        while m.wait(5) is not a: pass
        b = vine.PythonTask(use, "x")
        b.add_input(a.output_file, "x")
        m.submit(b)
        while m.wait(5) is not b: pass
        r = b.output
        """
        assert self.vine(source, functions) == 42
        assert self.vine(source, functions) == 42
        assert not self.ran
        assert self.vine(source, functions.replace("+ 1", "+ 2")) == 43
        assert self.ran == {"make": 1, "use": 1}, "the file is made again for the task that needs it"
        assert self.vine(source.replace("41", "51"), functions) == 52
        assert self.ran == {"make": 1, "use": 1}

    def test_map_is_served(self) -> None:
        functions = "def twice(x):\n    mark('twice')\n    return 2 * x\n"
        source = "r = list(m.map(twice, [1, 2, 3], 2))"
        # The engine sends back an iterator that calls the function here, as it is consumed.
        assert self.vine(source, functions) == [2, 4, 6]
        assert self.vine(source, functions) == [2, 4, 6]
        assert self.last is not None
        assert (self.last.last.served, self.last.last.run) == (2, 0)


for _name in [name for name in dir(EngineConformance) if name.startswith("test_")]:
    setattr(TestVine, _name, None)
