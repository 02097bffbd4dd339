"""A notebook's life: cells moved, duplicated, run in another order, other tools, two kernels at once.

Cells are known by what they are and read, not by their place, so all of this restores what it can and
equals a plain run of what there is now.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import jupytext
import nbformat
import papermill.parameterize
import pytest

from nbrewind.kernel.client import RewindClient, RunOptions
from nbrewind.kernel.notebook import code_cells
from support import compare
from support.kernels import House, Kernel
from support.notebooks import Lab, Notebook, Result

CHAIN = Notebook(["a=1", "b=[a]", "b.append(2)", "c=sum(b)\nc"])


def cells_of(sources: list[str]) -> list[tuple[str, str]]:
    return [(f"s{index}", source) for index, source in enumerate(sources)]


def both(lab: Lab, sources: list[str], **more: object) -> Result:
    """Repeats these cells and compares with a plain run of them."""
    lab.numbers += 1
    plain = lab.run("plain", cells_of(sources), folder=_folder(lab.home / f"other{lab.numbers}"))
    result = lab.run("repeat", cells_of(sources), **more)  # type: ignore[arg-type]
    assert compare.values(plain.described, result.described) == []
    for ours, theirs in zip(result.runs, plain.runs, strict=True):
        assert compare.outputs(ours.messages) == compare.outputs(theirs.messages)
    return result


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.mark.parametrize(
    ("order", "executed"),
    [
        ([0, 1, 2, 3], []),
        ([1, 0, 2, 3], [0, 2, 3]),  # b=[a] before a: a NameError, then no b
        ([0, 1, 3, 2], [2]),  # the sum of another b
        ([0, 1, 2, 2, 3], [3, 4]),  # appended twice
        ([0, 0, 1, 2, 3], []),
        ([0, 1, 2, 3, 3], []),
        ([0, 1, 3], [2]),
        ([0, 3, 1, 2, 3], [1]),
    ],
)
def test_cells_moved_duplicated_and_deleted(lab: Lab, order: list[int], executed: list[int]) -> None:
    lab.audit(CHAIN)
    result = both(lab, [CHAIN.cells[index] for index in order])
    assert [index for index in range(len(order)) if index not in result.skipped] == executed, result.actions


def test_other_ids_are_the_same_cells(lab: Lab) -> None:
    """nbclient and papermill send none, and jupytext makes new ones."""
    lab.audit(CHAIN)
    assert both(lab, list(CHAIN.cells)).actions == ["restored"] * 4


def test_a_round_trip_through_jupytext(lab: Lab) -> None:
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [
        nbformat.v4.new_code_cell(s) for s in ["%matplotlib inline\na=1", "a\n", "!echo $HOME", "a+1"]
    ]
    back = jupytext.reads(jupytext.writes(notebook, fmt="py:percent"), fmt="py:percent")
    before, after = ([cell.source for cell in code_cells(book)] for book in (notebook, back))
    lab.run("audit", cells_of(before), folder=_folder(lab.folder))
    assert both(lab, after).problems(skip=[0, 1, 3]) == []


def test_papermills_parameters(lab: Lab) -> None:
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(s) for s in ["n=1", "data=list(range(100))", "m=sum(data)*n"]]
    for cell in notebook.cells:
        cell.metadata["tags"] = []  # papermill adds them when it reads a file
    notebook.cells[0].metadata["tags"] = ["parameters"]
    notebook.metadata["papermill"] = {}
    notebook.metadata["kernelspec"] = {"name": "python3", "language": "python", "display_name": "P"}

    def with_n(value: int) -> list[str]:
        ready = papermill.parameterize.parameterize_notebook(notebook, {"n": value})
        return [cell.source for cell in code_cells(ready)]

    lab.run("audit", cells_of(with_n(2)), folder=_folder(lab.folder))
    assert both(lab, with_n(2)).actions == ["restored"] * 4
    assert both(lab, with_n(3)).actions == ["restored", "executed", "restored", "executed"]
    assert both(lab, with_n(2)).actions == ["restored"] * 4


def test_a_cell_that_is_skipped_by_its_tag(tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(s) for s in ["a=1", "a=2", "print(a)"]]
    path = tmp_path / "n.ipynb"

    def run(kernel: str) -> list[str]:
        options = RunOptions(kernel, notebook=path)
        return [report.action for report in RewindClient(notebook, options).run().reports]

    nbformat.write(notebook, path)
    assert run("nbrewind-audit") == ["executed"] * 3
    notebook.cells[1].metadata["tags"] = ["skip-execution"]
    assert run("nbrewind-repeat") == ["restored", "skipped", "executed"]
    assert notebook.cells[2].outputs[0]["text"] == "1\n"


def test_two_notebooks_side_by_side_share_a_store(house: House, tmp_path: Path) -> None:
    """Equal cells of another notebook are hits; each notebook has its own files and history."""
    sources = ["n=len(open('in.txt').read())", "open('out.txt','w').write('x')", "m=n+1"]
    folders = [_folder(tmp_path.resolve() / name) for name in ("first", "second")]
    for folder, text in zip(folders, ("1", "22"), strict=True):
        (folder / "in.txt").write_text(text, "utf-8")

    async def run(mode: str, folder: Path, n: int) -> list[str]:
        kernel = await Kernel.start(house, mode, folder, store=tmp_path / "store")
        try:
            ran = [await kernel.run_cell(s, i, cell_id=f"s{i}") for i, s in enumerate(sources)]
            assert not await kernel.holds(f"(n,m)==({n},{n + 1})")
            await kernel.finish()
            return [r.action for r in ran]
        finally:
            await kernel.close()

    asyncio.run(run("audit", folders[0], 1))
    assert asyncio.run(run("repeat", folders[1], 2)) == ["executed", "restored", "executed"]
    assert (folders[1] / "out.txt").read_text("utf-8") == "x"
    assert asyncio.run(run("repeat", folders[0], 1)) == ["restored"] * 3


def test_a_notebook_that_is_open_twice(house: House, tmp_path: Path) -> None:
    """Two live kernels on one store: each does what it is told, and neither disturbs the other."""

    async def story() -> None:
        folder = _folder(tmp_path.resolve() / "case")
        one = await Kernel.start(house, "repeat", folder)
        two = await Kernel.start(house, "repeat", folder)
        try:
            sources = ["a=1", "b=[a]", "b.append(a)", "c=len(b)"]
            for index, source in enumerate(sources):
                await one.run_cell(source, index, cell_id=f"s{index}")
                edited = source.replace("a=1", "a=2")
                await two.run_cell(edited, index, cell_id=f"s{index}")
            assert not await one.holds("(a,b,c)==(1,[1,1],2)")
            assert not await two.holds("(a,b,c)==(2,[2,2],2)")
            await one.finish()
            await two.finish()
            third = await Kernel.start(house, "repeat", folder)
            try:
                ran = [await third.run_cell(s, i, cell_id=f"s{i}") for i, s in enumerate(sources)]
                assert [r.action for r in ran] == ["restored"] * 4
                assert not await third.holds("(a,b,c)==(1,[1,1],2)")
            finally:
                await third.close()
        finally:
            await one.close()
            await two.close()

    asyncio.run(story())


def test_a_live_kernel_goes_on_after_an_error(lab: Lab) -> None:
    sources = ["a=[1]", "a.append(2)\nraise ValueError('half-way')", "b=sum(a)", "a.append(3)", "b=sum(a)"]
    lab.run("audit", cells_of(sources), folder=_folder(lab.folder))
    result = both(lab, sources)
    assert result.actions == ["restored", "replayed", "restored", "restored", "restored"]
    fixed = [*sources[:1], "a.append(2)", *sources[2:]]
    assert both(lab, fixed).problems(skip=[0, 2, 3, 4], execute=[1]) == []
