"""Stores that can only be read, and disks that are full: through the real command line and kernels."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import KernelManager

from cli.conftest import Command, save_book
from nbrewind.kernel.notebook import read_notebook
from nbrewind.store import Store
from nbrewind.store.loose import digest_of
from support.disks import fill, photograph, read_only, small_disk
from support.stores import place

pytestmark = pytest.mark.real_kernel


def actions(cells: list[dict[str, object]]) -> list[object]:
    return [cell["action"] for cell in cells]


def outputs(path: Path) -> list[Any]:
    return [cell.outputs for cell in read_notebook(path).cells if cell.cell_type == "code"]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go, of this process and of kernels."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


SOURCES = ("x = [1, 2]", "x.append(3)\nx", "open('out.txt', 'w').write('made'); y = len(x)\ny")


def test_a_store_that_can_only_be_read(nbrewind: Command, folder: Path, temporary: Path) -> None:
    book, store = save_book(folder / "x.ipynb", *SOURCES), folder / "store"
    assert nbrewind("audit", book, "--store", store).code == 0
    audited, made = outputs(book), folder / "out.txt"
    before = photograph(store)
    with read_only(store):
        refused = nbrewind("audit", book, "--store", store, "--json")
        assert refused.code == 4 and refused.json["cells"] == []
        assert "Read-only file system" in refused.err and outputs(book) == audited

        made.write_text("changed by hand")
        same = nbrewind("repeat", book, "--store", store, "--json")
        assert same.code == 0, same.err
        assert actions(same.json["cells"]) == ["restored"] * 3
        assert outputs(book) == audited, "what is to be said is not said in the notebook"
        assert [line for line in same.err.splitlines() if "records nothing" in line]
        assert made.read_text() == "made"
        kept = same.err.partition("what ")[2].split()
        assert kept[:4] == [str(made), "held", "is", "kept"], same.err
        assert Path(kept[-1]).read_text() == "changed by hand"

        edited = save_book(folder / "y.ipynb", *SOURCES[:2], "y = len(x) + 1\ny")
        planned = nbrewind("plan", edited, "--store", store, "--json")
        assert actions(planned.json["cells"]) == ["restored", "restored", "executed"], planned.err
        other = nbrewind("repeat", edited, "--store", store, "--json")
        assert actions(other.json["cells"]) == ["restored", "restored", "executed"], other.err
        assert outputs(edited)[2][0]["data"]["text/plain"] == "4"
        again = nbrewind("repeat", edited, "--store", store, "--json")
        assert actions(again.json["cells"]) == ["restored", "restored", "executed"], "nothing was recorded"
        assert len(nbrewind("log", "--store", store, "--json").json["runs"]) == 1
        assert nbrewind("clear", "--yes", "--store", store).code == 4
    assert photograph(store) == before
    left = [path.name for path in temporary.iterdir()]
    assert [name for name in left if not name.startswith("nbrewind-kept-")] == []


def test_a_repeat_runs_where_no_store_can_be_made(nbrewind: Command, folder: Path, temporary: Path) -> None:
    book, place = save_book(folder / "x.ipynb", *SOURCES), folder / "place"
    place.mkdir()
    with read_only(place):
        ran = nbrewind("repeat", book, "--store", place / "store", "--json")
    assert ran.code == 0 and actions(ran.json["cells"]) == ["executed"] * 3
    assert "executes every cell and records nothing" in ran.err
    assert [cell[0].get("name") for cell in outputs(book) if cell] == [None, None]
    assert list(temporary.iterdir()) == []


class Live:
    """A kernel as a front end has it."""

    def __init__(self, kernel: str, folder: Path) -> None:
        self.manager = KernelManager(kernel_name=kernel)
        self.manager.start_kernel(cwd=str(folder))
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        self.said: list[dict[str, Any]] = []

    def run(self, source: str) -> dict[str, Any]:
        """The reply; what was published is in ``said``."""

        def hear(message: dict[str, Any]) -> None:
            if message["msg_type"] in {"stream", "execute_result", "error"}:
                self.said.append(message["content"])

        reply: dict[str, Any] = self.client.execute_interactive(source, timeout=60, output_hook=hear)
        return reply

    def stderr(self) -> list[str]:
        """What was written there, in pieces."""
        return [content["text"] for content in self.said if content.get("name") == "stderr"]

    def close(self) -> None:
        """End it as a front end does."""
        self.client.stop_channels()
        self.manager.shutdown_kernel()


@pytest.mark.parametrize("kernel", ["nbrewind-audit", "nbrewind-repeat"])
def test_a_live_kernel_works_where_nothing_can_be_written(
    folder: Path, temporary: Path, kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store.open(folder / ".nbrewind").close()
    monkeypatch.delenv("NBREWIND_STORE", raising=False)
    with read_only(folder / ".nbrewind"), contextlib.closing(Live(kernel, folder)) as live:
        for source in ("x = [1, 2]", "x.append(3)\nx", "%rewind status"):
            assert live.run(source)["content"]["status"] == "ok", live.said
    told = live.stderr()
    assert len(told) == 1 and "recorded" in told[0] and "nothing is" in told[0]
    assert [content["data"]["text/plain"] for content in live.said if "data" in content] == ["[1, 2, 3]"]
    assert any("recording: no" in content.get("text", "") for content in live.said)
    assert [path.name for path in temporary.iterdir() if path.name.startswith("nbrewind-")] == []


def test_a_live_kernel_tells_what_a_full_disk_lost(
    folder: Path, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NBREWIND_STORE", str(disk / "s"))
    with contextlib.closing(Live("nbrewind-audit", folder)) as live:
        live.run("import random; random.seed(1); big = random.randbytes(5_000_000)")
        deadline = time.monotonic() + 60
        while not live.stderr() and time.monotonic() < deadline:  # the writer is a thread of its own
            assert live.run("y = 1")["content"]["status"] == "ok"
        assert len(live.stderr()) >= 1
        assert live.stderr()[0].startswith("nbrewind: not recorded: cell In[1]: No space left"), live.said
        live.run("z = 1")
        live.run("z = 2")
        assert len(live.stderr()) == len(set(live.stderr())), "each thing once"


def test_a_full_disk_costs_a_live_kernel_no_value(
    folder: Path, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was never written is not put aside for a cell that binds its name anew, and fails before it does."""
    monkeypatch.setenv("NBREWIND_STORE", str(disk / "s"))
    with contextlib.closing(Live("nbrewind-repeat", folder)) as live:
        live.run("first = 1")
        fill(disk)
        live.run("e = {'a': ['x' * 5000]}")
        deadline = time.monotonic() + 60
        while not live.stderr() and time.monotonic() < deadline:
            live.run("y = 1")
        assert live.run("1 / 0\ne = 5")["content"]["ename"] == "ZeroDivisionError"
        assert live.run("len(e['a'][0])")["content"]["status"] == "ok", live.said
    assert live.said[-1]["data"]["text/plain"] == "5000"


def test_a_cell_does_not_run_over_files_that_cannot_be_restored(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NBREWIND_STORE", raising=False)
    with contextlib.closing(Live("nbrewind-repeat", folder)) as live:
        live.run("open('data', 'w').write('right')")
    with contextlib.closing(Live("nbrewind-repeat", folder)) as live:
        first = live.run("open('data', 'w').write('right')")
        assert first["metadata"]["nbrewind"]["action"] == "restored"
        spoil(folder / ".nbrewind", b"right")
        (folder / "data").write_text("wrong")
        reply = live.run("print(open('data').read())")["content"]
        assert reply["status"] == "error" and "data cannot be restored" in reply["evalue"]
        assert "wrong" not in str(live.said)
        live.run("%rewind force")
        again = live.run("open('data', 'w').write('right')")
        assert again["metadata"]["nbrewind"]["action"] == "executed"
        live.run("print(open('data').read())")
        assert live.said[-1]["text"] == "right\n"


@pytest.fixture
def disk(folder: Path) -> Iterator[Path]:
    with small_disk(folder / "disk", "2m") as place:
        yield place


def test_a_full_disk_stops_the_recording_and_not_the_notebook(
    nbrewind: Command, folder: Path, disk: Path
) -> None:
    sources = (
        "a = 1",
        "import random, os\nrandom.seed(1)\nbig = random.randbytes(5_000_000)",
        "c = a + len(big)\nprint(c)",
    )
    book, store = save_book(folder / "x.ipynb", *sources), disk / "s"
    ran = nbrewind("audit", book, "--store", store, "--json")
    assert ran.code == 4
    assert actions(ran.json["cells"]) == ["executed"] * 3
    assert "cell 1 (id:c1): No space left on device" in ran.err and "execute again next time" in ran.err
    assert "cell 0" not in ran.err and "cell 2 (id:c2): No space" not in ran.err
    assert outputs(book)[2][0]["text"] == "5000001\n"
    again = nbrewind("repeat", book, "--store", store, "--json")
    assert actions(again.json["cells"])[:2] == ["restored", "executed"], again.json
    assert again.code == 4 and outputs(book)[2][0]["text"] == "5000001\n"
    assert nbrewind("show", "--store", store).code == 0


FILLING = """
import os
with open({filler!r}, "wb", buffering=0) as file:
    try:
        while True:
            file.write(b"x" * 4096)
    except OSError:
        pass
first = 1
"""


def test_what_was_recorded_before_and_after_a_full_disk_is_restored(
    nbrewind: Command, folder: Path, disk: Path
) -> None:
    filler = disk / "filler"
    sources = (
        "a = [1]",
        "open('log.txt', 'w').write('begin'); a.append(2)",
        FILLING.format(filler=str(filler)),
        "open('log.txt', 'a').write('+more'); open('own.txt', 'a').write('!'); b = a + [3]\n"
        "print(open('log.txt').read(), b)",
        f"os.remove({str(filler)!r})",
        "d = [len(b)]\nd",
    )
    book, store = save_book(folder / "x.ipynb", *sources), disk / "s"
    (folder / "own.txt").write_text("what nobody has stored")
    ran = nbrewind("audit", book, "--store", store, "--json")
    assert ran.code == 4 and actions(ran.json["cells"]) == ["executed"] * 6, ran.err
    assert "cell 3 (id:c3): " in ran.err and "cell 0" not in ran.err and "cell 1" not in ran.err
    shown = outputs(book)
    assert shown[3][0]["text"] == "begin+more [1, 2, 3]\n"
    book.write_text(book.read_text().replace("while True", "while False"))
    again = nbrewind("repeat", book, "--store", store, "--json")
    assert again.code == 0, again.err
    assert actions(again.json["cells"])[:4] == ["restored", "restored", "executed", "executed"]
    assert actions(again.json["cells"])[5] == "restored", "recorded when there was room again"
    last = nbrewind("repeat", book, "--store", store, "--json")
    assert last.code == 0 and actions(last.json["cells"]) == ["restored"] * 6, last.err
    assert outputs(book) == shown, "the log was brought to what it was before the cell"
    assert (folder / "log.txt").read_text() == "begin+more"
    assert (folder / "own.txt").read_text() == "what nobody has stored!!", "its first content was never kept"


def test_a_disk_that_is_full_from_the_start(nbrewind: Command, folder: Path, disk: Path) -> None:
    filler = fill(disk)
    book = save_book(folder / "x.ipynb", "1 + 1")
    refused = nbrewind("audit", book, "--store", disk / "s")
    assert refused.code == 4 and "cannot be written" in refused.err
    assert outputs(book) == [[]], "refused before the first cell"
    ran = nbrewind("repeat", book, "--store", disk / "s", "--json")
    assert ran.code == 0 and "records nothing" in ran.err
    assert outputs(book)[0][0]["data"]["text/plain"] == "2"
    filler.unlink()
    assert nbrewind("audit", book, "--store", disk / "s").code == 0


def spoil(store: Path, content: bytes) -> None:
    """Change one byte of the object that holds ``content``."""
    place(store, digest_of(content)).spoil()


def test_damaged_outputs_make_a_cell_run_once(nbrewind: Command, folder: Path) -> None:
    book = save_book(folder / "x.ipynb", "x = [1]", "x.append(2)\nprint(x)", "len(x)")
    assert nbrewind("audit", book).code == 0
    shown = outputs(book)
    with contextlib.closing(Store.open(folder / ".nbrewind", readonly=True)) as store:
        commit = store.branch(store.runs()[0])[1]
        spoil(folder / ".nbrewind", store.get(store.record(commit.record).outputs))
    again = nbrewind("repeat", book, "--json")
    assert again.code == 0 and actions(again.json["cells"]) == ["restored", "executed", "restored"]
    assert outputs(book) == shown
    last = nbrewind("repeat", book, "--json")
    assert actions(last.json["cells"]) == ["restored"] * 3, "what was damaged was written again"


def test_a_damaged_file_is_made_again(nbrewind: Command, folder: Path) -> None:
    sources = ("open('data', 'w').write('right')", "n = 1", "print(open('data').read())")
    book = save_book(folder / "x.ipynb", *sources)
    assert nbrewind("audit", book).code == 0
    spoil(folder / ".nbrewind", b"right")
    same = nbrewind("repeat", book, "--json")
    assert actions(same.json["cells"]) == ["restored"] * 3, "it is on disk as it should be"
    (folder / "data").write_text("wrong")
    save_book(book, *sources[:2], "print(open('data').read(), n)")
    ran = nbrewind("repeat", book, "--json")
    assert actions(ran.json["cells"]) == ["executed", "restored", "executed"]
    assert ran.json["cells"][0]["reason"] == "the store misses part of its record"
    assert ran.code == 0 and outputs(book)[2][0]["text"] == "right 1\n"


def test_clearing_keeps_the_files_of_others(nbrewind: Command, folder: Path) -> None:
    book = save_book(folder / "x.ipynb", "x = [1]")
    assert nbrewind("audit", book).code == 0
    store = folder / ".nbrewind"
    (store / "notes.txt").write_text("mine")
    (store / "objects" / "photo.jpg").write_text("mine too")
    ran = nbrewind("clear", "--yes")
    assert ran.code == 0 and "photo" not in ran.err
    left = sorted(str(path.relative_to(store)) for path in store.rglob("*") if path.is_file())
    assert left == ["notes.txt", "objects/photo.jpg"]
    assert book.exists() and os.path.isdir(store)
    assert nbrewind("clear", "--yes").code == 4, "it is no store any more"
    (store / "notes.txt").unlink()
