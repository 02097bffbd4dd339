"""``audit`` and ``repeat`` as the command line runs them, on a kernel that only talks as ours do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import Command, save_book
from nbrewind.kernel.notebook import read_notebook

pytestmark = pytest.mark.real_kernel


def code_outputs(path: Path) -> list[Any]:
    return [cell.outputs for cell in read_notebook(path).cells if cell.cell_type == "code"]


def test_in_place_and_beside(nbrewind: Command, folder: Path, fake_kernel: str) -> None:
    path = save_book(
        folder / "x.ipynb", "'restored'", "", "2", kernelspec={"name": "python3", "display_name": "P"}
    )
    path.chmod(0o600)
    before = path.read_bytes()
    ran = nbrewind("audit", path, "--kernel", fake_kernel, "-o", "out.ipynb")
    assert ran.code == 0 and path.read_bytes() == before
    assert code_outputs(folder / "out.ipynb")[2][0]["data"]["text/plain"] == "2"
    assert (
        "[0] restored" in ran.out
        and "saved 7.5" in ran.out
        and "1 restored, 1 executed, 1 skipped" in ran.out
    )
    assert nbrewind("repeat", path, "--kernel", fake_kernel).code == 0
    assert path.stat().st_mode & 0o777 == 0o600
    executed = read_notebook(path)
    assert executed.metadata.kernelspec.name == "python3"  # the kernel was chosen for the run only
    assert (folder / ".nbrewind" / ".gitignore").read_text("utf-8").startswith("*")


def test_json_is_all_there_is_on_standard_output(nbrewind: Command, folder: Path, fake_kernel: str) -> None:
    path = save_book(folder / "x.ipynb", "print('restored')", "1/0", "3")
    ran = nbrewind("repeat", path, "--kernel", fake_kernel, "--json")
    assert ran.code == 1 and ran.json["status"] == "error" and ran.json["notebook"] == str(path)
    assert [cell["action"] for cell in ran.json["cells"]] == ["restored", "failed", "skipped"]
    assert ran.json["totals"]["recorded_seconds"] == 7.5
    assert "Cell 1 (id:c1) raised ZeroDivisionError" in ran.err and "kept in" in ran.err


def test_expected_errors_are_no_errors(nbrewind: Command, folder: Path, fake_kernel: str) -> None:
    path = save_book(folder / "x.ipynb", "1/0", "2", tags={0: ["raises-exception"]})
    ran = nbrewind("repeat", path, "--kernel", fake_kernel, "--json")
    assert ran.code == 0 and ran.json["status"] == "ok"
    assert ran.json["cells"][0]["action"] == "failed" and ran.json["cells"][0]["replayed"] is False


def test_until_and_force(nbrewind: Command, folder: Path, fake_kernel: str) -> None:
    path = save_book(folder / "x.ipynb", "'restored'", "'restored'", "3", tags={1: ["mid"]})
    ran = nbrewind(
        "repeat", path, "--kernel", fake_kernel, "--json", "--until", "tag:mid", "--force", "id:c0"
    )
    assert [cell["action"] for cell in ran.json["cells"]] == ["executed", "restored", "skipped"]


def test_a_dead_kernel_keeps_what_was_done(nbrewind: Command, folder: Path, fake_kernel: str) -> None:
    path = save_book(folder / "x.ipynb", "1", "import os; os._exit(3)", "3")
    ran = nbrewind("audit", path, "--kernel", fake_kernel)
    assert ran.code == 3 and "cell 1" in ran.err
    assert code_outputs(path)[0][0]["data"]["text/plain"] == "1"


def test_changes_made_meanwhile_are_not_overwritten(
    nbrewind: Command, folder: Path, fake_kernel: str
) -> None:
    path = save_book(folder / "x.ipynb", f"open({str(folder / 'x.ipynb')!r}, 'w').write('edited meanwhile')")
    ran = nbrewind("audit", path, "--kernel", fake_kernel)
    assert ran.code == 0 and "x.executed.ipynb" in ran.err
    assert path.read_text("utf-8") == "edited meanwhile"
    assert code_outputs(folder / "x.executed.ipynb")[0]


def test_ctrl_c_keeps_what_was_done(folder: Path, fake_kernel: str) -> None:
    source = "open('mark', 'w').close()\nimport time; time.sleep(60)"
    path = save_book(folder / "x.ipynb", "'first'", source, "3")
    process = subprocess.Popen(
        [sys.executable, "-m", "nbrewind", "audit", str(path), "--kernel", fake_kernel, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={key: value for key, value in os.environ.items() if key != "NBREWIND_STORE"},
    )
    try:
        for _ in range(600):
            if (folder / "mark").exists():
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130 and "Interrupted" in err
    assert json.loads(out)["status"] == "interrupted"
    assert [cell["action"] for cell in json.loads(out)["cells"]] == ["executed", "failed", "skipped"]
    outputs = code_outputs(path)
    assert outputs[0][0]["data"]["text/plain"] == "'first'" and outputs[1][0]["ename"] == "KeyboardInterrupt"


def test_an_output_that_cannot_be_written_at_the_end(
    nbrewind: Command, folder: Path, fake_kernel: str
) -> None:
    (folder / "o").mkdir()
    path = save_book(folder / "x.ipynb", "import shutil; shutil.rmtree('o')")
    ran = nbrewind("audit", path, "--kernel", fake_kernel, "-o", "o/y.ipynb", "--json")
    assert ran.code == 3 and "cannot be written" in ran.err
    assert ran.json["status"] == "ok"
