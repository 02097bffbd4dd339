"""What the operating system tells of files: by this process, by children, in folders made later."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nbrewind.flow.inotify import Inotify

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


@pytest.fixture
def watch(tmp_path: Path) -> Inotify:
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "skipped").mkdir()
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "d" / "e" / "b.txt").write_text("b")
    return Inotify(str(tmp_path), lambda path: path.endswith("skipped"))


def test_opens_of_a_child_are_seen(watch: Inotify, tmp_path: Path) -> None:
    subprocess.run(["cat", "a.txt", "d/e/b.txt"], cwd=tmp_path, check=True, capture_output=True)
    found = watch.drain()
    assert found.opened == {str(tmp_path / "a.txt"), str(tmp_path / "d" / "e" / "b.txt")}
    assert not found.changed and not found.overflow
    assert watch.drain().opened == set()


def test_changes_are_seen_and_looking_is_none(watch: Inotify, tmp_path: Path) -> None:
    os.stat(tmp_path / "a.txt")
    assert not watch.drain().opened
    (tmp_path / "a.txt").write_text("new")
    (tmp_path / "d" / "e" / "b.txt").rename(tmp_path / "c.txt")
    (tmp_path / "skipped" / "x").write_text("x")
    found = watch.drain()
    assert found.changed == {str(tmp_path / name) for name in ("a.txt", "d/e/b.txt", "c.txt")}


def test_a_folder_made_later_is_watched_with_what_came_with_it(watch: Inotify, tmp_path: Path) -> None:
    (tmp_path / "new" / "deep").mkdir(parents=True)
    (tmp_path / "new" / "deep" / "f").write_text("1")
    assert str(tmp_path / "new" / "deep" / "f") in watch.drain().changed
    (tmp_path / "new" / "deep" / "f").write_text("2")
    assert watch.drain().changed == {str(tmp_path / "new" / "deep" / "f")}


def test_listing_a_folder_is_seen(watch: Inotify, tmp_path: Path) -> None:
    subprocess.run(["ls", str(tmp_path / "d")], check=True, capture_output=True)
    assert str(tmp_path / "d") in watch.drain().listed


def test_a_forked_child_takes_no_events(watch: Inotify, tmp_path: Path) -> None:
    (tmp_path / "a.txt").read_text()
    child = os.fork()
    if child == 0:
        os._exit(1 if watch.drain().opened else 0)
    assert os.waitpid(child, 0)[1] == 0
    assert watch.drain().opened == {str(tmp_path / "a.txt")}


def test_a_flood_is_told(watch: Inotify, tmp_path: Path) -> None:
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for number in range(most + 10):
        os.close(os.open(tmp_path / ("a.txt" if number % 2 else "d/e/b.txt"), os.O_RDONLY))
    assert watch.drain().overflow
