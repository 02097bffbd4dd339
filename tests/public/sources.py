"""Example notebooks out of source distributions on a package index; nothing of them is kept here."""

from __future__ import annotations

import json
import tarfile
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from packaging.utils import InvalidSdistFilename, parse_sdist_filename

INDEX = "https://pypi.org/simple"

PACKAGES = ("statsmodels", "control", "emcee", "lmfit", "xarray")
"""Projects whose source distributions were seen to hold notebooks."""


@dataclass(frozen=True)
class Found:
    """One notebook of a distribution, laid down beside its data."""

    package: str
    version: str
    path: Path
    cells: tuple[str, ...]


def source_distribution(package: str, folder: Path) -> Path:
    """The newest final source distribution of a project, downloaded once.

    Raises:
        LookupError: the index has none.
        OSError: it cannot be had.
    """
    request = urllib.request.Request(
        f"{INDEX}/{package}/", headers={"Accept": "application/vnd.pypi.simple.v1+json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        listed: list[dict[str, Any]] = json.load(answer)["files"]
    versions = []
    for file in listed:
        try:
            _, version = parse_sdist_filename(file["filename"])
        except InvalidSdistFilename:
            continue
        if not version.is_prerelease and not file.get("yanked"):
            versions.append((version, file))
    if not versions:
        raise LookupError(f"{package} has no source distribution")
    _, newest = max(versions, key=lambda pair: pair[0])
    target = folder / str(newest["filename"])
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".part")
        urllib.request.urlretrieve(newest["url"], partial)
        partial.rename(target)
    return target


def unpacked(archive: Path, folder: Path) -> Path:
    """The folder of an archive's content."""
    target = folder / archive.name.removesuffix(".tar.gz").removesuffix(".zip")
    if target.is_dir():
        return target
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as zipped:
            zipped.extractall(folder)
    else:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    return target


def notebooks(package: str, folder: Path) -> list[Found]:
    """All Python notebooks of a project that have at least three code cells."""
    archive = source_distribution(package, folder / "archives")
    root = unpacked(archive, folder / "unpacked")
    found = []
    for path in sorted(root.rglob("*.ipynb")):
        if ".ipynb_checkpoints" in PurePosixPath(path).parts:
            continue
        cells = code_cells(path)
        if len(cells) >= 3:
            version = archive.name.removesuffix(".tar.gz").removesuffix(".zip").rpartition("-")[2]
            found.append(Found(package, version, path, tuple(cells)))
    return found


def code_cells(path: Path) -> list[str]:
    """The sources of a notebook's code cells; none for what is no Python notebook."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return []
    if content.get("metadata", {}).get("kernelspec", {}).get("language", "python") not in ("python", ""):
        return []
    sources = ["".join(c.get("source", "")) for c in content.get("cells", []) if c.get("cell_type") == "code"]
    return [source for source in sources if source.strip()]
