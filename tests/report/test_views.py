"""The shapes that ``--json`` promises, the words for people, and the comparison of runs."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from rich.console import Console

from nbrewind.errors import RefusedError, StoreError
from nbrewind.model import (
    CellError,
    CellReport,
    Commit,
    Delta,
    FileState,
    Record,
    Run,
    TaskCounts,
    Trace,
    Version,
)
from nbrewind.report.diff import compare_runs, diff_object, diff_table
from nbrewind.report.jsonview import commit_object, failure_object, run_object
from nbrewind.report.progress import RunProgress
from nbrewind.report.text import cell_line, commit_table, commits_table, plan_table, runs_table, warning_line
from nbrewind.report.words import duration, first_line, size, summary_line, why

RESTORED = CellReport(
    0,
    "a1",
    "restored",
    "trace holds",
    reads=["a"],
    writes=["b"],
    seconds=0.002,
    recorded_seconds=41.0,
    outputs_equal=True,
    tasks=TaskCounts(served=4),
)
FAILED = CellReport(1, "a2", "failed", "ValueError", replayed=True, seconds=0.1)
EXECUTED = CellReport(
    2, "a3", "executed", "input changed", changed_inputs=["name:a", "file:in.csv"], seconds=2.0
)
EXECUTED.warnings.append("x cannot be stored")
SKIPPED = CellReport(3, "a4", "skipped", "empty")


def shown(thing: object) -> str:
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(thing)
    return console.export_text()


def test_the_object_of_repeat_has_exactly_the_promised_keys() -> None:
    content = run_object("x.ipynb", "ok", [RESTORED, FAILED, EXECUTED, SKIPPED])
    assert json.loads(json.dumps(content)) == content
    assert list(content) == ["schema", "notebook", "status", "cells", "totals"]
    assert content["cells"][0] == {
        "index": 0,
        "cell_id": "a1",
        "action": "restored",
        "reason": "trace holds",
        "changed_inputs": [],
        "reads": ["a"],
        "writes": ["b"],
        "seconds": 0.002,
        "recorded_seconds": 41.0,
        "outputs_equal": True,
        "tasks": {"served": 4, "run": 0, "failed": 0},
        "warnings": [],
    }
    assert content["cells"][1]["replayed"] is True and content["cells"][1]["outputs_equal"] is None
    assert content["totals"] == {
        "restored": 1,
        "executed": 1,
        "recomputed": 0,
        "failed": 1,
        "skipped": 1,
        "seconds": pytest.approx(2.102),
        "recorded_seconds": 41.0,
    }


def test_a_plan_may_depend() -> None:
    depends = CellReport(4, "", "depends", "depends", depends_on=[2])
    content = run_object("x.ipynb", "ok", [depends], plan=True)
    assert content["cells"][0]["depends_on"] == [2] and content["totals"]["depends"] == 1
    assert "on cell 2" in shown(plan_table([depends], ["", "", "", "", "y = x"]))


def test_failures_before_the_first_cell() -> None:
    assert failure_object("x.ipynb", StoreError("full"))["status"] == "error"
    content = failure_object("x.ipynb", RefusedError("no"))
    assert content["status"] == "refused" and content["error"] == {"message": "no", "exit_code": 5}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "-"),
        (0.0004, "0.4 ms"),
        (0.012, "12 ms"),
        (0.0999, "0.10 s"),
        (3.2, "3.20 s"),
        (41.0, "41 s"),
        (250, "4 min 10 s"),
    ],
)
def test_durations(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words


def test_sizes_and_first_lines() -> None:
    assert [size(n) for n in (0, 1023, 1024, 5 * 2**30, 3 * 2**40)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "5.0 GiB",
        "3.0 TiB",
    ]
    assert (
        first_line("\n# a\n  x = 1\ny") == "x = 1"
        and first_line("# only") == "# only"
        and first_line("") == ""
    )
    assert len(first_line("x" * 100)) == 48


def test_lines_for_people() -> None:
    line = cell_line(RESTORED, 12).plain
    assert line.startswith("[ 0] restored") and "saved 41 s" in line and "tasks: 4 served" in line
    assert "name:a, file:in.csv" in why(EXECUTED)
    assert "warning: x cannot" in warning_line(EXECUTED, EXECUTED.warnings[0], 4).plain
    words = summary_line([RESTORED, FAILED, EXECUTED, SKIPPED])
    assert words == "1 restored, 1 executed, 1 failed, 1 skipped; tasks: 4 served, 0 run; 2.10 s, 41 s saved"
    assert summary_line([RESTORED], plan=True) == "1 restored; tasks: 4 served, 0 run; would save 41 s"
    assert summary_line([]).startswith("no code cells")


def record(name: str, source: str = "x = 1", **changes: object) -> Record:
    return replace(Record(name, f"key of {source}", source, Trace(), Delta()), **changes)  # type: ignore[arg-type]


def commit(record: Record, cell: str, index: int = -1) -> tuple[Commit, Record]:
    return Commit(f"commit-{record.id}-{cell}", "", "run", record.id, "executed", 1, cell, index), record


def test_two_runs_cell_by_cell() -> None:
    old = record("r1", trace=Trace(reads={"a": "1"}), delta=Delta(names={"x": Version("v1")}), outputs="o1")
    inputs = record(
        "r2",
        trace=Trace(reads={"a": "2"}, files={"in.csv": FileState("file", "f")}),
        delta=Delta(names={"x": Version("v2")}),
        outputs="o1",
    )
    results = replace(old, id="r3", outputs="o2")
    edited = record("r4", "x = 2")
    first = [commit(old, c) for c in ("same", "inputs", "results", "edited", "gone")]
    second = [
        commit(old, "same"),
        commit(inputs, "inputs"),
        commit(results, "results"),
        commit(edited, "edited"),
    ]
    second.append(commit(edited, "new"))
    changes = {change.cell_id: change for change in compare_runs(first, second)}
    assert {name: change.change for name, change in changes.items()} == {
        "same": "same",
        "inputs": "inputs",
        "results": "results",
        "edited": "source",
        "new": "only in B",
        "gone": "only in A",
    }
    assert changes["inputs"].inputs == ("a", "in.csv") and changes["inputs"].names == ("x",)
    assert changes["results"].outputs_equal is False and changes["same"].outputs_equal is True
    run = Run("run")
    content = diff_object(run, run, list(changes.values()))
    assert content["equal"] is False and json.dumps(content)
    assert "only in B" in shown(diff_table(list(changes.values())))


def test_cells_without_ids_are_matched_by_index_and_the_last_run_of_a_cell_counts() -> None:
    one, two = record("r1", outputs="o1"), record("r2", outputs="o2")
    changes = compare_runs([commit(one, "", 0), commit(two, "", 0)], [commit(two, "", 0)])
    assert [change.change for change in changes] == ["same"]
    assert compare_runs([(commit(one, "", 0)[0], None)], [commit(two, "", 0)])[0].change == "record lost"


def test_tables_of_the_history() -> None:
    raised = record(
        "r1", error=CellError("ValueError", "bad [1]"), notes=("x cannot be stored",), flags=("external",)
    )
    pair = commit(raised, "c", 2)
    text = shown(commit_table(*pair))
    assert "ValueError: bad [1]" in text and "x cannot be stored" in text and "external" in text
    assert "no longer in the store" in shown(commit_table(pair[0], None))
    assert "executed" in shown(commits_table([pair, (pair[0], None)]))
    assert "/n.ipynb" in shown(runs_table([Run("0123456789abcdef", "/n.ipynb")], {"0123456789abcdef": 3}))
    content = commit_object(*pair)
    assert json.dumps(content) and content["error"]["ename"] == "ValueError" and content["source"] == "x = 1"
    assert "source" not in commit_object(pair[0], None)


def test_progress_says_the_same_thing_once(capsys: pytest.CaptureFixture[str]) -> None:
    warned = [replace(EXECUTED, index=index) for index in (0, 1)]
    stopped = [CellReport(index, "", "skipped", "not reached: cell 1 raised X") for index in (2, 3, 4)]
    empty = [CellReport(index, "", "skipped", "empty") for index in (5, 6)]
    with RunProgress(7) as progress:
        progress.start(0, "x = 1")
        for report in (*warned, *stopped, *empty):
            progress.report(report)
        progress.say("done [x]")
    text = capsys.readouterr().out
    assert text.count("executed") == 2 and text.count("x cannot be stored") == 1
    assert text.count("not reached") == 1 and text.count("empty") == 2 and "done [x]" in text
    with RunProgress(1, as_json=True) as progress:
        progress.report(warned[0])
        progress.say("done")
    assert capsys.readouterr().out == ""
