"""Nothing of a hostile package runs, leaves its folder, or fills memory or disk: there is an error, and that is all."""

from __future__ import annotations

import os
import pickle
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbrewind.errors import NBRewindError
from nbrewind.package.source import reading
from nbrewind.package.unpack import unpack
from nbrewind.package.verify import verify
from package import hostile
from package.conftest import Command, make_package

MEMORY = 600 << 20
"""Bytes that looking at any of them may take."""


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package that is what it says."""
    return make_package(tmp_path_factory.mktemp("good") / "paper")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder two levels below the temporary one: what climbs out is found there."""
    folder = tmp_path / "a/b"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield folder
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < MEMORY, f"it took {grown >> 20} MiB"
    escaped = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")} - {"a", "a/b"}
    assert all(name.startswith(("a/b/paper", "a/b/evil")) for name in escaped), escaped
    assert not os.path.exists("/tmp/up")


def refused(package: Path, folder: Path) -> None:
    """Looking finds it, or opening it does; and nothing is left behind."""
    try:
        found = verify(package)
    except NBRewindError:
        looked = False
    else:
        looked = not found.problems
    assert not looked, "verify found nothing"
    try:
        with reading(package) as source:
            manifest, _ = source.manifest()
            opened = unpack(source, manifest, folder / "paper-out", trusted=False)
    except NBRewindError:
        assert not (folder / "paper-out").exists()
    else:  # what only values can do is done to nobody who does not trust it
        assert opened.store is None and not (folder / "paper-out/.nbrewind").exists()
    assert not list(folder.glob(".paper-out*"))


@pytest.mark.parametrize("name", hostile.FORGED)
def test_forged(good: Path, place: Path, name: str) -> None:
    change, fields = hostile.FORGED[name]
    files = hostile.files_of(good)
    change(files)
    refused(hostile.write_folder(hostile.sealed(files, **fields), place / "paper"), place)


@pytest.mark.parametrize("name", hostile.TORN)
def test_torn(good: Path, place: Path, name: str) -> None:
    files = hostile.files_of(good)
    hostile.TORN[name](files)
    package = hostile.write_zip(hostile.entries_of(files), place / "paper.zip")
    if name != "a signature that is none":
        refused(package, place)
    assert verify_problems(package)


def verify_problems(package: Path) -> bool:
    """Whether looking at it finds something."""
    try:
        return bool(verify(package).problems)
    except NBRewindError:
        return True


def test_entries_of_zip_files(good: Path, place: Path) -> None:
    cases = list(hostile.zips(hostile.files_of(good)))
    assert len(cases) > 18
    for number, (name, entries) in enumerate(cases):
        package = hostile.write_zip(entries, place / f"paper{number}.zip")
        try:
            refused(package, place)
        except AssertionError as error:
            raise AssertionError(name) from error


def test_links_and_pipes(good: Path, place: Path) -> None:
    for number in range(4):
        package = place / f"paper{number}"
        shutil.copytree(good, package)
        name, make = list(hostile.links(package))[number]
        make()
        try:
            refused(package, place)
        except AssertionError as error:
            raise AssertionError(name) from error


@pytest.mark.parametrize("data", [b"", b"PK\5\6", b"PK\5\6" + b"\xff" * 18, b"\0" * 1000, b"PK\3\4" * 100])
def test_files_that_are_no_packages(place: Path, data: bytes) -> None:
    (place / "paper.zip").write_bytes(data)
    refused(place / "paper.zip", place)


def test_a_bomb_in_a_good_package_is_paid_by_nobody(good: Path, place: Path) -> None:
    """30 GB of zeros with honest digests: only the ratio tells."""
    files = hostile.files_of(good)
    files["data/files/zeros"] = bytes(1 << 20)
    package = hostile.write_zip(hostile.entries_of(hostile.sealed(files)), place / "paper.zip")
    assert not verify(package).problems
    assert any("--max-size" in problem for problem in verify(package, most=100_000).problems)


class _Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch OWNED",)


def test_no_pickle_is_loaded_without_trust(nbrewind: Command, good: Path, place: Path) -> None:
    from nbrewind.package import packs

    evil = pickle.dumps(_Bomb())
    files = hostile.files_of(good)
    with (good / hostile.PACK).open("rb") as stream:
        objects = [(d, size, b"".join(pieces)) for d, size, pieces in packs.objects(stream, "pack")]
    objects.append((hostile.digest(evil), len(evil), evil))
    files[hostile.PACK] = hostile.pack_of(*((d, n, hostile.piece(data)) for d, n, data in objects))
    hostile.row(hostile.RECORDS, delta__ambient={"cwd": {"digest": "0" * 32, "image": hostile.digest(evil)}})(
        files
    )
    size = sum(n for _, n, _ in objects)
    package = hostile.write_folder(
        hostile.sealed(files, objects=len(objects), object_bytes=size), place / "evil"
    )
    assert nbrewind("verify", package).code == 0
    assert nbrewind("unpack", package, "-o", "evil-out").code == 0
    assert nbrewind("repeat", package).code == 5
    assert not list(place.rglob("OWNED"))


def test_the_history_of_a_package_is_looked_at_without_trust(
    nbrewind: Command, good: Path, place: Path
) -> None:
    files = hostile.files_of(good)
    hostile.row(hostile.RECORDS, source="print('\x1b]0;owned\x07')", notes=["\x1b[2J"])(files)
    package = hostile.write_folder(hostile.sealed(files), place / "paper")
    shown = nbrewind("show", "--store", package)
    assert shown.code == 0 and "\x1b]" not in shown.out and "owned" in shown.out
    assert len(nbrewind("log", "--store", package, "--json").json["runs"]) == 1
