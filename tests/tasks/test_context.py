"""Identity of tasks and the task log, without an engine."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest

from nbrewind.errors import NotStorable, UsageError
from nbrewind.model import FileState
from nbrewind.tasks import TaskContext, load_adapters
from nbrewind.tasks.submission import begin
from nbrewind.testing.taskstore import MemoryTaskStore


@pytest.fixture
def context(tmp_path: Path) -> TaskContext:
    made = TaskContext(MemoryTaskStore(), tmp_path)
    made.begin_cell()
    return made


def twice(x: int) -> int:
    return 2 * x


def calls_twice(x: int) -> int:
    return twice(x)


class Lazy(dict[str, Any]):
    """A namespace whose names appear when they are subscripted, like the kernel's."""

    def __init__(self, parked: dict[str, Any]) -> None:
        super().__init__()
        self.parked = parked
        self.asked: list[str] = []

    def __missing__(self, name: str) -> Any:
        self.asked.append(name)
        return self.parked[name]


def cell(source: str, **parked: Any) -> Lazy:
    space = Lazy(parked)
    space["__name__"] = "__main__"
    exec(source, space)
    return space


def test_equal_but_different_arguments_have_different_keys(context: TaskContext) -> None:
    values: list[Any] = [
        1,
        True,
        1.0,
        1j,
        "1",
        b"1",
        [1],
        (1,),
        {1},
        frozenset({1}),
        {1: 1},
        None,
        -0.0,
        0.0,
        "",
        b"",
    ]
    values += [[[1], [1]], [1, [1]], {"a": 1, "b": 2}, {"a": 2, "b": 1}, float("nan"), 2**70, range(3), ()]
    shared = [1]
    values.append([shared, shared])
    keys = [context.identify(twice, [value]) for value in values]
    assert len(set(keys)) == len(values)
    assert keys == [context.identify(twice, [value]) for value in values]


def test_positional_and_keyword_arguments_are_told_apart(context: TaskContext) -> None:
    assert context.identify(twice, [1]) != context.identify(twice, [], {"x": 1})


def test_names_appear_through_the_namespace(context: TaskContext) -> None:
    source = "def f(x): return g(x) + K\n"
    one = cell(source, g=cell("def g(x): return x")["g"], K=1)
    two = cell(source, g=cell("def g(x): return x")["g"], K=2)
    three = cell(source, g=cell("def g(x): return x + 1")["g"], K=1)
    keys = [context.identify(space["f"], [1]) for space in (one, two, three)]
    assert len(set(keys)) == 3
    assert "K" in one.asked
    assert "g" in one.asked


def test_a_global_rebound_within_a_cell(context: TaskContext) -> None:
    space = cell("K = 1\nL = [1]\ndef f(x): return x + K\ndef g(x): return x + L[0]")
    first = context.identify(space["f"], [1])
    assert context.identify(space["f"], [1]) == first
    space["K"] = 2
    assert context.identify(space["f"], [1]) != first
    listed = context.identify(space["g"], [1])
    space["L"].append(2)
    assert context.identify(space["g"], [1]) != listed


def test_recursive_functions_end(context: TaskContext) -> None:
    space = cell("def even(n): return n == 0 or odd(n - 1)\ndef odd(n): return n != 0 and even(n - 1)")
    assert context.identify(space["even"], [4]) != context.identify(space["odd"], [4])


def test_numpy_and_partials(context: TaskContext) -> None:
    np = pytest.importorskip("numpy")
    keys = {
        context.identify(np.add, [1, 2]),
        context.identify(np.multiply, [1, 2]),
        context.identify(np.mean, [np.arange(3)]),
        context.identify(np.mean, [np.arange(3.0)]),
        context.identify(np.mean, [np.arange(4)]),
        context.identify(functools.partial(np.mean, axis=0), [np.arange(4)]),
        context.identify(functools.partial(np.mean, axis=None), [np.arange(4)]),
    }
    assert len(keys) == 7


def test_what_has_no_content_has_no_key(context: TaskContext) -> None:
    with pytest.raises(NotStorable):
        context.identify(twice, [(x for x in [1])])


def test_declared_inputs_count_by_content(context: TaskContext, tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_text("1")
    first = context.identify(twice, [1], declared_inputs=["in.txt"])
    assert context.identify(twice, [1], declared_inputs=[str(path)]) == first
    path.write_text("2")
    assert context.identify(twice, [1], declared_inputs=["in.txt"]) != first


def test_occurrences_are_numbered_per_cell(context: TaskContext) -> None:
    key = context.identify(twice, [1])
    for value in (10, 20):
        assert context.lookup(key) is None
        context.record(key, value)
    context.begin_cell()
    entries = [context.lookup(key) for _ in range(3)]
    assert [context.load(e) for e in entries[:2] if e] == [10, 20]
    assert entries[2] is None
    counts, keys = context.end_cell()
    assert (counts.served, counts.run, keys) == (2, 1, (key,))


def test_audit_serves_nothing(context: TaskContext) -> None:
    key = context.identify(twice, [1])
    context.lookup(key)
    context.record(key, 1)
    context.begin_cell(serve=False)
    assert context.lookup(key) is None


def test_one_key_several_traces(context: TaskContext, tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    key = context.identify(twice, [1])
    for text in ("a", "b"):
        path.write_text(text)
        context.begin_cell(serve=False)
        context.lookup(key)
        context.record(key, text, files={"in.txt": context.files.state("in.txt")})
    for text in ("a", "b"):
        path.write_text(text)
        context.begin_cell()
        entry = context.lookup(key)
        assert entry is not None
        assert context.load(entry) == text
        assert context.holds([key]) == ([], [])
    path.write_text("c")
    context.begin_cell()
    assert context.lookup(key) is None
    assert context.holds([key, "unknown"]) == (["in.txt"], ["unknown"])


def test_the_state_decides_about_files(context: TaskContext, tmp_path: Path) -> None:
    """R6: a path is matched against S, not against the disk."""
    path = tmp_path / "in.txt"
    path.write_text("a")
    wanted = context.files.state("in.txt")
    key = context.identify(twice, [1])
    context.lookup(key)
    context.record(key, 1, files={"in.txt": wanted})
    path.write_text("not laid down yet")
    context.begin_cell()
    context.file_state = {"in.txt": wanted}.get
    assert context.lookup(key) is not None


def test_a_damaged_object_is_a_miss(context: TaskContext) -> None:
    key = context.identify(twice, [1])
    context.lookup(key)
    context.record(key, [1, 2])
    store = context.store
    assert isinstance(store, MemoryTaskStore)
    store.objects.clear()
    context.begin_cell()
    assert context.lookup(key) is None


def test_failures_are_logged_and_not_served(context: TaskContext) -> None:
    key = context.identify(twice, [1])
    context.lookup(key)
    context.record(key, error="ValueError: no")
    assert context.counts.failed == 1
    context.begin_cell()
    assert context.lookup(key) is None


def test_results_that_cannot_be_stored_run_again(context: TaskContext) -> None:
    key = context.identify(twice, [1])
    context.lookup(key)
    assert context.record(key, (x for x in [1])) is None
    assert context.cell.notes
    context.begin_cell()
    assert context.lookup(key) is None


def test_output_files_are_laid_down_and_kept(context: TaskContext, tmp_path: Path) -> None:
    digest = context.store.put(b"made")
    key = context.identify(twice, [1])
    context.lookup(key)
    context.record(key, 1, outputs={"sub/out.bin": FileState("file", digest, 4, 0o640)})
    path = tmp_path / "sub" / "out.bin"
    path.parent.mkdir()
    path.write_bytes(b"precious")
    context.begin_cell()
    assert context.lookup(key) is not None
    assert path.read_bytes() == b"made"
    store = context.store
    assert isinstance(store, MemoryTaskStore)
    assert b"precious" in store.objects.values()


def test_the_helper_two_calls_away(context: TaskContext) -> None:
    versions = []
    for body in ("x", "x + 1"):
        space = cell(f"def a(x): return b(x)\ndef b(x): return c(x)\ndef c(x): return {body}\n")
        versions.append(context.identify(space["a"], [1]))
    assert versions[0] != versions[1]


def test_adapters_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBREWIND_ENGINES", "nbrewind.engines.dask:adapter")
    assert "dask" in [adapter.name for adapter in load_adapters()]
    monkeypatch.setenv("NBREWIND_ENGINES", "nbrewind.engines.dask:nothing")
    with pytest.raises(UsageError, match="cannot be loaded"):
        load_adapters()


def test_a_task_without_arguments_is_logged(context: TaskContext) -> None:
    for served in (False, True):
        context.begin_cell()
        task = begin(context, dict, engine="test")
        assert task.served is served
        if not served:
            assert task.finished(task.call()) == {}
            assert not context.notes()
