"""``nbrewind compare``: whether two notebooks show the same results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nbrewind.cli.common import DebugOption, JsonOption, print_json, verb
from nbrewind.errors import DIFFERENT, OK, UsageError

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from nbrewind.report.compare.notebooks import CellVerdict

_EXAMPLE = """\b
Examples:
  nbrewind compare before.ipynb after.ipynb
  nbrewind compare paper.zip paper-repeat/analysis.ipynb --rtol 1e-4
  nbrewind compare old.ipynb new.ipynb --pixels 0.01 --json
"""


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="A notebook (.ipynb), or a package of one.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="The other one.")],
    rtol: Annotated[float, typer.Option(help="How far numbers may be apart, relative to their size.")] = 1e-6,
    atol: Annotated[float, typer.Option(help="How far numbers may be apart whatever their size.")] = 0.0,
    pixels: Annotated[
        float, typer.Option(help="How far images may be apart on average; 1 is black against white.")
    ] = 0.001,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Compare the outputs of two notebooks cell by cell: equal, close (within the tolerances), different.

    Nothing is executed and no value is loaded, so packages need no trust. The exit code is 6 if any output is
    different or only in one of them. Sources, execution counts, metadata and tracebacks do not count.
    """
    from nbrewind.report.compare.notebooks import compare_notebooks, comparison_object
    from nbrewind.report.compare.texts import Tolerance
    from nbrewind.report.jsonview import SCHEMA

    for option, value in (("--rtol", rtol), ("--atol", atol), ("--pixels", pixels)):
        if not value >= 0:  # nan is no tolerance either
            raise UsageError(f"{option} is a number from 0 on, not {value}.")
    cells = compare_notebooks(_notebook(first), _notebook(second), Tolerance(rtol, atol, pixels))
    if as_json:
        print_json({"schema": SCHEMA, "a": str(first), "b": str(second), **comparison_object(cells)})
    else:
        show(cells)
    return exit_code(cells)


def show(cells: Sequence[CellVerdict]) -> None:
    """Print what is not equal."""
    from nbrewind.report.compare.notebooks import comparison_lines
    from nbrewind.report.text import output_console

    console = output_console()
    for line in comparison_lines(cells):
        console.print(line, soft_wrap=True)


def exit_code(cells: Sequence[CellVerdict]) -> int:
    """0 where all is equal or close, else 6."""
    from nbrewind.report.compare import texts
    from nbrewind.report.compare.notebooks import verdict_of

    return DIFFERENT if verdict_of(cells) == texts.DIFFERENT else OK


def _notebook(path: Path) -> NotebookNode:
    """The notebook at ``path``, or the one of the package there; nothing else of it is looked at.

    Raises:
        NotebookError: there is no notebook.
        PackageError: the package is damaged or breaks the rules.
    """
    from nbrewind.kernel.notebook import parse_notebook, read_notebook
    from nbrewind.package.layout import WORKFLOW, is_package
    from nbrewind.package.source import reading

    if not is_package(path):
        return read_notebook(path)
    with reading(path) as source:
        manifest, _ = source.manifest()
        inside = f"{WORKFLOW}/{manifest.notebook}"
        return parse_notebook(source.read(inside, manifest.files[inside].sha256), path / inside)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("compare", epilog=_EXAMPLE)(verb(compare))
