"""Packages that mean harm: each is a good one, changed in one way."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import zstandard
from blake3 import blake3

from nbrewind.package import layout

Files = dict[str, bytes]
Change = Callable[[Files], None]

PACK = "checkpoints/objects-0000.pack"
RECORDS = "checkpoints/records.jsonl"
RUNS = "checkpoints/runs.jsonl"
COMMITS = "checkpoints/commits.jsonl"
TASKS = "logs/tasks.jsonl"
NOTEBOOK = "workflow/x.ipynb"


def files_of(package: Path) -> Files:
    """A package's files by path."""
    return {str(p.relative_to(package)): p.read_bytes() for p in package.rglob("*") if p.is_file()}


def sealed(files: Files, **fields: Any) -> Files:
    """The files with a manifest that fits them: whoever forges a package forges that too."""
    manifest = json.loads(files[layout.MANIFEST])
    manifest["files"] = {
        path: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for path, data in files.items()
        if path not in {layout.MANIFEST, layout.SIGNATURE}
    }
    manifest.update(fields)
    return {**files, layout.MANIFEST: json.dumps(manifest).encode()}


def write_folder(files: Files, target: Path) -> Path:
    """A folder with these files."""
    for path, data in files.items():
        place = target / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return target


def write_zip(entries: list[tuple[zipfile.ZipInfo | str, bytes]], target: Path) -> Path:
    """A zip file with these entries as they are."""
    import warnings

    with warnings.catch_warnings(), zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # doubled names
        for name, data in entries:
            archive.writestr(name, data)
    return target


def entries_of(files: Files) -> list[tuple[zipfile.ZipInfo | str, bytes]]:
    """The entries of an honest zip file."""
    return [(f"paper/{path}", data) for path, data in sorted(files.items())]


def row(path: str, **fields: Any) -> Change:
    """Change fields of the first row of a file; dotted names go down."""

    def change(files: Files) -> None:
        first, *rest = files[path].split(b"\n")
        content = json.loads(first)
        for name, value in fields.items():
            *above, last = name.split("__")
            place = content
            for part in above:
                place = place.setdefault(part, {})
            place[last] = value
        files[path] = b"\n".join([json.dumps(content).encode(), *rest])

    return change


def text(path: str, data: bytes) -> Change:
    """Replace a file."""

    def change(files: Files) -> None:
        files[path] = data

    return change


def without(path: str) -> Change:
    """Leave a file out."""

    def change(files: Files) -> None:
        del files[path]

    return change


def pack_of(*objects: tuple[str, int, bytes]) -> bytes:
    """A pack of objects given as digest, claimed length and encoded pieces."""
    return b"NBPACK1\n" + b"".join(
        bytes.fromhex(digest) + struct.pack("<Q", size) + body for digest, size, body in objects
    )


def piece(data: bytes, packed: bool = False) -> bytes:
    """One piece of an object."""
    return struct.pack("<I", len(data) | (1 << 31 if packed else 0)) + data


def digest(data: bytes) -> str:
    """The name of an object."""
    return str(blake3(data).hexdigest()[:32])


def cell(**fields: Any) -> Change:
    """Change the notebook's first cell."""

    def change(files: Files) -> None:
        content = json.loads(files[NOTEBOOK])
        content["cells"][0].update(fields)
        files[NOTEBOOK] = json.dumps(content).encode()

    return change


def _format(files: Files, version: Any) -> Files:
    return {NOTEBOOK: json.dumps({**json.loads(files[NOTEBOOK]), "nbformat": version}).encode()}


def doubled_cell(files: Files) -> None:
    """Two cells with one id."""
    content = json.loads(files[NOTEBOOK])
    content["cells"] *= 2
    files[NOTEBOOK] = json.dumps(content).encode()


STATE = {"kind": "file", "digest": "0" * 32, "size": 1, "mode": 0}

BOMB = zstandard.ZstdCompressor().compress(bytes(4 << 20))
LIAR = zstandard.ZstdCompressor().compress(bytes(64 << 20))

FORGED: dict[str, tuple[Change, dict[str, Any]]] = {
    # paths in rows
    "a file written above the folder": (row(RECORDS, delta__files={"../../up": STATE}), {}),
    "a file with dots inside": (row(RECORDS, delta__files={"a/../../up": STATE}), {}),
    "a file with a null byte": (row(RECORDS, delta__files={"a\0b": STATE}), {}),
    "an input above the folder": (row(RECORDS, trace__files={"../up": STATE}), {}),
    "a listing above the folder": (row(RECORDS, trace__listings={"../..": "0" * 32}), {}),
    "a start world above the folder": (row(RUNS, found={"../up": STATE}), {}),
    "leftovers above the folder": (row(RUNS, left={"./x": STATE}), {}),
    "a task's file above the folder": (row(TASKS, outputs={"../up": STATE}), {}),
    # names that are no digests
    "an image that is a path": (
        row(RECORDS, delta__names={"x": {"digest": "", "image": "../../etc/passwd"}}),
        {},
    ),
    "outputs that are a path": (row(RECORDS, outputs="../../../etc/passwd"), {}),
    "a source that is a path": (row(RECORDS, delta__sources={"m": "/etc/passwd"}), {}),
    "an ambient value that is a path": (
        row(RECORDS, delta__ambient={"cwd": {"digest": "", "image": "/etc"}}),
        {},
    ),
    "a record with an id of SQL": (row(RECORDS, id="x'; drop table records; --"), {}),
    "a source key of SQL": (row(RECORDS, source_key="' or 1=1 --"), {}),
    "a commit with an id of SQL": (row(COMMITS, id="'); delete from runs; --"), {}),
    "a run with an id of SQL": (row(RUNS, id="%"), {}),
    "a task key of SQL": (row(TASKS, key="*"), {}),
    "a task's result that is a path": (row(TASKS, result="../objects"), {}),
    "a digest in capitals": (row(RECORDS, outputs="A" * 32), {}),
    # rows that are none
    "rows that are no JSON": (text(RECORDS, b"{\n"), {}),
    "rows of another shape": (text(RECORDS, b"[1, 2]\n"), {}),
    "rows nested without end": (text(RECORDS, b"[" * 200_000 + b"\n"), {}),
    "numbers without end": (text(RECORDS, b'{"id": ' + b"9" * 100_000 + b"}\n"), {}),
    "a row without an end": (lambda files: files.update({RECORDS: files[RECORDS].rstrip(b"\n")}), {}),
    "more rows than announced": (lambda files: files.update({RECORDS: files[RECORDS] * 2}), {}),
    "fewer rows than announced": (text(COMMITS, b""), {}),
    "a commit of no record": (row(COMMITS, record="9" * 32), {}),
    "a commit that is its own parent": (row(COMMITS, parent="c" * 31 + "0"), {}),
    "a run that ends nowhere": (row(RUNS, head="9" * 32), {}),
    "a record whose parts are missing": (row(RECORDS, outputs="9" * 32), {}),
    # packs
    "a pack that is none": (text(PACK, b"PK\3\4"), {}),
    "a torn pack": (lambda files: files.update({PACK: files[PACK][:-5]}), {}),
    "an object under a false name": (text(PACK, pack_of(("0" * 32, 3, piece(b"abc")))), {}),
    "an object of 2**63 bytes": (text(PACK, pack_of((digest(b""), 1 << 63, piece(b"abc")))), {}),
    "a piece longer than its object": (text(PACK, pack_of((digest(b"a"), 1, piece(b"abc")))), {}),
    "a piece of 2 GiB": (text(PACK, pack_of((digest(b"a"), 1 << 40, struct.pack("<I", (1 << 31) - 1)))), {}),
    "a piece that unpacks to more": (text(PACK, pack_of((digest(b""), 4 << 20, piece(LIAR, True)))), {}),
    "a piece that is no frame": (text(PACK, pack_of((digest(b""), 9, piece(b"junk", True)))), {}),
    "one object twice": (lambda files: files.update({PACK: files[PACK] + files[PACK][8:]}), {}),
    "a terabyte of zeros": (text(PACK, pack_of((digest(b""), 1 << 40, piece(BOMB, True) * 5000))), {}),
    "an object that nobody announced": (
        lambda files: files.update({PACK: files[PACK] + pack_of((digest(b"x"), 1, piece(b"x")))[8:]}),
        {},
    ),
    # the manifest
    "a later version": (lambda files: None, {"version": 99}),
    "another format": (lambda files: None, {"format": "zip"}),
    "a name that is a path": (lambda files: None, {"name": "../../up"}),
    "a name with an escape": (lambda files: None, {"name": "\x1b]0;owned\x07"}),
    "a notebook above the folder": (lambda files: None, {"notebook": "../up.ipynb"}),
    "a notebook at the root": (lambda files: None, {"notebook": "/etc/passwd"}),
    "no notebook": (without(NOTEBOOK), {}),
    "counts below zero": (lambda files: None, {"objects": -1}),
    "counts beyond all numbers": (lambda files: None, {"objects": 10**30}),
    "counts of other kinds": (lambda files: None, {"rows": {"record": 1}}),
    "false counts": (lambda files: None, {"object_bytes": 1}),
    "a field that nobody knows": (lambda files: None, {"execute": "rm -rf /"}),
    "an input above the folder in the manifest": (
        lambda files: None,
        {"inputs": {"../../up": {"kind": "file", "file": NOTEBOOK}}},
    ),
    "an input inside the store": (
        lambda files: None,
        {"inputs": {".nbrewind/catalog.sqlite": {"kind": "file", "file": NOTEBOOK}}},
    ),
    "an input from outside the package": (
        lambda files: None,
        {"inputs": {"a": {"kind": "file", "file": "../../../etc/passwd"}}},
    ),
    "an input that is a device": (lambda files: None, {"inputs": {"a": {"kind": "device"}}}),
    "one input over another": (
        lambda files: None,
        {"inputs": {"x.ipynb": {"kind": "file", "digest": "0" * 32, "file": "README.md"}}},
    ),
    # files that stand where the store will be
    "a catalog of its own": (text("workflow/.nbrewind/catalog.sqlite", b"SQLite format 3\0"), {}),
    # the notebook and its surroundings
    "a notebook that is no JSON": (text(NOTEBOOK, b"<html>"), {}),
    "a notebook nested without end": (text(NOTEBOOK, b'{"cells":' * 100_000), {}),
    "a notebook of format -1": (lambda files: files.update(_format(files, -1)), {}),
    "a notebook whose format is a name": (lambda files: files.update(_format(files, "4.convert")), {}),
    "two cells of one id": (doubled_cell, {}),
    "a cell id with markup": (cell(id="<script>"), {}),
    "an output of another kind": (cell(outputs=[{"output_type": "exec", "code": "1"}]), {}),
    "YAML that makes objects": (
        text("data/data.yml", b"!!python/object/apply:os.system ['touch OWNED']"),
        {},
    ),
    "YAML that is a list": (text("compute/compute.yml", b"[]"), {}),
    "no environment": (without("software/environment.yml"), {}),
}
"""Changes that are sealed again, with fields for the manifest."""

TORN: dict[str, Change] = {
    "a changed notebook": lambda files: files.update({NOTEBOOK: files[NOTEBOOK].replace(b"print", b"exec_")}),
    "a changed record": lambda files: files.update({RECORDS: files[RECORDS].replace(b"print", b"exec_")}),
    "a changed pack": lambda files: files.update({PACK: files[PACK][:-1] + b"\xff"}),
    "a missing file": without("README.md"),
    "a file too many": text("workflow/sitecustomize.py", b"raise SystemExit"),
    "no manifest": without(layout.MANIFEST),
    "a manifest that is no JSON": text(layout.MANIFEST, b"\x80\x04."),
    "a manifest nested without end": text(layout.MANIFEST, b"[" * 200_000),
    "a huge manifest": text(layout.MANIFEST, b" " * (65 << 20)),
    "a signature that is none": text(layout.SIGNATURE, b"-----BEGIN SSH SIGNATURE-----\nAAAA\n"),
}
"""Changes that leave the manifest as it is."""


def _info(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def zips(files: Files) -> Iterator[tuple[str, list[tuple[zipfile.ZipInfo | str, bytes]]]]:
    """Zip files whose entries are the trick."""
    good = entries_of(files)
    for name in (
        *("../up", "paper/../../up", "/tmp/up", "paper//tmp/up", "paper/./a", "paper/a\\..\\..\\up"),
        *("C:/up", "paper/C:", "paper/a\x1b[2J", "paper/" + "a/" * 600 + "a", "paper/workflow/x.ipynb/y"),
        *("paper/WORKFLOW/X.IPYNB", "other/a", "paper/workflow/x.ipynb"),
    ):
        yield f"an entry {name[:40]!a}", [*good, (name, b"up")]
    for word, mode in (("link", stat.S_IFLNK), ("device", stat.S_IFCHR), ("pipe", stat.S_IFIFO)):
        yield f"a {word}", [*good, (_info("paper/workflow/x", mode | 0o777), b"/etc/passwd")]
    yield "a folder that is a link", [(_info("paper/workflow", stat.S_IFLNK | 0o777), b"/tmp"), *good]
    bomb = zipfile.ZipInfo("paper/data/bomb")
    bomb.compress_type = zipfile.ZIP_DEFLATED
    yield "a member of zeros that nobody lists", [*good, (bomb, bytes(300 << 20))]
    odd = zipfile.ZipInfo("paper/data/odd")
    odd.compress_type = zipfile.ZIP_LZMA
    yield "a member in an odd coding", [*good, (odd, b"x")]
    yield "no folder", [(str(name).partition("/")[2], data) for name, data in good]
    yield "nothing", []


def links(package: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """Things that only a folder can hold."""
    yield "a link to a file", lambda: os.symlink("/etc/passwd", package / "workflow/y")
    yield "a link to a folder", lambda: os.symlink("/", package / "data/root")
    yield "a pipe", lambda: os.mkfifo(package / "workflow/pipe")

    def swapped() -> None:
        (package / NOTEBOOK).unlink()
        os.symlink("/etc/passwd", package / NOTEBOOK)

    yield "a link in a file's place", swapped
