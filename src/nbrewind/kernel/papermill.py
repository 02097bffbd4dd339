"""The engine of papermill that runs notebooks on the repeat kernel: ``papermill --engine nbrewind``.

Imported by papermill alone, through its entry point: nothing of nbrewind needs papermill.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import Engine
from papermill.iorw import papermill_io
from papermill.log import logger

from nbrewind.errors import NotebookError
from nbrewind.kernel.client import RewindClient, RunResult
from nbrewind.kernel.connection import RunOptions
from nbrewind.kernel.specs import check_notebook_kernel, check_run_kernel, is_ours, kernel_name
from nbrewind.report.words import summary_line


class RewindEngine(Engine):  # type: ignore[misc]  # papermill declares no types
    """Restores cells that the parameters do not reach and runs the others.

    The store is ``NBREWIND_STORE``, else ``.nbrewind`` beside the input notebook, so that runs with other
    parameters share it, wherever their outputs go.
    """

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: Any,
        kernel_name: str,
        log_output: bool = False,
        stdout_file: Any = None,
        stderr_file: Any = None,
        start_timeout: float = 60,
        execution_timeout: float | None = None,
        input_path: object = None,
        **traits: Any,
    ) -> None:
        """Run the notebook of ``nb_man`` in the working directory, as papermill does.

        An exception in a cell ends the run and is left to papermill, which finds it among the outputs.

        Raises:
            NotebookError: another language, or the kernel cannot be started or has died.
            KeyboardInterrupt: the run was interrupted.
        """
        check_notebook_kernel(nb_man.nb, kernel=kernel_name)
        output = _local(nb_man.output_path)
        options = RunOptions(
            kernel=kernel_name,
            notebook=_local(input_path),
            ignore=(str(output),) if output is not None else (),
        )
        if execution_timeout:
            traits["timeout"] = execution_timeout
        client = _Client(
            nb_man,
            options,
            log=logger,
            log_output=log_output,
            stdout_file=stdout_file,
            stderr_file=stderr_file,
            startup_timeout=start_timeout,
            resources={"metadata": {"path": os.getcwd()}},
            **traits,
        )
        _tell(client.run())

    @classmethod
    def nb_kernel_name(cls, nb: NotebookNode, name: str | None = None) -> str:
        """The kernel that was asked for, else the repeat kernel, whatever ordinary one the notebook names.

        Raises:
            NotebookError: a kernel was asked for that is none of ours.
        """
        if name:
            return check_run_kernel(name)
        named = str(nb.metadata.get("kernelspec", {}).get("name", ""))
        return named if is_ours(named) else kernel_name("repeat")

    @classmethod
    def nb_language(cls, nb: NotebookNode, language: str | None = None) -> str:
        """The notebook's language; one that names none is taken for Python, as everywhere here."""
        for key, field in (("language_info", "name"), ("kernelspec", "language")):
            language = language or nb.metadata.get(key, {}).get(field)
        return str(language or "python")


class _Client(RewindClient, PapermillNotebookClient):  # type: ignore[misc]
    """Ours, which tells papermill what happens to each cell.

    It is made with papermill's manager in the place of the notebook: papermill's part takes that out of it.
    """

    async def async_execute_cell(
        self,
        cell: NotebookNode,
        cell_index: int,
        execution_count: int | None = None,
        store_history: bool = True,
    ) -> NotebookNode:
        """Run one cell between papermill's notes on it, which are saved with the notebook."""
        self.nb_man.cell_start(cell, cell_index)
        try:
            return await super().async_execute_cell(cell, cell_index, execution_count, store_history)
        except CellExecutionError as error:
            self.nb_man.cell_exception(cell, cell_index=cell_index, exception=error)
            raise
        finally:
            self.nb_man.cell_complete(cell, cell_index=cell_index)

    async def _start(self, kwargs: dict[str, Any]) -> None:
        """The log is papermill's, which also shows what cells print: it must not stay quiet."""
        level = self.log.level
        try:
            await super()._start(kwargs)
        finally:
            self.log.setLevel(level)


def _local(path: object) -> Path | None:
    """The notebook that papermill means, None where it is no local file (a URL, a notebook in memory)."""
    if not isinstance(path, str) or "://" in path or not path.endswith(".ipynb"):
        return None
    handler = papermill_io.get_handler("local")
    base = handler.cwd(None)  # with --cwd the process is elsewhere, and paths still count from here
    handler.cwd(base)
    return Path(base or os.getcwd(), path).absolute()


def _tell(result: RunResult) -> None:
    said = set()
    for report in result.reports:
        for warning in report.warnings:
            if warning not in said:
                said.add(warning)
                logger.warning("cell %d: %s", report.index, warning)
    for note in result.finish.get("notes", []):
        logger.warning("%s", note)
    for failure in result.finish.get("failures", []):
        logger.warning("Not recorded, executes again next time: %s", failure)
    logger.info("%s", summary_line(result.reports))
    if result.status == "interrupted":
        raise KeyboardInterrupt
    if result.kernel_lost:
        raise NotebookError(result.problem)
