"""Making a package of a notebook and what its runs recorded."""

from __future__ import annotations

import json
import posixpath
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import nbformat
from nbformat.v4.rwbase import rejoin_lines
from nbformat.validator import normalize

import nbrewind
from nbrewind.errors import MissingObject, PackageError
from nbrewind.model import Digest, Environment, FileState
from nbrewind.package import backpack, crate, environment, layout, packs
from nbrewind.package.layout import Input, Manifest
from nbrewind.package.reach import Reached, executions, reach, without_places
from nbrewind.package.rows import FORGOTTEN, json_line
from nbrewind.package.scanning import scan, without_secret_variables
from nbrewind.package.secrets import told
from nbrewind.package.sink import Writer, must_be_free, writing
from nbrewind.store import Store
from nbrewind.store.ledger import encode

_IN_MEMORY = 64 << 20
"""Contents of files above this are streamed through a file."""

Tell = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Request:
    """A package as somebody wants it."""

    notebook: Path
    target: Path
    name: str = ""
    history: bool = False
    """All runs of the notebook, not only the newest."""
    data: str = "auto"
    """Whether inputs go in: ``auto`` (those below ``data_limit``), ``all`` or ``none``."""
    data_limit: int = 100_000_000
    strip: frozenset[str] = frozenset()
    """``outputs``, ``results`` or both are left out."""
    allow_secrets: bool = False
    license: str = "No license is stated"
    author: str = ""
    sources: tuple[tuple[str, str], ...] = ()
    """Input -> the address where others get it."""


@dataclass(slots=True)
class Packed:
    """What is in a package now."""

    manifest: Manifest
    notes: list[str]
    tasks: int
    """How many ran; the log has some of them under two keys."""


def pack(store: Store, request: Request, magic: bytes, tell: Tell = lambda done, total: None) -> Packed:
    """Write the package; ``tell`` hears how many of how many bytes are done.

    Raises:
        RefusedError: something looks like a secret.
        PackageError: there is nothing to pack, the store misses a part of it, or it cannot be written.
    """
    must_be_free(request.target)
    runs = [run for run in store.runs(str(request.notebook)) if store.commits(run.id)]
    if not runs:
        raise PackageError(
            f"The store has no run of {request.notebook}. Run `nbrewind audit {request.notebook.name}` first."
        )
    name = request.name or layout.name_for(request.target)
    found = reach(store, runs if request.history else runs[:1], magic)
    found = without_places(
        found,
        f"{layout.WORKFLOW}/{request.notebook.name}",
        values="results" not in request.strip,
        outputs="outputs" not in request.strip,
    )
    found, notes = without_secret_variables(found)
    scanner = scan(store, found, read_raw(request.notebook), request.notebook.parent)
    if not request.allow_secrets:
        scanner.refuse(str(request.target))
    if scanner.secrets:
        notes.append(f"packed as you asked: {told(scanner.secrets)}")
    if scanner.personal:
        notes.append(f"readers will see {told(scanner.personal)}")
    with writing(request.target, name) as writer:
        job = _Packing(store, request, name, found, writer)
        job.notes += notes
        return job.run(tell)


class _Packing:
    """One package under way."""

    def __init__(self, store: Store, request: Request, name: str, found: Reached, writer: Writer) -> None:
        self.store = store
        self.request = request
        self.name = name
        self.found = found
        self.writer = writer
        self.notes: list[str] = []
        self.object_bytes = 0
        self.ran = executions(found.tasks)

    def run(self, tell: Tell) -> Packed:
        notebook = self._notebook()
        self.writer.put(f"{layout.WORKFLOW}/{self.request.notebook.name}", notebook)
        inputs = self._inputs()
        self._logs()
        rows = self._rows()
        self._objects(tell)
        self._surroundings(inputs)
        manifest = Manifest(
            format=layout.FORMAT,
            version=layout.VERSION,
            name=self.name,
            notebook=self.request.notebook.name,
            written_by=f"nbrewind {nbrewind.__version__}",
            rows=rows,
            objects=len(self.found.objects),
            object_bytes=self.object_bytes,
            files={},
            inputs=inputs,
            stripped=sorted(self.request.strip),
        )
        self.writer.put(layout.README, backpack.readme(manifest, len(self.ran), self.notes))
        self.writer.put(crate.PATH, self._crate(notebook))
        manifest.files = dict(self.writer.files)
        self.writer.put(layout.MANIFEST, layout.encode_manifest(manifest))
        return Packed(manifest, self.notes, len(self.ran))

    # -- the notebook ------------------------------------------------------------------------

    def _notebook(self) -> bytes:
        content = read_raw(self.request.notebook)
        notebook: Any = nbformat.from_dict(content)  # type: ignore[no-untyped-call]
        notebook = rejoin_lines(nbformat.convert(notebook, 4))  # type: ignore[no-untyped-call]
        notebook.nbformat_minor = max(5, notebook.nbformat_minor)
        _, notebook = normalize(notebook)
        if "outputs" in self.request.strip:
            for cell in notebook.cells:
                if cell.cell_type == "code":
                    cell.outputs, cell.execution_count = [], None
        notebook.metadata["nbrewind"] = {"package": layout.VERSION}
        self._compare_sources(notebook)
        text: str = nbformat.writes(notebook, version=4)  # type: ignore[no-untyped-call]
        return text.encode("utf-8") + (b"" if text.endswith("\n") else b"\n")

    def _crate(self, notebook: bytes) -> bytes:
        """What the package holds and how it came to be, for machines."""
        cells = [cell for cell in json.loads(notebook)["cells"] if cell["cell_type"] == "code"]
        run = self.found.runs[-1]
        ids = {commit.id for commit in self.store.branch(run)}
        commits = [one for one in self.found.commits.values() if one.id in ids]
        return crate.crate(
            name=self.name,
            notebook=self.request.notebook.name,
            cells=[(str(cell["id"]), "".join(cell["source"])) for cell in cells],
            run=run,
            commits=[(one, self.found.records[one.record]) for one in commits],
            files=self.writer.files,
            environment=self._environment(),
            license=self.request.license,
            author=self.request.author,
        )

    def _environment(self) -> Environment:
        """What the packed run ran in; what this process runs in where it did not say."""
        return environment.recorded(self.store, self.found.runs[-1]) or environment.here()

    def _compare_sources(self, notebook: Any) -> None:
        """Say it where the notebook was edited since it ran: those cells have no record here."""
        recorded = {record.source.strip() for record in self.found.records.values()}
        cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        changed = [
            i for i, cell in enumerate(cells) if cell.source.strip() and cell.source.strip() not in recorded
        ]
        if changed:
            listed = ", ".join(str(index) for index in changed[:8]) + ("..." if len(changed) > 8 else "")
            self.notes.append(
                f"cells {listed} were edited since the notebook ran: they execute at the other site. "
                "`nbrewind repeat` records them."
            )

    # -- what it read ------------------------------------------------------------------------

    def _inputs(self) -> dict[str, Input]:
        """Copy the inputs that go in, describe them all."""
        placed: dict[str, Input] = {}
        folder = self.request.notebook.parent
        for path, state in sorted(self.found.inputs.items()):
            placed[path] = Input(state.kind, state.size, state.digest)
            if state.kind != "file" or not state.digest:
                continue
            inside = not path.startswith("/")
            helper = inside and path.endswith(".py")
            wanted = self.request.data == "all" or (
                self.request.data == "auto" and state.size <= self.request.data_limit
            )
            if not (helper or wanted):
                continue
            target = f"{layout.WORKFLOW}/{path}" if helper else f"{layout.DATA}/{_place(path, state.digest)}"
            if self._copy_input(folder / path, state, target):
                placed[path] = Input(state.kind, state.size, state.digest, target)
            else:
                self.notes.append(
                    f"{path} is not what the notebook read any more: it is described, not packed"
                )
        return placed

    def _copy_input(self, path: Path, state: FileState, target: str) -> bool:
        if self.store.digest_file(str(path)) == state.digest:
            self.writer.copy(target, path)
            return True
        if not self.store.has(state.digest):
            return False
        with self.writer.file(target) as file:
            for piece in self._pieces(state.digest, state.size):
                file.write(piece)
        return True

    def _surroundings(self, inputs: dict[str, Input]) -> None:
        """Software, data and compute, as Floability and people know them."""
        known = self._environment()
        if environment.recorded(self.store, self.found.runs[-1]) is None:
            self.notes.append(
                "the run did not record its environment: that of the packing process is described"
            )
        self.writer.put(layout.ENVIRONMENT, environment.environment_yml(self.name, known))
        self.writer.put(environment.LOCK, environment.lock(known))
        self.writer.put(environment.RECORD, msgspec.json.format(msgspec.json.encode(known), indent=1) + b"\n")
        self.writer.put(layout.COMPUTE, backpack.compute_yml())
        engines: dict[str, list[float]] = {}
        for task in self.ran:
            engines.setdefault(task.engine, []).append(task.seconds)
        for engine, seconds in sorted(engines.items()):
            if re.fullmatch(r"[a-z0-9_-]+", engine):
                self.writer.put(
                    f"compute/{engine}.yml", backpack.engine_yml(engine, len(seconds), sum(seconds))
                )
        files = self.writer.files
        checkpoints = [path for path in files if path.startswith((layout.CHECKPOINTS, "logs/"))]
        self.writer.put(
            layout.DATA_LIST, backpack.data_yml(inputs, files, dict(self.request.sources), checkpoints)
        )

    # -- what was recorded -------------------------------------------------------------------

    def _logs(self) -> None:
        with self.writer.file(layout.CELLS_LOG) as file:
            for commit in self.found.commits.values():
                record = self.found.records[commit.record]
                file.write(
                    json_line(
                        {
                            "run": commit.run,
                            "index": commit.index,
                            "cell_id": commit.cell_id,
                            "action": commit.action,
                            "execution_count": commit.execution_count,
                            "at": round(commit.created, 3),
                            "seconds": round(record.seconds, 6),
                            "reads": sorted(record.trace.reads),
                            "writes": sorted(record.delta.names),
                            "files_read": sorted(record.trace.files),
                            "files_written": sorted(record.delta.files),
                            "tasks": len(record.tasks),
                            "error": record.error.ename if record.error is not None else "",
                            "flags": list(record.flags),
                            "record": record.id,
                        }
                    )
                )

    def _rows(self) -> dict[str, int]:
        found = self.found
        groups: dict[str, Sequence[Any]] = {
            "run": found.runs,
            "commit": list(found.commits.values()),
            "record": list(found.records.values()),
            "task": found.tasks,
        }
        for kind, rows in groups.items():
            with self.writer.file(layout.ROWS[kind]) as file:
                for row in rows:
                    mark = FORGOTTEN if kind == "record" and row.id in found.forgotten else b""
                    file.write(mark + encode(row) + b"\n")
        return {kind: len(rows) for kind, rows in groups.items()}

    def _objects(self, tell: Tell) -> None:
        waiting = sorted(self.found.objects)
        done, number = 0, 0
        while done < len(waiting):
            with self.writer.file(layout.pack_name(number)) as file:
                packer = packs.Packer(file)
                while done < len(waiting) and packer.written < packs.PACK_BYTES:
                    self._add(packer, waiting[done])
                    done += 1
                    tell(done, len(waiting))
            number += 1

    def _add(self, packer: packs.Packer, digest: Digest) -> None:
        size = self.found.large.get(digest, 0)
        if size <= _IN_MEMORY:
            data = self._get(digest)
            size = len(data)
            packer.add(digest, size, packs.pieces_of(data))
        else:
            packer.add(digest, size, self._pieces(digest, size))
        self.object_bytes += size

    def _get(self, digest: Digest) -> bytes:
        try:
            return self.store.get(digest)
        except MissingObject as error:
            raise PackageError(f"{error} `nbrewind check --repair` says what is lost.") from error

    def _pieces(self, digest: Digest, size: int) -> Iterator[bytes]:
        """An object that may be larger than the memory."""
        if size <= _IN_MEMORY:
            yield from packs.pieces_of(self._get(digest))
            return
        with tempfile.TemporaryDirectory(prefix="nbrewind-") as folder:
            path = Path(folder) / "object"
            self.store.copy_out(digest, str(path), 0o600)
            with open(path, "rb") as file:
                while piece := file.read(packs.PIECE):
                    yield piece


def _place(path: str, digest: Digest) -> str:
    """Where an input lies below ``data/files``: as it is named, if it has a near and plain name."""
    try:
        if not path.startswith("elsewhere/"):
            return layout.safe_path(path)
    except PackageError:
        pass  # an absolute path, or a name that other systems do not take
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", posixpath.basename(path))[-100:]
    return f"elsewhere/{digest[:8]}-{plain}"


def read_raw(path: Path) -> dict[str, Any]:
    """A notebook's JSON.

    Raises:
        PackageError: it is none.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise PackageError(f"{path} cannot be read as a notebook ({error}).") from error
    if not isinstance(content, dict):
        raise PackageError(f"{path} is no notebook.")
    return content
