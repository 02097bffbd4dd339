"""The verbs on the real kernels: audit, plan, repeat, edit, look at the history."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.conftest import Command, save_book
from nbrewind.kernel.notebook import read_notebook

pytestmark = pytest.mark.real_kernel

SOURCES = ("scale = 3", "data = list(range(10))", "", "total = sum(data) * scale\ntotal", "len(data)")


def actions(content: dict[str, object]) -> list[str]:
    cells = content["cells"]
    assert isinstance(cells, list)
    return [cell["action"] for cell in cells]


def results(path: Path) -> list[str]:
    cells = [cell for cell in read_notebook(path).cells if cell.cell_type == "code"]
    return [cell.outputs[0]["data"]["text/plain"] if cell.outputs else "" for cell in cells]


def test_audit_repeat_edit_and_the_history(nbrewind: Command, folder: Path) -> None:
    path = save_book(folder / "x.ipynb", *SOURCES)
    assert actions(nbrewind("plan", path, "--json").json) == [
        "executed",
        "executed",
        "skipped",
        "executed",
        "executed",
    ]
    assert not (folder / ".nbrewind").exists()
    audited = nbrewind("audit", path, "--json")
    assert audited.code == 0 and audited.json["totals"]["executed"] == 4
    repeated = nbrewind("repeat", path, "--json", "-o", "y.ipynb")
    assert repeated.code == 0
    assert actions(repeated.json) == ["restored", "restored", "skipped", "restored", "restored"]
    assert all(cell["outputs_equal"] for cell in repeated.json["cells"] if cell["action"] == "restored")
    assert results(path) == results(folder / "y.ipynb") == ["", "", "", "135", "10"]

    save_book(path, "scale = 4", *SOURCES[1:])
    planned = nbrewind("plan", path, "--json").json
    assert actions(planned)[:4] == ["executed", "restored", "skipped", "depends"]
    assert planned["cells"][3]["depends_on"] == [0]
    assert actions(planned)[4] in {"restored", "depends"}  # cell 3 names data and might change it
    edited = nbrewind("repeat", path, "--json").json
    assert actions(edited) == ["executed", "restored", "skipped", "executed", "restored"]
    assert edited["cells"][3]["changed_inputs"] == ["name:scale"]
    assert results(path) == ["", "", "", "180", "10"]

    runs = nbrewind("log", path, "--json").json["runs"]
    assert [run["mode"] for run in runs] == ["repeat", "repeat", "audit"] and runs[0]["cells"] == 4
    assert nbrewind("log", folder / "other.ipynb").out == "No runs.\n"
    shown = nbrewind("show", "--json").json
    assert [commit["action"] for commit in shown["commits"]] == [
        "executed",
        "restored",
        "executed",
        "restored",
    ]
    one = nbrewind("show", shown["commits"][2]["id"][:10], "--json").json["commit"]
    assert one["source"].startswith("total =") and "total" in one["writes"]
    assert one["reason"] == "name:scale changed" and one["changed_inputs"] == ["name:scale"]
    assert one["seconds"] > 0 and one["tasks"] == {"served": 0, "run": 0, "failed": 0}
    assert "total = sum(data)" in nbrewind("show", one["id"]).out
    diff = nbrewind("diff", "--json").json
    assert {cell["index"]: cell["change"] for cell in diff["cells"]} == {
        0: "source",
        1: "same",
        3: "inputs",
        4: "same",
    }
    assert nbrewind("diff", "last", "last", "--json").json["equal"] is True
    assert nbrewind("stats", "--json").code == 0
    assert nbrewind("show", "last~9").code == 2 and nbrewind("show", "zz").code == 2


def test_a_replayed_error_ends_the_repeat_with_exit_code_1(nbrewind: Command, folder: Path) -> None:
    path = save_book(folder / "x.ipynb", "x = 0", "1 / x", "3")
    assert nbrewind("audit", path).code == 1
    ran = nbrewind("repeat", path, "--json")
    assert ran.code == 1 and ran.json["status"] == "error"
    assert actions(ran.json) == ["restored", "failed", "skipped"] and ran.json["cells"][1]["replayed"] is True
    assert "ZeroDivisionError" in ran.err


def test_force_and_until(nbrewind: Command, folder: Path) -> None:
    path = save_book(folder / "x.ipynb", *SOURCES)
    nbrewind("audit", path)
    ran = nbrewind("repeat", path, "--json", "--force", "id:c1", "--until", "3")
    assert actions(ran.json) == ["restored", "executed", "skipped", "restored", "skipped"]


def test_ctrl_c_keeps_the_records_of_earlier_cells(nbrewind: Command, folder: Path) -> None:
    slow = "open('mark', 'w').close()\nimport time; time.sleep(60)"
    path = save_book(folder / "x.ipynb", "a = 1", slow, "3")
    process = subprocess.Popen(
        [sys.executable, "-m", "nbrewind", "audit", str(path), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={key: value for key, value in os.environ.items() if key != "NBREWIND_STORE"},
    )
    try:
        for _ in range(1200):
            if (folder / "mark").exists():
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130 and json.loads(out)["status"] == "interrupted"
    planned = nbrewind("plan", path, "--json").json
    assert actions(planned)[:2] == ["restored", "executed"]


def test_the_magics_answer_in_a_headless_run(nbrewind: Command, folder: Path) -> None:
    path = save_book(folder / "x.ipynb", "a = 1", "%rewind status", "%rewind log", "%rewind plan", "%audit")
    ran = nbrewind("repeat", path, "--json")
    assert ran.code == 0
    cells = [cell for cell in read_notebook(path).cells if cell.cell_type == "code"]
    texts = ["".join(out.get("text", "") for out in cell.outputs) for cell in cells]
    assert "store: " in texts[1] and "a = 1" in texts[2] and "Recording is on." in texts[4]


def test_a_cell_that_ran_again_for_another_is_reported_once(nbrewind: Command, folder: Path) -> None:
    sources = ["n = 3", "g = (i for i in range(n))", "a = next(g)", "b = 1"]
    path = save_book(folder / "x.ipynb", *sources)
    nbrewind("audit", path)
    save_book(path, *sources[:3], "b = next(g)\nb")
    ran = nbrewind("repeat", path, "--json", "-o", "y.ipynb")
    assert actions(ran.json) == ["restored", "recomputed", "recomputed", "executed"]
    assert [cell["index"] for cell in ran.json["cells"]] == [0, 1, 2, 3]
    assert ran.json["totals"]["recomputed"] == 2 and ran.json["totals"]["restored"] == 1
    assert results(folder / "y.ipynb")[3] == "1"
    save_book(path, *sources[:3], "b = next(g) + 1\nb")
    lines = nbrewind("repeat", path, "-o", "z.ipynb").out.splitlines()
    assert sum("recomputed" in line and line.startswith("[1]") for line in lines) == 1
    assert "2 recomputed" in lines[-1]


def test_strict_executes_what_drew_and_its_readers(nbrewind: Command, folder: Path) -> None:
    path = save_book(folder / "x.ipynb", "import time\nt = time.time()", "u = t + 1", "v = 2")
    nbrewind("audit", path)
    assert actions(nbrewind("repeat", path, "--json").json) == ["restored"] * 3
    assert actions(nbrewind("repeat", path, "--json", "--strict").json) == [
        "executed",
        "executed",
        "restored",
    ]


def test_engine_none_executes_without_a_cluster(nbrewind: Command, folder: Path) -> None:
    pytest.importorskip("distributed")
    made = "from dask.distributed import Client\nc = Client(processes=False, dashboard_address=None)"
    path = save_book(folder / "x.ipynb", made, "f = c.submit(abs, -3)\nr = f.result()", "r")
    assert nbrewind("audit", path, "--json").code == 0
    unchanged = nbrewind("repeat", path, "--json", "--engine", "none", "-o", "y.ipynb")
    assert unchanged.code == 0 and actions(unchanged.json) == ["restored"] * 3
    save_book(path, made, "f = c.submit(abs, -4)\nr = f.result()", "r")
    refused = nbrewind("repeat", path, "--json", "--engine", "none", "-o", "y.ipynb")
    assert refused.code == 1 and actions(refused.json) == ["restored", "failed", "skipped"]
    assert "--engine none" in refused.err


@pytest.fixture
def untracked() -> Iterator[Path]:
    """A file that is no state of any notebook: what is written there stays."""
    place = Path("/dev/shm")
    if not place.is_dir():
        pytest.skip("needs /dev/shm")
    path = place / f"nbrewind-test-{os.getpid()}"
    yield path
    path.unlink(missing_ok=True)


def test_an_unchanged_repeat_runs_and_imports_nothing_at_its_end(
    nbrewind: Command, folder: Path, untracked: Path
) -> None:
    (folder / "helper.py").write_text(f"open({str(untracked)!r}, 'a').write('imported ')\n")
    source = f"import helper\nopen({str(untracked)!r}, 'a').write('run ')\ngenerator = (i for i in [1])"
    path = save_book(folder / "x.ipynb", source)
    nbrewind("audit", path)
    assert untracked.read_text() == "imported run "
    assert actions(nbrewind("repeat", path, "--json").json) == ["restored"]
    assert untracked.read_text() == "imported run "
