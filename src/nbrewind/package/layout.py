"""Where things are in a package, and its manifest.

A package names no host, no user and no absolute place of its own: every path in it is
relative, with forward slashes.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import msgspec

from nbrewind.errors import PackageError

FORMAT = "nbrewind-package"
VERSION = 1

CHECKPOINTS = "checkpoints"
MANIFEST = f"{CHECKPOINTS}/manifest.json"
SIGNATURE = f"{MANIFEST}.sig"
ROWS = {kind: f"{CHECKPOINTS}/{kind}s.jsonl" for kind in ("run", "commit", "record")}
ROWS["task"] = "logs/tasks.jsonl"
"""Kind of a row -> the file with one such row per line."""

CELLS_LOG = "logs/cells.jsonl"
WORKFLOW = "workflow"
STORE = ".nbrewind"
DATA = "data/files"
DATA_LIST = "data/data.yml"
COMPUTE = "compute/compute.yml"
ENVIRONMENT = "software/environment.yml"
README = "README.md"

NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")
"""What a package may be called: the rule of Floability's backpacks."""

MOST_FILES = 50_000
LONGEST_PATH = 1000


class File(msgspec.Struct, frozen=True):
    """One file of the package."""

    size: int
    sha256: str


class Input(msgspec.Struct, frozen=True):
    """Something that the notebook read or looked at and did not make."""

    kind: str
    size: int = 0
    digest: str = ""
    """Of its content; empty where only its existence was looked at."""
    file: str = ""
    """Where it is in the package; empty where it is only described."""


class Manifest(msgspec.Struct, forbid_unknown_fields=True):
    """``checkpoints/manifest.json``: every other file by size and SHA-256, and what they hold."""

    format: str
    version: int
    name: str
    notebook: str
    """Path of the notebook below ``workflow/``."""
    written_by: str
    rows: dict[str, int]
    """Rows by kind."""
    objects: int
    object_bytes: int
    """Bytes of all objects, unpacked."""
    files: dict[str, File]
    inputs: dict[str, Input] = {}
    """By the name that records have for it: relative to the notebook's folder if below it."""
    stripped: list[str] = []


def name_for(target: Path) -> str:
    """What a package at ``target`` is called: letters, digits, ``-`` and ``_`` (Floability's rule)."""
    stem = target.stem if target.suffix == ".zip" else target.name
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-")[:100] or "package"


def pack_name(number: int) -> str:
    """The path of a file of objects."""
    return f"{CHECKPOINTS}/objects-{number:04d}.pack"


def is_pack(path: str) -> bool:
    """Whether a path is that of a file of objects."""
    return re.fullmatch(rf"{CHECKPOINTS}/objects-\d{{4}}\.pack", path) is not None


def is_package(path: Path) -> bool:
    """Whether a path that a person names means a package: a zip file, or a folder with a manifest."""
    return path.suffix == ".zip" or (path / MANIFEST).is_file()


def safe_path(path: str) -> str:
    """``path`` if it stays below the package on every system.

    Raises:
        PackageError: it does not; the message shows it.
    """
    parts = path.split("/")
    bad = (
        not path
        or len(path) > LONGEST_PATH
        or path != str(PurePosixPath(path))
        or any(part in {"", ".", ".."} for part in parts)
        or "\\" in path
        or re.match(r"[A-Za-z]:", path) is not None
        or any(ord(char) < 32 or 127 <= ord(char) < 160 for char in path)
    )
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        bad = True
    if bad or path.startswith("/"):
        raise PackageError(f"The package names a path that leaves it or is not plain: {shown(path)}.")
    return path


def shown(text: str, most: int = 200) -> str:
    """A stranger's text for a terminal: no control characters, and not too much of it."""
    return ascii(text[:most] + ("…" if len(text) > most else ""))


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest's bytes, the same for the same content."""
    return msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=1) + b"\n"


def decode_manifest(data: bytes) -> Manifest:
    """The manifest of a package.

    Raises:
        PackageError: it is none, or a later version wrote it.
    """
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PackageError(f"{MANIFEST} of the package cannot be read ({shown(str(error))}).") from error
    if manifest.format != FORMAT or not 1 <= manifest.version <= VERSION:
        raise PackageError(
            f"The package has format {shown(manifest.format)} {manifest.version}; this nbrewind reads "
            f"{FORMAT} up to {VERSION}. Install a newer nbrewind."
        )
    if not NAME.fullmatch(manifest.name):
        raise PackageError(f"The package is called {shown(manifest.name)}, which is no plain name.")
    counts = [manifest.objects, manifest.object_bytes, *manifest.rows.values()]
    if min(counts) < 0 or set(manifest.rows) != set(ROWS) or len(manifest.files) > MOST_FILES:
        raise PackageError(f"{MANIFEST} of the package has counts that make no sense.")
    safe_path(manifest.notebook)
    for path, file in manifest.files.items():
        safe_path(path)
        if file.size < 0 or not re.fullmatch(r"[0-9a-f]{64}", file.sha256):
            raise PackageError(f"{MANIFEST} describes {shown(path)} in a way that makes no sense.")
    for name, one in manifest.inputs.items():
        known = one.kind in {"file", "dir"} and re.fullmatch(r"([0-9a-f]{32})?", one.digest) is not None
        if not known or "\0" in name or (one.file and one.file not in manifest.files):
            raise PackageError(f"{MANIFEST} describes the input {shown(name)} in a way that makes no sense.")
    if f"{WORKFLOW}/{manifest.notebook}" not in manifest.files:
        raise PackageError("The package has no notebook.")
    places(manifest)
    return manifest


def places(manifest: Manifest) -> dict[str, str]:
    """Where files go when a package is unpacked: path below the notebook's folder -> file of the package.

    Raises:
        PackageError: two would be one, or one would lie in the store or outside.
    """
    found = {
        path.removeprefix(f"{WORKFLOW}/"): path for path in manifest.files if path.startswith(f"{WORKFLOW}/")
    }
    for name, one in manifest.inputs.items():
        if name.startswith("/"):
            continue  # an absolute path: nobody puts a file there
        if name != ".":
            safe_path(name)
        if one.file and found.setdefault(name, one.file) != one.file:
            raise PackageError(f"The package holds {shown(name)} twice.")
    if len({name.casefold() for name in found}) != len(found):
        raise PackageError("The package holds two files whose names differ by their case only.")
    if any(name.partition("/")[0].casefold() == STORE for name in found):
        raise PackageError("The package would put files into the store.")
    return found
