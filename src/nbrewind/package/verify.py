"""Looking at a package without trusting it: nothing of it is executed or unpickled."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import yaml

from nbrewind.errors import PackageError, RefusedError
from nbrewind.model import Commit, Digest, Record, Run, TaskEntry
from nbrewind.package import layout, packs
from nbrewind.package.layout import Manifest, shown
from nbrewind.package.reach import execution
from nbrewind.package.rows import read_rows
from nbrewind.package.signing import allowed_signers, can_check, signer, torn
from nbrewind.package.source import Source, reading
from nbrewind.store.ledger import needs

_CELL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SHOWN = 20
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError, nbformat.ValidationError)
Tell = Callable[[int, int], None]


@dataclass(slots=True)
class Verified:
    """What a package was found to be."""

    manifest: Manifest
    sha256: str
    """Digest of the manifest, which has the digests of everything else: it names the package."""
    problems: list[str] = field(default_factory=list)
    """Why it is not what it should be; empty where it is."""
    tasks: int = 0
    """How many ran, however often the log has them."""
    signer: str = ""
    """Who signed it, by a key that is allowed here."""
    notes: list[str] = field(default_factory=list)
    """What a reader should know and nothing forbids."""


def verify(
    path: Path,
    most: int | None = None,
    tell: Tell = lambda done, total: None,
    *,
    signers: Path | None = None,
) -> Verified:
    """Check every digest, the rows, the notebook and the folders; and who signed, among ``signers``.

    Raises:
        PackageError: it cannot be read as a package at all.
    """
    with reading(path, most) as source:
        manifest, data = source.manifest()
        found = Verified(manifest, hashlib.sha256(data).hexdigest())
        signers = signers or allowed_signers()
        if layout.SIGNATURE in source.sizes and not can_check():
            found.notes.append("it is signed, and there is no ssh-keygen here to check that")
        elif signers.is_file():
            try:
                found.signer = signer(source, data, signers)
            except RefusedError as error:
                found.problems.append(str(error))
        elif torn(source, data):
            found.problems.append("its signature is not of this package: it was changed since")
        elif layout.SIGNATURE in source.sizes:
            found.notes.append(f"it is signed, but there is no list of keys that you trust at {signers}")
        check = _Check(source, found)
        for part in (check.notebook, check.folders, check.checkpoints, lambda: check.files(tell)):
            try:
                part()
            except PackageError as error:
                found.problems.append(str(error))
    return found


class _Check:
    """One look at one package."""

    def __init__(self, source: Source, found: Verified) -> None:
        self.source = source
        self.found = found
        self.manifest = found.manifest
        self.wanted: dict[Digest, str] = {}
        """Objects that rows need, and who needs them."""

    def files(self, tell: Tell) -> None:
        """Every file against its SHA-256, every object against its name and the rows."""
        objects: set[Digest] = set()
        size, total = 0, sum(file.size for file in self.manifest.files.values())
        done = 0
        for path, file in sorted(self.manifest.files.items()):
            with self.source.open(path, file.sha256) as stream:
                if layout.is_pack(path):
                    for digest, length, pieces in packs.objects(stream, path):
                        if digest in objects:
                            raise PackageError(f"The object {digest} is in the package twice.")
                        objects.add(digest)
                        size += length
                        for piece in pieces:
                            self.source.spend(len(piece))
            done += file.size
            tell(done, total)
        if (len(objects), size) != (self.manifest.objects, self.manifest.object_bytes):
            raise PackageError("The package holds other objects than its manifest says.")
        missing = [digest for digest in self.wanted if digest not in objects]
        if self.manifest.stripped:
            if missing:
                self.found.notes.append(
                    f"packed without {' and '.join(map(shown, self.manifest.stripped))}: cells run again"
                )
        elif missing:
            self._some(f"The object {digest} is missing ({self.wanted[digest]})." for digest in missing)

    def checkpoints(self) -> None:
        """The rows: each readable, and naming only what is there."""
        records, commits = set(), set()
        outside: set[str] = set()
        for record, _ in read_rows(self.source, self.manifest, Record):
            records.add(record.id)
            for digest in needs(record):
                self.wanted.setdefault(digest, f"record {record.id}")
            outside.update(path for path in record.delta.files if path.startswith("/"))
        for commit, _ in read_rows(self.source, self.manifest, Commit):
            if commit.record not in records or (commit.parent and commit.parent not in commits):
                raise PackageError(f"The commit {commit.id} follows on something that the package lacks.")
            commits.add(commit.id)
        for run, _ in read_rows(self.source, self.manifest, Run):
            if run.head and run.head not in commits:
                raise PackageError(f"The run {run.id} ends with a commit that the package lacks.")
        ran = set()
        for task, _ in read_rows(self.source, self.manifest, TaskEntry):
            if task.result:
                self.wanted.setdefault(task.result, f"task {task.key}")
            ran |= {execution(task)} - {None}
        self.found.tasks = len(ran)
        for path in sorted(outside):
            self.found.notes.append(f"its cells write outside their folder: {shown(path)}")

    def notebook(self) -> None:
        """Valid nbformat 4.5 as it is in the file: validators mend doubled ids before they look."""
        path = f"{layout.WORKFLOW}/{self.manifest.notebook}"
        try:
            content = json.loads(self.source.read(path, self.manifest.files[path].sha256))
            version = content["nbformat"], content["nbformat_minor"]
            if [type(number) for number in version] != [int, int] or version[0] != 4:
                raise ValueError("its format is not 4.x")  # nbformat would import a module of that name
            ids = [cell.get("id") for cell in content["cells"]]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it says that it mended what we refuse below
                nbformat.validate(content, relax_add_props=False)
        except _UNREADABLE as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise PackageError(f"{path} is no valid notebook ({shown(reason[0])}).") from error
        if version < (4, 5):
            raise PackageError(f"{path} has an older format than 4.5: its cells have no ids.")
        for one in ids:
            if not isinstance(one, str) or not _CELL_ID.fullmatch(one):
                raise PackageError(f"{path} has a cell with the id {shown(str(one))}, which is not allowed.")
        if len(set(ids)) != len(ids):
            raise PackageError(f"{path} has two cells with one id.")

    def folders(self) -> None:
        """Floability's rules for a backpack."""
        files = self.manifest.files
        top = [path for path in files if re.fullmatch(rf"{layout.WORKFLOW}/[^/]+\.(ipynb|py|sh)", path)]
        if not top:
            raise PackageError(f"The folder {layout.WORKFLOW}/ holds no notebook.")
        for path, needed in ((layout.ENVIRONMENT, True), (layout.COMPUTE, True), (layout.DATA_LIST, False)):
            if path not in files:
                if needed:
                    raise PackageError(f"The package lacks {path}.")
                continue
            self._mapping(path)

    def _mapping(self, path: str) -> dict[str, Any]:
        try:
            content = yaml.safe_load(self.source.read(path, self.manifest.files[path].sha256, 8 << 20))
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise PackageError(f"{path} of the package is no YAML ({shown(str(error))}).") from error
        if not isinstance(content, dict):
            raise PackageError(f"{path} of the package holds no mapping.")
        return content

    def _some(self, problems: Iterable[str]) -> None:
        every = list(problems)
        self.found.problems += every[:_SHOWN]
        if len(every) > _SHOWN:
            self.found.problems.append(f"and {len(every) - _SHOWN} more of this kind")
