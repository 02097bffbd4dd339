"""What the cells of a notebook take in the store: what they hold, and what they added to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from nbrewind.errors import MissingObject
from nbrewind.model import Digest, Record
from nbrewind.report.book import Book
from nbrewind.report.dataflow import shown
from nbrewind.store import Store

References = Callable[[bytes], list[Digest]]

LARGEST_IMAGE = 64 << 20
"""Images beyond this are not read to find the blocks that they name; they hold little but themselves."""


@dataclass(slots=True)
class CellBytes:
    """``logical``: what the cell's results, outputs and files hold.  ``stored``: what of it was new."""

    logical: int = 0
    stored: int = 0
    outputs: int = 0
    files: int = 0


@dataclass(slots=True)
class Stored:
    """Bytes of the newest run by cell and by name, and of all runs."""

    cells: dict[str, CellBytes] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    runs: list[tuple[int, int]] = field(default_factory=list)
    """Logical and stored bytes by run, in the order of the book."""


def storage(book: Book, store: Store, references: References) -> Stored:
    """Sizes by reading objects' headers; ``references`` names the blocks of an image."""
    found = Stored()
    measure = _Measure(store, references)
    for view in reversed(book.runs):
        cells: dict[str, CellBytes] = {}
        for step in view.steps:
            if step.record is not None:
                cells[step.key] = measure.record(step.record)
        logical = sum(cell.logical for cell in cells.values())
        stored = sum(cell.stored for cell in cells.values())
        found.runs.insert(0, (logical, stored))
        found.cells = cells
    for view in book.runs[:1]:
        for step in view.steps:
            for root, version in (step.record.delta.names if step.record is not None else {}).items():
                if version.image:
                    found.names[shown(root)] = sum(measure.size(one) for one in measure.parts(version.image))
    return found


class _Measure:
    """Sizes of objects, and which were met before."""

    def __init__(self, store: Store, references: References) -> None:
        self.store = store
        self.references = references
        self._sizes: dict[Digest, int] = {}
        self._parts: dict[Digest, tuple[Digest, ...]] = {}
        self._met: set[Digest] = set()

    def record(self, record: Record) -> CellBytes:
        """The bytes of one record; objects that an earlier one named are not new."""
        images = {version.image for version in record.delta.names.values()}
        images.add(record.delta.result.image if record.delta.result is not None else "")
        values = {part for image in images - {""} for part in self.parts(image)}
        files = {state.digest for state in record.delta.files.values() if state.kind == "file"} - {""}
        outputs = {record.outputs} - {""}
        everything = values | files | outputs
        new = everything - self._met
        self._met |= new
        return CellBytes(self._sum(everything), self._sum(new), self._sum(outputs), self._sum(files))

    def parts(self, image: Digest) -> tuple[Digest, ...]:
        """An image and the blocks that it names."""
        if image not in self._parts:
            blocks: list[Digest] = []
            if 0 < self.size(image) <= LARGEST_IMAGE:
                try:
                    blocks = self.references(self.store.get(image))
                except MissingObject:
                    blocks = []  # damaged, or of a later version: its own bytes count
            self._parts[image] = (image, *blocks)
        return self._parts[image]

    def size(self, digest: Digest) -> int:
        """The bytes of an object, none for one that is not there."""
        if digest not in self._sizes:
            self._sizes[digest] = self.store.size(digest) or 0
        return self._sizes[digest]

    def _sum(self, digests: Iterable[Digest]) -> int:
        return sum(self.size(digest) for digest in digests)
