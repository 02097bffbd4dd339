"""Where locks and mappings are unsafe, neither a log with shared memory nor a mapping is used."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from nbrewind.store import Store, filesystem
from nbrewind.store.check import examine
from nbrewind.store.filesystem import remote, type_of
from store.conftest import record

MOUNTS = """\
22 1 0:21 / / rw,relatime shared:1 - overlay overlay rw
30 22 0:30 / /home rw - ext4 /dev/sda1 rw
31 30 0:31 / /home/me/data\\040sets rw - nfs4 server:/data rw
32 22 0:32 / /mnt/usb rw - fuseblk /dev/sdb1 rw
33 22 0:33 / /mnt/cloud rw - fuse.sshfs me@server: rw
34 22 0:34 / /proc rw - proc proc rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/me/.nbrewind", "ext4"),
        ("/home/me/data sets/x/.nbrewind", "nfs4"),
        ("/homes", "overlay"),
        ("/mnt/cloud", "fuse.sshfs"),
    ],
)
def test_the_innermost_mount_counts(path: str, kind: str) -> None:
    assert type_of(Path(path), MOUNTS) == kind


def test_what_is_remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTS)
    monkeypatch.setattr(filesystem, "_MOUNTS", tmp_path / "mountinfo")
    assert remote(Path("/home/me/data sets")) == "nfs4" and remote(Path("/mnt/cloud/x")) == "fuse.sshfs"
    assert remote(Path("/home/me")) == remote(Path("/mnt/usb")) == ""
    (tmp_path / "mountinfo").unlink()
    assert remote(Path("/mnt/cloud")) == ""


def test_a_store_there_has_no_log_and_maps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Store.open(tmp_path / "s")
    before.add_record(record("one", before.put(b"one")))
    before.close()
    monkeypatch.setattr(filesystem, "remote", lambda path: "nfs4")
    store = Store.open(tmp_path / "s")
    blocks = [store.put(bytes([number]) * (1 << 20)) for number in range(3)]
    store.add_record(record("two", *blocks))
    store.flush()
    connection = sqlite3.connect(tmp_path / "s" / "catalog.sqlite")
    assert connection.execute("pragma journal_mode").fetchone() == ("delete",)
    connection.close()
    reader = Store.open(tmp_path / "s", readonly=True)
    assert [one.id for one in reader.records("k")] == ["two", "one"]
    assert isinstance(reader.join(blocks), bytearray)
    store.add_record(record("three"))
    store.flush()
    assert len(reader.records("k")) == 3
    store.close()
    reader.close()
    assert not examine(tmp_path / "s", lambda image: []).problems
