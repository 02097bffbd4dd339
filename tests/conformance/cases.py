"""The conformance cases as data: the file, its conventions, and what an edit does to a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from support import folders

FILE = Path(__file__).with_name("conformance_cases.yaml")


@dataclass(frozen=True)
class Cell:
    """A cell of a test notebook: its id survives edits and moves."""

    id: str
    source: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """One entry of the file; indices as its conventions say."""

    name: str
    area: str
    level: str
    cells: tuple[str, ...]
    edit: Mapping[str, Any] | None
    must_execute: tuple[int, ...]
    must_skip: tuple[int, ...]
    expect: tuple[str, ...]
    expect_noedit: tuple[str, ...]
    noedit_must_execute: tuple[int, ...]
    restore_after: int | None
    expect_restore: tuple[str, ...]
    files: Mapping[str, str]
    raises: tuple[int, ...]
    raises_after_edit: tuple[int, ...]
    notes: str = ""
    stdin: str = ""
    trace: tuple[Any, ...] = ()
    tasks_must_execute: int | None = None
    seeded: tuple[str, ...] = field(default=())

    @property
    def uses_tasks(self) -> bool:
        """Whether the stub engine takes part."""
        return self.tasks_must_execute is not None

    def before(self) -> list[Cell]:
        """The notebook as audited."""
        return [Cell(f"c{i}", s, _tag(i, self.raises)) for i, s in enumerate(self.cells)]

    def after(self) -> list[Cell]:
        """The notebook after the edit; a replaced cell keeps its id."""
        cells = [Cell(f"c{i}", s) for i, s in enumerate(self.cells)]
        edit = self.edit or {"kind": "none"}
        kind, index = edit["kind"], edit.get("index")
        if kind == "replace":
            cells[index] = Cell(cells[index].id, edit["source"])
        elif kind == "insert":
            cells.insert(index, Cell("new", edit["source"]))
        elif kind == "delete":
            del cells[index]
        elif kind == "move":
            cells.insert(edit["to"], cells.pop(index))
        elif kind not in ("none", "file", "touch", "env"):
            raise ValueError(f"{self.name}: unknown kind of edit {kind!r}")
        return [Cell(c.id, c.source, _tag(i, self.raises_after_edit)) for i, c in enumerate(cells)]

    def live(self) -> list[tuple[int, Cell]]:
        """The cells in the order of the audit, with their index."""
        cells = self.before()
        if not self.trace:
            return list(enumerate(cells))
        order = []
        for step in self.trace:
            if isinstance(step, int):
                order.append((step, cells[step]))
            else:
                index, source = step["edit"]
                cells[index] = Cell(cells[index].id, source, cells[index].tags)
        return order

    def edit_world(self, folder: Path) -> None:
        """Does the file part of the edit."""
        edit = self.edit or {}
        if edit.get("kind") == "file":
            path = folder / edit["path"]
            if edit["content"] is None:
                path.unlink()
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(edit["content"], encoding="utf-8")
            folders.later(path)
        elif edit.get("kind") == "touch":
            folders.later(folder / edit["path"])

    def edit_environment(self) -> dict[str, str]:
        """Environment variables that the edit sets."""
        edit = self.edit or {}
        return dict(edit["set"]) if edit.get("kind") == "env" else {}

    def answers(self) -> list[str]:
        """Answers on standard input, in order."""
        return self.stdin.splitlines()


def _tag(index: int, raising: tuple[int, ...]) -> tuple[str, ...]:
    return ("raises-exception",) if index in raising else ()


def load_expected(name: str) -> dict[str, str]:
    """A list of cases that do not pass, with the reasons."""
    found: dict[str, str] = yaml.safe_load(FILE.with_name(name).read_text(encoding="utf-8")) or {}
    return found


def load(path: Path = FILE) -> list[Case]:
    """All cases of the file."""
    with path.open(encoding="utf-8") as stream:
        entries = yaml.load(stream, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["cases"]
    cases = []
    for entry in entries:
        fields = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
        text = "\n".join(entry["cells"])
        seeded = []
        if "random.seed(" in text and "np.random.seed(" not in text:
            seeded.append("random")
        if "np.random.seed(" in text:
            seeded.append("numpy")
        cases.append(Case(**fields, seeded=tuple(seeded)))
    return cases
