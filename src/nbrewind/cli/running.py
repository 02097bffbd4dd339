"""The one way in which ``audit`` and ``repeat`` run a notebook.

Everything that can be refused is refused before the kernel starts; from the first cell on,
whatever was done is written out, however the run ends.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nbformat import NotebookNode

from nbrewind.cli.budget import check_budget, keep_within_budget
from nbrewind.cli.common import (
    bytes_of,
    check_env_rule,
    check_keep_rule,
    complain,
    full_path,
    print_json,
    store_path,
)
from nbrewind.cli.compare import exit_code, show
from nbrewind.errors import (
    CELL_RAISED,
    INTERRUPTED,
    NOTEBOOK,
    OK,
    STORE,
    NBRewindError,
    NoStore,
    StoreError,
    UsageError,
)
from nbrewind.kernel.client import RewindClient, RunResult
from nbrewind.kernel.connection import RunOptions
from nbrewind.kernel.notebook import check_writable, code_cells, find_cells, read_notebook, write_notebook
from nbrewind.kernel.specs import Mode, check_notebook_kernel, check_run_kernel, kernel_name
from nbrewind.report.jsonview import failure_object, run_object
from nbrewind.report.progress import RunProgress
from nbrewind.report.words import summary_line

if TYPE_CHECKING:
    from nbrewind.report.compare.notebooks import CellVerdict


@dataclass(frozen=True, slots=True)
class Request:
    """A run as the command line asked for it."""

    mode: Mode
    notebook: Path
    out: Path | None = None
    until: str | None = None
    force: tuple[str, ...] = ()
    engine: str | None = None
    strict: bool = False
    env: str = "compatible"
    keep: str = "all"
    keep_bytes: str | None = None
    kernel: str | None = None
    store: Path | None = None
    compare: bool = False
    """Whether outputs are compared with those that the notebook held before."""
    as_json: bool = False
    debug: bool = False


def run(request: Request) -> int:
    """Run the notebook and return the exit code.

    Raises:
        UsageError: an unknown cell, engine or rule.
        NotebookError: the notebook, its kernel or the place of the output cannot be used.
        StoreError: the store cannot be used.
    """
    try:
        notebook, original, options = _prepare(request)
        before = copy.deepcopy(notebook) if request.compare else None
        result = _drive(request, notebook, options)
    except NBRewindError as error:
        if request.as_json:
            print_json(failure_object(str(request.notebook), error))
        raise
    failure: NBRewindError | None = None
    try:
        written = _write(request, notebook, original)
    except NBRewindError as error:
        failure, written = error, None
    compared = _compare(before, notebook) if before is not None else None
    if options.store is not None:
        keep_within_budget(options.store)
    return _tell(request, result, written, failure, compared)


def _compare(before: NotebookNode, after: NotebookNode) -> Sequence[CellVerdict]:
    from nbrewind.report.compare.notebooks import compare_notebooks

    return compare_notebooks(before, after)


def _prepare(request: Request) -> tuple[NotebookNode, bytes, RunOptions]:
    check_env_rule(request.env)
    check_keep_rule(request.keep)
    check_budget()
    if request.engine not in {None, "none"}:
        raise UsageError(f"--engine knows only 'none' (run tasks in the kernel), not {request.engine!r}.")
    notebook = read_notebook(request.notebook)
    original = request.notebook.read_bytes()
    kernel = check_run_kernel(request.kernel) if request.kernel else kernel_name(request.mode)
    check_notebook_kernel(notebook, kernel=request.kernel or "")
    until = find_cells(notebook, request.until)[-1] if request.until is not None else None
    force = frozenset(index for address in request.force for index in find_cells(notebook, address))
    out = request.out or request.notebook
    check_writable(out)
    store = store_path(request.notebook, request.store)
    _check_store(store, request)
    options = RunOptions(
        kernel=kernel,
        notebook=full_path(request.notebook),
        store=store,
        strict=request.strict,
        engine=request.engine,
        env=request.env,
        keep=request.keep,
        keep_bytes=bytes_of(request.keep_bytes, "--keep-bytes") or 0,
        ignore=(str(full_path(out)),) if request.out is not None else (),
        until=until,
        force=force,
        debug=request.debug,
    )
    return notebook, original, options


def _check_store(path: Path, request: Request) -> None:
    """An audit needs a store it can write; a repeat can do with one that it can read, or none."""
    from nbrewind.store import Store

    try:
        Store.open(path).close()
    except StoreError:
        if request.mode == "audit":
            raise
        try:
            Store.open(path, readonly=True).close()
        except NoStore:
            if path.exists() and not path.is_dir():
                raise
            complain(f"No store can be made at {path}: this run executes every cell and records nothing.")
        else:
            complain(f"The store {path} cannot be written: this run restores from it and records nothing.")


def _drive(request: Request, notebook: NotebookNode, options: RunOptions) -> RunResult:
    with RunProgress(len(code_cells(notebook)), as_json=request.as_json) as progress:
        client = RewindClient(
            notebook,
            options,
            on_start=lambda index, cell: progress.start(index, cell.source),
            on_report=lambda report, cell: progress.report(report),
        )
        result = client.run()
        progress.say(summary_line(result.reports))
    return result


def _write(request: Request, notebook: NotebookNode, original: bytes) -> Path:
    """Write the executed notebook, but never over changes made by somebody else meanwhile."""
    target = request.out or request.notebook
    if request.out is None and (not target.exists() or target.read_bytes() != original):
        target = target.with_name(f"{target.stem}.executed{target.suffix}")
        complain(f"{request.notebook} was changed while it ran; the executed notebook is in {target}.")
    write_notebook(notebook, target)
    return target


def _tell(
    request: Request,
    result: RunResult,
    written: Path | None,
    failure: NBRewindError | None,
    compared: Sequence[CellVerdict] | None,
) -> int:
    if compared is not None and not request.as_json:
        show(compared)
    for note in result.finish.get("notes", []):
        complain(str(note))
    failures = [str(item) for item in result.finish.get("failures", [])]
    if failures:
        complain(
            "Not everything could be recorded: "
            + "; ".join(failures)
            + ". These cells execute again next time."
        )
    if request.as_json:
        content = run_object(str(request.notebook), result.status, result.reports)
        if compared is not None:
            from nbrewind.report.compare.notebooks import comparison_object

            content["compared"] = comparison_object(compared)
        print_json(content)
    if failure is not None:
        complain(str(failure))
    if result.problem:
        kept = f" What was done is kept in {written}." if written is not None else ""
        complain(result.problem + kept)
    if result.status == "interrupted":
        return INTERRUPTED
    if failure is not None:
        return failure.exit_code
    if result.kernel_lost:
        return NOTEBOOK
    if result.status == "error":
        return CELL_RAISED
    if failures:
        return STORE
    return exit_code(compared) if compared is not None else OK
