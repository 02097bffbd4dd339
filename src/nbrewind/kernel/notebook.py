"""Notebook files: read with a clear error, address cells, write atomically.

Kept apart from the client so that verbs that start no kernel need not import one.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
import warnings
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4.rwbase import rejoin_lines
from nbformat.validator import normalize

from nbrewind.errors import NotebookError, UsageError
from nbrewind.report.words import visible

_INVALID = (nbformat.ValidationError, AttributeError, KeyError, TypeError, ValueError, RecursionError)

_LONGEST_REASON = 300
"""Characters of what is wrong with a notebook: the text may quote all of it."""


def read_notebook(path: Path) -> NotebookNode:
    """The notebook at ``path`` in the 4.x format, its minor version kept.

    Notebooks of format 3 are converted in memory.

    Raises:
        NotebookError: no such file, not readable, or not a notebook.
    """
    if path.is_dir():
        raise NotebookError(f"{path} is a folder, not a notebook. Name a file that ends in .ipynb.")
    if path.suffix == ".zip":
        raise NotebookError(
            f"{path} is a zip file, not a notebook. If it is a package, `nbrewind unpack {path}` lays it "
            "out; `nbrewind repeat`, `report`, `graph` and `log` take it as it is."
        )
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotebookError(f"{path} does not exist. Check the path of the notebook.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise NotebookError(f"{path} cannot be read as a notebook ({error}).") from error
    return parse_notebook(text, path)


def parse_notebook(text: str | bytes, path: Path) -> NotebookNode:
    """The notebook whose JSON ``text`` is, as `read_notebook` gives it; ``path`` names it in errors.

    Raises:
        NotebookError: it is no notebook.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotebookError(
            f"{path} is not a notebook: its content is not JSON ({error}). "
            "Name a file written by Jupyter (.ipynb)."
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("nbformat"), int):
        raise NotebookError(f"{path} is not a notebook: the JSON in it has no key 'nbformat'.")
    try:
        return _normalised(content)
    except _INVALID as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        reason = visible(lines[0][:_LONGEST_REASON])
        raise NotebookError(
            f"{path} is not a valid notebook ({reason}). Open it in Jupyter and save it again."
        ) from error


def _normalised(content: dict[str, Any]) -> NotebookNode:
    notebook: NotebookNode = nbformat.from_dict(content)  # type: ignore[no-untyped-call]
    if notebook.nbformat != 4:
        notebook = nbformat.convert(notebook, 4)  # type: ignore[no-untyped-call]
    if not isinstance(notebook.get("cells"), list):
        raise ValueError("it has no list of cells")
    with warnings.catch_warnings():
        # Missing or doubled cell ids are mended here; the warning would tell nothing more.
        warnings.simplefilter("ignore")
        _, notebook = normalize(notebook)
    notebook = rejoin_lines(notebook)  # type: ignore[no-untyped-call]
    nbformat.validate(notebook)
    return notebook


def write_notebook(notebook: NotebookNode, path: Path) -> None:
    """Replace the file at ``path`` by ``notebook`` in one step, keeping its permissions.

    A symbolic link stays a link; the file it points to is replaced.

    Raises:
        NotebookError: the folder does not exist or cannot be written.
    """
    target = path.resolve()
    text: str = nbformat.writes(notebook)  # type: ignore[no-untyped-call]
    if not text.endswith("\n"):
        text += "\n"
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    except OSError as error:
        raise NotebookError(
            f"The executed notebook cannot be written to {path} ({error.strerror}). "
            "Give another place with -o; the store has kept what was done."
        ) from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, _permissions(target))
        os.replace(temporary, target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise NotebookError(
            f"The executed notebook cannot be written to {path} ({error.strerror}). "
            "Give another place with -o; the store has kept what was done."
        ) from error
    except BaseException:  # an interrupt too: nothing is left beside the notebook
        temporary.unlink(missing_ok=True)
        raise


def _permissions(target: Path) -> int:
    try:
        return stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        umask = os.umask(0)
        os.umask(umask)
        return 0o666 & ~umask


def check_writable(path: Path) -> None:
    """Refuse, before any cell runs, a place where the executed notebook cannot go.

    Raises:
        NotebookError: ``path`` is a folder, or its folder is missing or not writable.
    """
    target = path.resolve()
    if target.is_dir():
        raise NotebookError(f"{path} is a folder. Give -o the name of a file.")
    if not target.parent.is_dir():
        raise NotebookError(
            f"The folder {target.parent} does not exist. Create it, or give -o another place."
        )
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise NotebookError(
            f"The executed notebook cannot be written to {path}: no permission to write in {target.parent}. "
            "Give -o a place that can be written."
        )


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """The code cells in order; their positions in this list are the indices of reports."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def cell_tags(cell: NotebookNode) -> list[str]:
    """The tags of a cell."""
    return [str(tag) for tag in cell.metadata.get("tags", [])]


def find_cells(notebook: NotebookNode, address: str) -> list[int]:
    """Indices of the code cells that ``address`` names: ``N``, ``id:ID`` or ``tag:T``.

    ``N`` counts code cells from 0, empty ones too.  An id or ``N`` names one cell, a tag
    may name several.

    Raises:
        UsageError: no code cell has that address.
    """
    cells = code_cells(notebook)
    kind, _, rest = address.partition(":")
    if kind == "id" and rest:
        found = [i for i, cell in enumerate(cells) if cell.get("id") == rest]
    elif kind == "tag" and rest:
        found = [i for i, cell in enumerate(cells) if rest in cell_tags(cell)]
    elif address.isascii() and address.isdigit():
        found = [int(address)] if int(address) < len(cells) else []
    else:
        raise UsageError(f"{address!r} is no address of a cell. Write a number (from 0), id:ID or tag:T.")
    if not found:
        last = f"numbers run from 0 to {len(cells) - 1}" if cells else "it has no code cells"
        raise UsageError(f"No code cell of the notebook is called {address!r} ({last}).")
    return found
