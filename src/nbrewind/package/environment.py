"""The environment of a run as files that conda, pip and uv understand, and compared with another."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import yaml

from nbrewind.errors import MissingObject, PackageError
from nbrewind.flow.environment import agrees, installed_version
from nbrewind.flow.installed import environment as present_environment
from nbrewind.model import Commit, Distribution, Environment, Record, Run
from nbrewind.package.layout import Manifest
from nbrewind.package.rows import read_rows
from nbrewind.package.source import Source
from nbrewind.store import Store

LOCK = "software/requirements.lock"
RECORD = "software/environment.json"


def recorded(store: Store, run: Run) -> Environment | None:
    """What a run ran in, None where its store does not say (it is older than that)."""
    try:
        return msgspec.json.decode(store.get(run.environment), type=Environment)
    except (MissingObject, msgspec.DecodeError):
        return None


def here() -> Environment:
    """The environment of this process."""
    return present_environment()


def environment_yml(name: str, environment: Environment) -> bytes:
    """A conda file: Python from conda, everything else by pip from the lock file."""
    content: dict[str, Any] = {
        "name": name,
        "channels": ["conda-forge"],
        "dependencies": [
            f"python={'.'.join(environment.python.split('.')[:2])}",
            "pip",
            {"pip": list(requirements(environment))},
        ],
    }
    return yaml.safe_dump(content, sort_keys=False).encode("utf-8")


def lock(environment: Environment) -> bytes:
    """A file that ``pip install -r`` and ``uv pip install -r`` take: exact versions, direct URLs."""
    head = (
        f"# Python {environment.python} ({environment.implementation}) on {environment.system} "
        f"{environment.machine}, {environment.libc}\n"
    )
    notes = [
        f"# {one.name} {one.version} was installed from the author's own files ({one.local}): not here\n"
        for one in environment.distributions
        if one.local and one.name != "nbrewind"
    ]
    return (head + "".join(notes) + "".join(f"{line}\n" for line in requirements(environment))).encode(
        "utf-8"
    )


def requirements(environment: Environment) -> Iterable[str]:
    """One line of a requirements file per distribution that can be had elsewhere."""
    for one in environment.distributions:
        if one.local and one.name != "nbrewind":
            continue
        if one.url:
            yield f"{one.name} @ {_address(one)}"
        elif one.name not in {"pip", "setuptools", "wheel"}:
            yield f"{one.name}=={one.version}"


def _address(one: Distribution) -> str:
    mark = f"@{one.hash}" if "+" in one.url.partition(":")[0] and one.hash else ""
    fragment = []
    if not mark and one.hash:
        fragment.append(one.hash)
    if one.subfolder:
        fragment.append(f"subdirectory={one.subfolder}")
    return one.url + mark + ("#" + "&".join(fragment) if fragment else "")


class Difference(msgspec.Struct, frozen=True):
    """One thing that is not as it was recorded."""

    what: str
    recorded: str
    present: str
    verdict: str
    """``compatible`` or ``different``."""


def compare(then: Environment, now: Environment) -> list[Difference]:
    """What differs, the packages by rule R13: equal major and minor numbers are compatible."""
    found = []
    for what in ("python", "implementation", "system", "machine", "libc", "hash_seed"):
        before, after = str(getattr(then, what)), str(getattr(now, what))
        if before != after:
            hard = what in {"implementation", "system", "machine"}
            found.append(Difference(what, before, after, "different" if hard else "compatible"))
    if then.features != now.features:
        words = " ".join(then.features), " ".join(now.features)
        found.append(Difference("processor", *words, "compatible"))
    present = {one.name.lower(): one for one in now.distributions}
    for one in then.distributions:
        other = present.get(one.name.lower())
        if other is None:
            found.append(Difference(one.name, one.version, "", "different"))
        elif one.version != other.version:
            same = agrees(one.version, other.version, "compatible")
            found.append(
                Difference(one.name, one.version, other.version, "compatible" if same else "different")
            )
        elif one.content and other.content and one.content != other.content:
            found.append(Difference(one.name, one.version, "other code of this version", "different"))
    return found


def of_package(source: Source, manifest: Manifest) -> Environment:
    """What the packed run ran in.

    Raises:
        PackageError: the package does not say.
    """
    if RECORD not in manifest.files:
        raise PackageError(f"The package lacks {RECORD}.")
    try:
        data = source.read(RECORD, manifest.files[RECORD].sha256)
        return msgspec.json.decode(data, type=Environment)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PackageError(f"{RECORD} of the package cannot be read.") from error


def cells_touched(source: Source, manifest: Manifest, rule: str = "compatible") -> dict[str, list[int]]:
    """Package that is not here as it was -> the code cells whose records do not hold for that (R13)."""
    using: dict[str, list[str]] = {}
    for record, _ in read_rows(source, manifest, Record):
        for package, version in record.trace.packages.items():
            if not agrees(version, installed_version(package), rule):
                using.setdefault(package, []).append(record.id)
    indices: dict[str, set[int]] = {}
    for commit, _ in read_rows(source, manifest, Commit):
        indices.setdefault(commit.record, set()).add(commit.index)
    return {
        package: sorted({index for record in records for index in indices.get(record, ())})
        for package, records in sorted(using.items())
    }


def create(requirements_file: Path, target: Path, python: str) -> None:
    """Make a virtual environment with what a lock file names: by uv where it is installed, else by pip.

    Raises:
        PackageError: the place is taken, or installing failed; the installer's words are on the terminal.
    """
    if target.exists():
        raise PackageError(f"{target} exists already. Name another place with -o.")
    uv = shutil.which("uv")
    inside = target / "bin" / "python"
    if uv is not None:
        commands = [
            [uv, "venv", "-q", "--python", python, str(target)],
            [uv, "pip", "install", "-q", "--python", str(inside), "-r", str(requirements_file)],
        ]
    else:
        commands = [
            [python, "-m", "venv", str(target)],
            [str(inside), "-m", "pip", "install", "-q", "-r", str(requirements_file)],
        ]
    for command in commands:
        try:
            done = subprocess.run(command, check=False, stdout=sys.stderr)
        except OSError as error:
            raise PackageError(f"{command[0]} cannot be run ({error.strerror}).") from error
        if done.returncode:
            raise PackageError(
                f"The environment could not be made: `{' '.join(command[:4])} ...` failed, as told above. "
                f"What there is of it is in {target}."
            )
