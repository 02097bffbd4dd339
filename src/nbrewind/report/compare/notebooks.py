"""Two notebooks cell by cell: which cells belong together, what the terminal and ``--json`` show of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.text import Text

from nbrewind.report.compare.outputs import ONLY_A, ONLY_B, OutputVerdict, compare_outputs, worst
from nbrewind.report.compare.texts import CLOSE, DIFFERENT, EQUAL, Tolerance
from nbrewind.report.words import first_line, joined, visible

VERDICTS = (EQUAL, CLOSE, DIFFERENT, ONLY_A, ONLY_B)

_STYLES = {EQUAL: "green", CLOSE: "cyan", DIFFERENT: "bold red", ONLY_A: "yellow", ONLY_B: "yellow"}
_DIFF_STYLES = {"+": "green", "-": "red"}
_MOST_OUTPUTS = 10
"""Outputs of one cell that the terminal shows."""


@dataclass(frozen=True, slots=True)
class CellVerdict:
    """One code cell; ``index`` counts code cells from 0 in B, or in A where B lacks the cell."""

    index: int
    cell_id: str
    verdict: str
    source: str
    """Its first line.  All strings are safe for terminals."""
    outputs: tuple[OutputVerdict, ...]


def compare_notebooks(
    first: Mapping[str, Any], second: Mapping[str, Any], tolerance: Tolerance | None = None
) -> tuple[CellVerdict, ...]:
    """Compare the outputs of two notebooks (as in nbformat 4).

    Cells belong together that have the same id, and of the others those at the same place.  They come in the
    order of the second notebook, and last those that only the first has.
    """
    tolerance = tolerance or Tolerance()
    one, other = _code_cells(first), _code_cells(second)
    found = []
    partners = _partners(one, other)
    for index, cell in enumerate(other):
        if index in partners:
            outputs = compare_outputs(one[partners[index]]["outputs"], cell["outputs"], tolerance)
            found.append(_told(index, cell, worst(outputs), outputs))
        else:
            found.append(_told(index, cell, ONLY_B, compare_outputs([], cell["outputs"], tolerance)))
    for index in sorted(set(range(len(one))) - set(partners.values())):
        cell = one[index]
        found.append(_told(index, cell, ONLY_A, compare_outputs(cell["outputs"], [], tolerance)))
    return tuple(found)


def verdict_of(cells: Iterable[CellVerdict]) -> str:
    """``equal``, ``close`` or ``different``; a cell of one side alone counts if it has outputs."""
    return worst(output for cell in cells for output in cell.outputs)


def _code_cells(notebook: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def _partners(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> dict[int, int]:
    """Index in the second list -> index in the first."""
    places = {cell["id"]: index for index, cell in enumerate(one) if "id" in cell}
    found = {index: places[cell["id"]] for index, cell in enumerate(other) if cell.get("id") in places}
    taken = set(found.values())
    for index in range(min(len(one), len(other))):
        if index not in found and index not in taken:
            found[index] = index
    return found


def _told(
    index: int, cell: Mapping[str, Any], verdict: str, outputs: tuple[OutputVerdict, ...]
) -> CellVerdict:
    source = visible(first_line(joined(cell["source"])))
    return CellVerdict(index, visible(str(cell.get("id", ""))), verdict, source, outputs)


def comparison_object(cells: Sequence[CellVerdict]) -> dict[str, Any]:
    """What ``compare --json`` prints, and ``repeat --compare --json`` under ``compared``."""
    return {"verdict": verdict_of(cells), "totals": _totals(cells), "cells": [asdict(cell) for cell in cells]}


def _totals(cells: Sequence[CellVerdict]) -> dict[str, int]:
    return {verdict: sum(cell.verdict == verdict for cell in cells) for verdict in VERDICTS}


def comparison_lines(cells: Sequence[CellVerdict]) -> Iterator[Text]:
    """A line for each cell that is not equal, its outputs and their differences below, and a summary."""
    width = len(str(max((cell.index for cell in cells), default=0)))
    for cell in cells:
        if cell.verdict == EQUAL:
            continue
        line = Text(f"[{cell.index:>{width}}] ")
        line.append(f"{cell.verdict:<10}", style=_STYLES[cell.verdict])
        yield line.append(f" {cell.source}", style="dim")
        told = [output for output in cell.outputs if output.verdict != EQUAL]
        for output in told[:_MOST_OUTPUTS]:
            yield from _output_lines(output, " " * (width + 3))
        if len(told) > _MOST_OUTPUTS:
            yield Text(f"{'':{width + 3}}and {len(told) - _MOST_OUTPUTS} more outputs", style="dim")
    counts = ", ".join(f"{count} {verdict}" for verdict, count in _totals(cells).items() if count)
    yield Text(f"outputs compared: {counts or 'no code cells'}")


def _output_lines(output: OutputVerdict, margin: str) -> Iterator[Text]:
    line = Text(f"{margin}{output.output} {output.kind}: ")
    line.append(output.verdict, style=_STYLES[output.verdict])
    yield line.append(f" ({output.note})" if output.note else "")
    for part in output.diff:
        yield Text(f"{margin}  {part}", style=_DIFF_STYLES.get(part[0], "dim"))
