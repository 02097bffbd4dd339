"""Bad input: one paragraph on standard error, the documented exit code, nothing lost."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

import pytest

from cli.conftest import Command, Ran, save_book
from nbrewind.store import Store
from support.jupyter import add_spec


def check(ran: Ran, code: int, words: str) -> None:
    """One paragraph, no traceback, nothing on standard output."""
    assert ran.code == code, ran
    assert words in ran.err and "Traceback" not in ran.err
    assert ran.err.startswith("nbrewind: ") and ran.err.count("\n") == 1
    assert ran.out == ""


RUN_VERBS = ["audit", "repeat", "plan"]


@pytest.mark.parametrize("verb", RUN_VERBS)
def test_no_notebook(nbrewind: Command, folder: Path, verb: str) -> None:
    check(nbrewind(verb, "none.ipynb"), 3, "does not exist")
    Path("script.py").write_text("print(1)\n", "utf-8")
    check(nbrewind(verb, "script.py"), 3, "is not a notebook")
    assert Path("script.py").read_text("utf-8") == "print(1)\n"
    check(nbrewind(verb, folder), 3, "is a folder")
    assert not Path(".nbrewind").exists()


@pytest.mark.parametrize("verb", RUN_VERBS)
def test_another_language(nbrewind: Command, folder: Path, verb: str) -> None:
    save_book(folder / "r.ipynb", "1", kernelspec={"name": "ir", "display_name": "R", "language": "R"})
    check(nbrewind(verb, "r.ipynb"), 3, "written in R")
    assert not Path(".nbrewind").exists()


@pytest.mark.parametrize("verb", ["audit", "repeat"])
def test_another_interpreter(nbrewind: Command, folder: Path, jupyter_data: Path, verb: str) -> None:
    other = folder / "python"
    other.symlink_to("/bin/sh")
    add_spec(jupyter_data, "other", argv=[str(other), "-m", "ipykernel_launcher"])
    save_book(
        folder / "x.ipynb", "1", kernelspec={"name": "other", "display_name": "O", "language": "python"}
    )
    check(nbrewind(verb, "x.ipynb"), 3, "kernels install")


@pytest.mark.parametrize("verb", ["audit", "repeat"])
def test_kernels_that_cannot_be_used(nbrewind: Command, folder: Path, jupyter_data: Path, verb: str) -> None:
    path = save_book(folder / "x.ipynb", "1")
    before = path.read_bytes()
    check(nbrewind(verb, path, "--kernel", "nothing"), 3, "No kernel is called 'nothing'")
    check(nbrewind(verb, path, "--kernel", "python3"), 3, "not one of nbrewind's")
    dead = ["/bin/sh", "-c", "echo the library is missing >&2; exit 1", "nbrewind.kernel", "--mode", verb]
    add_spec(jupyter_data, "dead", argv=dead)
    check(nbrewind(verb, path, "--kernel", "dead"), 3, "the library is missing")
    assert path.read_bytes() == before


@pytest.mark.parametrize("verb", ["audit", "repeat"])
def test_unknown_cells_and_rules(nbrewind: Command, folder: Path, verb: str) -> None:
    path = save_book(folder / "x.ipynb", "1", "2")
    check(nbrewind(verb, path, "--until", "2"), 2, "numbers run from 0 to 1")
    check(nbrewind(verb, path, "--until", "tag:none"), 2, "'tag:none'")
    if verb == "repeat":
        check(nbrewind(verb, path, "--force", "id:none"), 2, "'id:none'")
        check(nbrewind(verb, path, "--force", "0", "--force", "7"), 2, "'7'")
        check(nbrewind(verb, path, "--env", "some"), 2, "exact or compatible or any")
        check(nbrewind(verb, path, "--engine", "slurm"), 2, "'none'")
    assert not Path(".nbrewind").exists()


@pytest.mark.parametrize("verb", ["audit", "repeat"])
def test_places_for_the_output(nbrewind: Command, folder: Path, verb: str) -> None:
    path = save_book(folder / "x.ipynb", "1")
    check(nbrewind(verb, path, "-o", folder), 3, "is a folder")
    check(nbrewind(verb, path, "-o", folder / "no" / "y.ipynb"), 3, "does not exist")


def make_newer(store: Path) -> None:
    """Pretend that a later version wrote the store."""
    Store.open(store).close()
    for line in ("PRAGMA user_version = 999", "UPDATE meta SET value = '999' WHERE key = 'format'"):
        with sqlite3.connect(store / "catalog.sqlite") as db:
            try:
                db.execute(line)
            except sqlite3.OperationalError:
                continue
        db.close()


@pytest.mark.parametrize("verb", RUN_VERBS)
def test_a_store_of_a_newer_format(nbrewind: Command, folder: Path, verb: str) -> None:
    path = save_book(folder / "x.ipynb", "1")
    make_newer(folder / ".nbrewind")
    check(nbrewind(verb, path), 4, "newer")


def test_verbs_that_look_at_a_newer_store(nbrewind: Command, folder: Path) -> None:
    make_newer(folder / ".nbrewind")
    for verb in ("log", "show", "diff", "stats"):
        check(nbrewind(verb), 4, "newer")
    check(nbrewind("clear", "--yes"), 4, "newer")
    assert (folder / ".nbrewind").exists()


def test_verbs_that_look_at_no_store(nbrewind: Command, folder: Path) -> None:
    for verb in ("log", "show", "diff", "stats", "clear"):
        ran = nbrewind(verb)
        check(ran, 4, str(folder / ".nbrewind"))
    assert not Path(".nbrewind").exists()


@pytest.mark.parametrize("verb", RUN_VERBS)
def test_a_file_where_the_store_should_be(nbrewind: Command, folder: Path, verb: str) -> None:
    path = save_book(folder / "x.ipynb", "1")
    (folder / ".nbrewind").write_text("mine", "utf-8")
    assert nbrewind(verb, path).code == 4
    assert (folder / ".nbrewind").read_text("utf-8") == "mine"


@pytest.mark.parametrize("verb", ["audit", "plan"])
def test_a_folder_that_is_no_store_is_left_alone(nbrewind: Command, folder: Path, verb: str) -> None:
    path = save_book(folder / "x.ipynb", "1")
    other = folder / "photos"
    other.mkdir()
    (other / "holiday.jpg").write_bytes(b"x")
    assert nbrewind(verb, path, "--store", other).code == 4
    assert nbrewind("clear", "--yes", "--store", other).code == 4
    assert [item.name for item in other.iterdir()] == ["holiday.jpg"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_store_without_write_permission_refuses_an_audit(nbrewind: Command, folder: Path) -> None:
    path = save_book(folder / "x.ipynb", "1")
    locked = folder / "locked"
    locked.mkdir()
    locked.chmod(0o500)
    check(nbrewind("audit", path, "--store", locked / "s", "-o", folder / "y.ipynb"), 4, str(locked))


def test_a_store_on_a_read_only_place_refuses_an_audit_even_for_root(nbrewind: Command, folder: Path) -> None:
    path = save_book(folder / "x.ipynb", "1")
    check(nbrewind("audit", path, "--store", "/proc/nbrewind-store"), 4, "/proc/nbrewind-store")


@pytest.mark.parametrize("verb", RUN_VERBS)
def test_json_stays_one_object_when_refused(nbrewind: Command, folder: Path, verb: str) -> None:
    ran = nbrewind(verb, "none.ipynb", "--json")
    assert ran.code == 3 and ran.json["status"] == "error" and ran.json["cells"] == []
    assert ran.json["error"]["exit_code"] == 3 and "does not exist" in ran.err


def test_debug_shows_the_traceback(nbrewind: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Traceback" in nbrewind("audit", "none.ipynb", "--debug").err
    monkeypatch.setenv("NBREWIND_DEBUG", "1")
    assert "Traceback" in nbrewind("audit", "none.ipynb").err


def test_runs_and_commits_that_do_not_exist(nbrewind: Command, folder: Path) -> None:
    Store.open(folder / ".nbrewind").close()
    check(nbrewind("show"), 2, "no run yet")
    check(nbrewind("diff"), 2, "no run yet")
    assert nbrewind("log").out == "No runs.\n"
    assert json.loads(nbrewind("log", "--json").out) == {"schema": 1, "runs": []}


def test_clear_asks_first(nbrewind: Command, folder: Path) -> None:
    Store.open(folder / ".nbrewind").close()
    check(nbrewind("clear"), 2, "--yes")
    assert (folder / ".nbrewind").exists()
    ran = nbrewind("clear", "--yes", "--json")
    assert ran.code == 0 and ran.json["deleted"] is True
    assert list(folder.iterdir()) == []
