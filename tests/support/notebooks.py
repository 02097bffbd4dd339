"""Small notebooks as differential tests: audit, edit, repeat, compare with a plain run.

``Lab.check`` says what a rule must give; ``Lab.breaks_without`` shows, on the same notebook, that the rule is
what gives it.  Kernels are real ones, forked from a template process.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support import compare, folders
from support.kernels import House, Kernel, Ran

Edit = Mapping[int, str | None]
"""Index to new source; ``None`` deletes the cell.  Indices are those before the edit."""


@dataclass
class Result:
    """One run of a notebook in one kernel."""

    runs: list[Ran]
    described: dict[str, Any]
    files: dict[str, str]
    untrue: list[str]
    differences: list[str] = field(default_factory=list)

    @property
    def actions(self) -> list[str]:
        """The action of each cell; a replayed error is ``replayed``."""
        return ["replayed" if r.report and r.report.get("replayed") else r.action for r in self.runs]

    @property
    def reports(self) -> list[dict[str, Any]]:
        """The cell reports."""
        return [run.report or {} for run in self.runs]

    @property
    def skipped(self) -> set[int]:
        """Cells of which no code ran for their reply."""
        return {i for i, run in enumerate(self.runs) if run.skipped}

    @property
    def warnings(self) -> list[str]:
        """All warnings of all cells."""
        return [w for report in self.reports for w in report.get("warnings", [])]

    def problems(self, skip: Sequence[int] = (), execute: Sequence[int] = ()) -> list[str]:
        """Everything that is not as it must be."""
        found = [*self.differences, *self.untrue]
        found += [f"cell {i} had to run, was {self.actions[i]}" for i in execute if i in self.skipped]
        found += [f"cell {i} need not run: {self.reports[i]}" for i in skip if i not in self.skipped]
        return found


@dataclass
class Notebook:
    """Cells, files beside them, and what belongs to the world of a run."""

    cells: Sequence[str]
    files: Mapping[str, str] = field(default_factory=dict)
    raises: Sequence[int] = ()
    seeded: Sequence[str] = ()

    def edited(self, edit: Edit, insert: Mapping[int, str] | None = None) -> list[tuple[str, str]]:
        """(cell id, source) after an edit; inserted cells come before the index they name."""
        cells: list[tuple[str, str]] = []
        for index, source in enumerate(self.cells):
            for place, text in (insert or {}).items():
                if place == index:
                    cells.append((f"new{place}", text))
            new = edit.get(index, source)
            if new is not None:
                cells.append((f"c{index}", new))
        cells += [(f"new{p}", t) for p, t in (insert or {}).items() if p >= len(self.cells)]
        return cells


class Lab:
    """Runs notebooks in a folder of its own."""

    def __init__(self, house: House, folder: Path, *, auditor: str = "audit") -> None:
        self.house = house
        self.auditor = auditor
        """The kind of kernel that audits run in."""
        self.home = folder
        self.folder = folder / "case"
        self.numbers = 0
        self.tags: dict[str, tuple[str, ...]] = {}
        """Tags of cells, by cell id."""

    # -- one run -----------------------------------------------------------------------------------
    def run(
        self,
        mode: str,
        cells: Sequence[tuple[str, str]],
        *,
        folder: Path | None = None,
        without: str = "",
        env: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
        expect: Sequence[str] = (),
        seeded: Sequence[str] = (),
        between: Mapping[int, str] | None = None,
        force: Sequence[int] = (),
        describe: bool = True,
    ) -> Result:
        """Runs cells in one kernel.  ``between``: expressions evaluated silently after the cell named."""
        return asyncio.run(
            self._run(
                mode, cells, folder or self.folder, without, dict(env or {}), dict(options or {}), expect, seeded,
                between or {}, force, describe,
            )
        )  # fmt: skip

    async def _run(
        self, mode: str, cells: Sequence[tuple[str, str]], folder: Path, without: str, env: dict[str, str],
        options: dict[str, Any], expect: Sequence[str], seeded: Sequence[str], between: Mapping[int, str],
        force: Sequence[int], describe: bool,
    ) -> Result:  # fmt: skip
        if without:
            env["NBREWIND_WITHOUT_RULES"] = without
        kernel = await Kernel.start(self.house, mode, folder, env=env, options=options)
        try:
            runs = []
            for index, (cell_id, source) in enumerate(cells):
                runs.append(
                    await kernel.run_cell(
                        source,
                        index,
                        cell_id=cell_id,
                        tags=("raises-exception", *self.tags.get(cell_id, ())),
                        force=index in force,
                    )
                )
                if index in between:
                    worked, text = await kernel.evaluate(between[index])
                    assert worked, text
            if mode != "plain":
                await kernel.finish()
            tree = folders.tree(folder)
            described = await kernel.describe(seeded) if describe else {}
            untrue = [f for e in expect if (f := await kernel.holds(e))]
            if mode == self.auditor:
                await kernel.shutdown()
        finally:
            await kernel.close()
        return Result(runs, described, tree, untrue)

    # -- the differential test -----------------------------------------------------------------------
    def audit(self, notebook: Notebook, *, without: str = "", env: Mapping[str, str] | None = None) -> Result:
        """Lays the notebook's files down afresh and audits it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        folders.lay_down(self.folder, notebook.files)
        return self.run(self.auditor, notebook.edited({}), without=without, env=env, describe=False)

    def plain(
        self, notebook: Notebook, cells: Sequence[tuple[str, str]], files: Mapping[str, str | None],
        env: Mapping[str, str] | None, expect: Sequence[str], between: Mapping[int, str] | None,
    ) -> Result:  # fmt: skip
        """The reference, in a folder of its own."""
        self.numbers += 1
        folder = self.home / f"plain{self.numbers}"
        folders.lay_down(folder, notebook.files)
        _change(folder, files)
        return self.run(
            "plain", cells, folder=folder, env=env, expect=expect, seeded=notebook.seeded, between=between
        )

    def repeat(
        self,
        notebook: Notebook,
        edit: Edit | None = None,
        *,
        insert: Mapping[int, str] | None = None,
        files: Mapping[str, str | None] | None = None,
        env: Mapping[str, str] | None = None,
        expect: Sequence[str] = (),
        without: str = "",
        options: Mapping[str, Any] | None = None,
        between: Mapping[int, str] | None = None,
        force: Sequence[int] = (),
        drawn: Sequence[str] = (),
    ) -> Result:
        """Repeats the notebook after an edit; its ``differences`` are those from a plain run.

        ``drawn`` names what differs between any two runs (clocks, entropy) and is not compared.
        """
        cells = notebook.edited(edit or {}, insert)
        reference = self.plain(notebook, cells, files or {}, env, expect, between)
        assert not reference.untrue, f"the test itself is wrong: {reference.untrue}"
        _change(self.folder, files or {})
        result = self.run(
            "repeat", cells, without=without, env=env, options=options, expect=expect, seeded=notebook.seeded,
            between=between, force=force,
        )  # fmt: skip
        result.differences = compare.values(reference.described, result.described, without=drawn)
        result.differences += folders.differences(reference.files, result.files)
        for index, (a, b) in enumerate(zip(reference.runs, result.runs, strict=True)):
            left, right = compare.outputs(a.messages), compare.outputs(b.messages)
            if left != right and not drawn:
                result.differences.append(f"output {index}: {left} in the reference, {right} here")
        return result

    def check(
        self,
        notebook: Notebook,
        edit: Edit | None = None,
        *,
        skip: Sequence[int] = (),
        execute: Sequence[int] = (),
        **more: Any,
    ) -> Result:
        """Audits, repeats after the edit, and asserts that all is as in a plain run and as said."""
        self.audit(notebook)
        result = self.repeat(notebook, edit, **more)
        assert result.problems(skip, execute) == [], [*result.problems(skip, execute), result.actions]
        return result

    def breaks_without(
        self,
        rule: str,
        notebook: Notebook,
        edit: Edit | None = None,
        *,
        skip: Sequence[int] = (),
        execute: Sequence[int] = (),
        **more: Any,
    ) -> Result:
        """Asserts that the notebook is right with the rule and not without it."""
        self.check(notebook, edit, skip=skip, execute=execute, **more)
        self.audit(notebook, without=rule)
        result = self.repeat(notebook, edit, without=rule, **more)
        assert result.problems(skip, execute), f"nothing changes without {rule}: {result.actions}"
        return result


def _change(folder: Path, files: Mapping[str, str | None]) -> None:
    for name, text in files.items():
        path = folder / name
        if text is None:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        folders.later(path)
