"""The headless client against a plain kernel and against one that talks as ours do."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from nbrewind.errors import NotebookError
from nbrewind.kernel.client import RewindClient
from nbrewind.kernel.connection import RunOptions
from support.jupyter import add_spec

pytestmark = pytest.mark.real_kernel


def book(*sources: str, tags: dict[int, list[str]] | None = None) -> NotebookNode:
    cells = [new_code_cell(source, id=f"c{i}") for i, source in enumerate(sources)]
    for index, words in (tags or {}).items():
        cells[index].metadata["tags"] = words
    return new_notebook(cells=[*cells[:1], new_markdown_cell("text"), *cells[1:]])


def outputs(notebook: NotebookNode) -> list[str]:
    """The text of each code cell's outputs."""
    found = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            texts = [
                out.get("text") or out.get("data", {}).get("text/plain") or out.ename for out in cell.outputs
            ]
            found.append("|".join(texts))
    return found


def actions(client: RewindClient) -> list[str]:
    return [report.action for report in client.reports]


def test_a_plain_kernel_runs_as_under_nbclient(tmp_path: Path) -> None:
    notebook = book("print('a')", "", "2 + 2", "import os; os.getcwd()")
    client = RewindClient(notebook, RunOptions("python3", notebook=tmp_path / "n.ipynb"))
    result = client.run()
    assert result.status == "ok" and not result.problem
    assert outputs(notebook) == ["a\n", "", "4", repr(str(tmp_path))]
    assert actions(client) == ["executed", "skipped", "executed", "executed"]
    assert [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"] == [1, None, 2, 3]
    assert [report.index for report in client.reports] == [0, 1, 2, 3]
    assert client.reports[1].reason == "empty" and client.reports[2].cell_id == "c2"


def test_an_error_stops_the_run_and_keeps_what_was_done(tmp_path: Path) -> None:
    notebook = book("1", "1/0", "3")
    client = RewindClient(notebook, RunOptions("python3", notebook=tmp_path / "n.ipynb"))
    result = client.run()
    assert result.status == "error" and "Cell 1 (id:c1) raised ZeroDivisionError" in result.problem
    assert outputs(notebook) == ["1", "ZeroDivisionError", ""]
    assert actions(client) == ["executed", "failed", "skipped"]
    assert "not reached" in client.reports[2].reason


def test_execute_raises_as_nbclient_does() -> None:
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        RewindClient(book("1/0"), RunOptions("python3")).execute()


def test_tags_of_nbclient_hold() -> None:
    notebook = book("1/0", "print('skipped')", "2", tags={0: ["raises-exception"], 1: ["skip-execution"]})
    client = RewindClient(notebook, RunOptions("python3"))
    assert client.run().status == "ok"
    assert actions(client) == ["failed", "skipped", "executed"]
    assert outputs(notebook) == ["ZeroDivisionError", "", "2"]


def test_until_stops_after_that_cell() -> None:
    notebook = book("1", "2", "3")
    client = RewindClient(notebook, RunOptions("python3", until=1))
    assert client.run().status == "ok"
    assert actions(client) == ["executed", "executed", "skipped"]
    assert "--until" in client.reports[2].reason


def test_answers_to_input_then_end_of_file() -> None:
    notebook = book("input('name? ')", "input()")
    client = RewindClient(notebook, RunOptions("python3", answers=("Ada",)))
    assert client.run().status == "error"
    assert outputs(notebook)[0] == "'Ada'" and outputs(notebook)[1] == "EOFError"


def test_without_answers_input_is_refused_as_in_nbclient() -> None:
    client = RewindClient(book("input()"), RunOptions("python3"))
    assert "StdinNotImplementedError" in client.run().problem


def interrupt_when(condition: Callable[[], bool], number: int = signal.SIGINT) -> threading.Thread:
    def wait() -> None:
        for _ in range(600):
            if condition():
                os.kill(os.getpid(), number)
                return
            time.sleep(0.05)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_interrupts_the_cell_and_keeps_the_rest(tmp_path: Path, number: int) -> None:
    mark = tmp_path / "running"
    notebook = book("1", f"open({str(mark)!r}, 'w').close()\nimport time; time.sleep(60)", "3")
    client = RewindClient(notebook, RunOptions("python3"))
    before = signal.getsignal(signal.SIGINT)
    thread = interrupt_when(mark.exists, number)
    result = client.run()
    thread.join()
    assert result.status == "interrupted"
    assert outputs(notebook) == ["1", "KeyboardInterrupt", ""]
    assert actions(client) == ["executed", "failed", "skipped"]
    assert signal.getsignal(signal.SIGINT) == before


def test_a_cell_that_swallows_the_interrupt_is_the_last(tmp_path: Path) -> None:
    mark = tmp_path / "running"
    source = f"""
try:
    open({str(mark)!r}, 'w').close()
    import time; time.sleep(60)
except KeyboardInterrupt:
    print('swallowed')"""
    notebook = book(source, "2")
    client = RewindClient(notebook, RunOptions("python3"))
    thread = interrupt_when(mark.exists)
    assert client.run().status == "interrupted"
    thread.join()
    assert outputs(notebook) == ["swallowed\n", ""]


def test_a_kernel_that_dies_is_told_and_the_rest_kept() -> None:
    notebook = book("1", "import os; os._exit(7)", "3")
    client = RewindClient(notebook, RunOptions("python3"))
    result = client.run()
    assert result.status == "error" and result.kernel_lost and "cell 1" in result.problem
    assert actions(client) == ["executed", "failed", "skipped"]


def test_a_kernel_that_cannot_start_says_why(jupyter_data: Path) -> None:
    code = "import sys; sys.exit('no such library: libmagic')"
    add_spec(jupyter_data, "bad", argv=[sys.executable, "-c", code])
    with pytest.raises(NotebookError, match=r"could not be started.*no such library: libmagic"):
        RewindClient(book("1"), RunOptions("bad")).run()
    add_spec(jupyter_data, "gone", argv=["/no/such/program", "-f", "{connection_file}"])
    with pytest.raises(NotebookError, match="could not be started"):
        RewindClient(book("1"), RunOptions("gone")).run()
    with pytest.raises(NotebookError, match="no kernel called 'unknown'"):
        RewindClient(book("1"), RunOptions("unknown")).run()


def test_requests_carry_ids_and_our_metadata_and_replies_carry_reports(
    fake_kernel: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_JOURNAL", str(tmp_path / "journal"))
    notebook = book("'restored'", "'restored too'", "", "3", tags={3: ["plots"]})
    notebook.cells[-1].id = "odd-id"
    seen: list[Any] = []
    options = RunOptions(
        fake_kernel,
        notebook=tmp_path / "n.ipynb",
        store=tmp_path / "store",
        force=frozenset({1}),
        strict=True,
        engine="none",
        env="exact",
        ignore=("/out.ipynb",),
    )
    client = RewindClient(
        notebook,
        options,
        on_start=lambda index, cell: seen.append(("start", index)),
        on_report=lambda report, cell: seen.append((report.action, report.index, cell.id)),
    )
    result = client.run()
    assert result.status == "ok" and result.finish == {"failures": [], "notes": ["fine"]}
    assert seen == [
        ("start", 0),
        ("restored", 0, "c0"),
        ("start", 1),
        ("executed", 1, "c1"),
        ("skipped", 2, "c2"),
        ("start", 3),
        ("executed", 3, "odd-id"),
    ]
    assert client.reports[0].recorded_seconds == 7.5 and client.reports[0].tasks.served == 3
    journal = [json.loads(line) for line in (tmp_path / "journal").read_text("utf-8").splitlines()]
    asked = [entry for entry in journal if not entry["silent"]]
    assert [entry["id"] for entry in asked] == ["c0", "c1", "odd-id"]
    assert [entry["meta"]["nbrewind"] for entry in asked] == [
        {"index": 0, "force": False, "tags": []},
        {"index": 1, "force": True, "tags": []},
        {"index": 3, "force": False, "tags": ["plots"]},
    ]
    assert journal[-1]["code"] == "%rewind finish" and journal[-1]["silent"]
    assert journal[0]["cwd"] == str(tmp_path)
    assert journal[0]["options"] == {
        "notebook": str(tmp_path / "n.ipynb"),
        "strict": True,
        "engine": "none",
        "env": "exact",
        "keep": "all",
        "keep_bytes": 0,
        "ignore": ["/out.ipynb"],
        "headless": True,
        "end_files": True,
    }


def test_a_notebook_without_ids_sends_none(
    fake_kernel: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_JOURNAL", str(tmp_path / "journal"))
    notebook = book("1")
    for cell in notebook.cells:
        del cell["id"]
    notebook.nbformat_minor = 4
    RewindClient(notebook, RunOptions(fake_kernel)).run()
    journal = [json.loads(line) for line in (tmp_path / "journal").read_text("utf-8").splitlines()]
    assert journal[0]["id"] is None and "id" not in notebook.cells[0]


def test_starting_over_forces_the_named_cells_once(fake_kernel: str) -> None:
    notebook = book("print('restored')", "print('start_over')", "3")
    client = RewindClient(notebook, RunOptions(fake_kernel))
    assert client.run().status == "ok"
    assert actions(client) == ["restored", "executed", "executed"]
    assert outputs(notebook) == ["restored\n", "start_over\n", "3"]


def test_the_end_of_a_run_happens_after_an_error_too(fake_kernel: str) -> None:
    client = RewindClient(book("1/0", "2"), RunOptions(fake_kernel))
    result = client.run()
    assert result.status == "error" and result.finish["notes"] == ["fine"]
