"""The client that runs a whole notebook on one of our kernels: nbclient's, plus four things.

It sends cell ids and our metadata with each request, collects the reports that come back
with the replies, stops on Ctrl-C without losing what was done, and lets the kernel finish
(lay down files, flush the store) before it shuts it down.  On any other kernel it works as
nbclient does and reports plain executions.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from queue import Empty
from typing import Any, BinaryIO, cast

import msgspec
from jupyter_client.kernelspec import NoSuchKernel
from jupyter_core.utils import ensure_async, run_sync
from nbclient.client import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from nbrewind.errors import NotebookError
from nbrewind.kernel.connection import RequestClient, RewindManager, RunOptions
from nbrewind.kernel.notebook import cell_tags
from nbrewind.kernel.specs import is_ours
from nbrewind.model import CellReport

FINISH = "%rewind finish"


@dataclass(slots=True)
class RunResult:
    """What a run did.  ``status`` is ``ok``, ``error`` or ``interrupted``."""

    status: str
    reports: list[CellReport]
    problem: str = ""
    """One paragraph for the user where the status is not ``ok``."""
    kernel_lost: bool = False
    """The kernel process died: not the fault of a cell's exception."""
    finish: dict[str, Any] = field(default_factory=dict)
    """What the kernel said at the end: ``failures`` (unrecorded cells), ``files``, ``notes``."""


class _StartOver(Exception):
    """A recomputed cell did not do what it did before: run again with ``cells`` forced (R5)."""

    def __init__(self, cells: Iterable[int]) -> None:
        super().__init__("start over")
        self.cells = frozenset(cells)


def _nothing(*_: object) -> None:
    """Default listener."""


class RewindClient(NotebookClient):
    """Runs ``notebook`` from top to bottom and fills in its outputs in place.

    ``on_start(index, cell)`` and ``on_report(report, cell)`` are called around each code cell;
    indices count code cells from 0.
    """

    def __init__(
        self,
        notebook: NotebookNode,
        options: RunOptions | None = None,
        *,
        on_start: Callable[[int, NotebookNode], None] = _nothing,
        on_report: Callable[[CellReport, NotebookNode], None] = _nothing,
        **traits: Any,
    ) -> None:
        self.options = options or RunOptions()
        traits.setdefault("kernel_name", self.options.kernel)
        traits.setdefault("record_timing", False)  # outputs of equal runs are equal files
        traits.setdefault("iopub_timeout", 60)  # seconds; a large output must not be cut off
        folder = self.options.notebook.parent if self.options.notebook is not None else None
        if folder is not None:
            traits.setdefault("resources", {"metadata": {"path": str(folder)}})
        super().__init__(notebook, kernel_manager_class=RewindManager, **traits)
        self.reports: list[CellReport] = []
        self.finish_reply: dict[str, Any] = {}
        self.interrupted = False
        self._ours = is_ours(self.options.kernel)
        self._on_start = on_start
        self._on_report = on_report
        self._forced: frozenset[int] = self.options.force
        self._cell_running = False
        self._kernel_output: BinaryIO | None = None
        self._answers: deque[str] = deque(self.options.answers)
        self._started = 0.0
        self._index = 0
        self._replied = False

    # -- one call for the command line ------------------------------------------------

    def run(self) -> RunResult:
        """Run the notebook; an exception in a cell ends the run and is told in the result.

        Raises:
            NotebookError: the kernel could not be started.
        """
        problem, lost = "", False
        try:
            self.execute()
        except CellExecutionError as error:
            last = self.reports[self._index] if self._index < len(self.reports) else None
            where = f"Cell {self._index}" + (f" (id:{last.cell_id})" if last and last.cell_id else "")
            problem = f"{where} raised {error.ename}: {error.evalue}".rstrip(" .:") + "."
        except (DeadKernelError, CellTimeoutError) as error:
            lost = True
            problem = f"The kernel stopped while cell {self._index} was running ({error})."
            problem += self._kernel_words()
        finally:
            if self._kernel_output is not None:
                self._kernel_output.close()
                self._kernel_output = None
        if self.interrupted:
            status, problem = "interrupted", "Interrupted."
        else:
            status = "error" if problem else "ok"
        return RunResult(status, self.reports, problem, lost, self.finish_reply)

    # -- the run ----------------------------------------------------------------------

    async def async_execute(self, reset_kc: bool = False, **kwargs: Any) -> NotebookNode:
        """As in nbclient, but what was done before an error is finished and kept first."""
        if reset_kc and self.owns_km:
            await self._async_cleanup_kernel()
        while True:
            try:
                await self._one_run(**kwargs)
                return self.nb
            except _StartOver as again:  # with more cells forced each time
                self._forced = self._forced | again.cells

    execute = run_sync(async_execute)

    async def _one_run(self, **kwargs: Any) -> None:
        self.reset_execution_trackers()
        self.reports = []
        stop: Exception | None = None
        reason = ""
        async with self.async_setup_kernel(**kwargs):
            await self._learn_language()
            index = -1
            for position, cell in enumerate(self.nb.cells):
                if cell.cell_type != "code":
                    continue
                index += 1
                reason = reason or self._reason_to_stop(index)
                if reason:
                    self._skip(index, cell, reason)
                    continue
                self._index = index
                try:
                    await self.async_execute_cell(cell, position)
                except CellExecutionError as error:
                    stop, reason = error, f"not reached: cell {index} raised {error.ename}"
                except (DeadKernelError, CellTimeoutError) as error:
                    stop, reason = error, f"not reached: the kernel stopped in cell {index}"
                    self._report_lost(index, cell, error)
            self.set_widgets_metadata()
            if not isinstance(stop, DeadKernelError):
                await self._finish()
        if stop is not None:
            raise stop

    def _reason_to_stop(self, index: int) -> str:
        if self.interrupted:
            return "not reached: the run was interrupted"
        if self.options.until is not None and index > self.options.until:
            return "after the cell named by --until"
        return ""

    async def _learn_language(self) -> None:
        assert self.kc is not None
        message = await self.async_wait_for_reply(self.kc.kernel_info())
        if message is not None and "language_info" in message["content"]:
            self.nb.metadata["language_info"] = message["content"]["language_info"]

    async def async_execute_cell(
        self,
        cell: NotebookNode,
        cell_index: int,
        execution_count: int | None = None,
        store_history: bool = True,
    ) -> NotebookNode:
        """Run one cell; see nbclient.  ``cell_index`` is the position among all cells."""
        if cell.cell_type != "code":
            return cell
        index = self._index
        if not cell.source.strip():
            cell.outputs, cell.execution_count = [], None
            self._skip(index, cell, "empty")
            return cell
        if self.skip_cells_with_tag in cell_tags(cell):
            self._skip(index, cell, f"tagged {self.skip_cells_with_tag}")
            return cell
        client = cast(RequestClient, self.kc)
        client.request_metadata = {
            "nbrewind": {"index": index, "force": index in self._forced, "tags": cell_tags(cell)}
        }
        if cell.get("id"):
            client.request_metadata["cellId"] = cell.id
        self._on_start(index, cell)
        self._started, self._cell_running, self._replied = time.perf_counter(), True, False
        stdin = asyncio.ensure_future(self._answer_stdin()) if self.options.answers else None
        try:
            return await super().async_execute_cell(cell, cell_index, execution_count, store_history)
        finally:
            self._cell_running = False
            if stdin is not None:
                stdin.cancel()

    async def _check_raise_for_error(
        self, cell: NotebookNode, cell_index: int, exec_reply: dict[str, Any] | None
    ) -> None:
        """Called once with each reply: the place to take the report from it."""
        if exec_reply is not None and not self._replied:
            self._replied = True
            if exec_reply["content"].get("execution_count") is not None:
                cell["execution_count"] = exec_reply["content"]["execution_count"]
            metadata = exec_reply.get("metadata", {}).get("nbrewind")
            again = (metadata or {}).get("start_over")
            if again and not frozenset(again) <= self._forced:
                raise _StartOver(again)
            report = self._report_from(metadata, cell, exec_reply["content"])
            self.reports.append(report)
            self._tell_recomputed(report)
            self._on_report(report, cell)
        await super()._check_raise_for_error(cell, cell_index, exec_reply)

    def _tell_recomputed(self, report: CellReport) -> None:
        """Cells that were restored and had to run again for this one are reported once, as recomputed."""
        cells = [cell for cell in self.nb.cells if cell.cell_type == "code"]
        for earlier in self.reports:
            if earlier.action == "restored" and earlier.record in report.recomputed:
                earlier.action, earlier.reason = "recomputed", f"cell {report.index} needed its value"
                self._on_report(earlier, cells[earlier.index])

    def _report_from(
        self, metadata: Mapping[str, Any] | None, cell: NotebookNode, content: Mapping[str, Any]
    ) -> CellReport:
        """The kernel's own report, or the little that can be said of a plain kernel's cell."""
        if metadata:
            report = msgspec.convert(dict(metadata), CellReport, strict=False)
            report.index, report.cell_id = self._index, str(cell.get("id", ""))
            return report
        failed = content["status"] == "error"
        return CellReport(
            index=self._index,
            cell_id=str(cell.get("id", "")),
            action="failed" if failed else "executed",
            reason=str(content.get("ename", "")) if failed else "not under nbrewind",
            seconds=time.perf_counter() - self._started,
        )

    def _skip(self, index: int, cell: NotebookNode, reason: str) -> None:
        report = CellReport(index, str(cell.get("id", "")), "skipped", reason)
        self.reports.append(report)
        self._on_report(report, cell)

    def _report_lost(self, index: int, cell: NotebookNode, error: Exception) -> None:
        report = CellReport(
            index, str(cell.get("id", "")), "failed", str(error), seconds=time.perf_counter() - self._started
        )
        self.reports.append(report)
        self._on_report(report, cell)

    async def _finish(self) -> None:
        """Let the kernel lay down files and flush the store; keep what it has to say."""
        if not self._ours or self.kc is None:
            return
        try:
            request = self.kc.execute(FINISH, silent=True, store_history=False)
            message = await self.async_wait_for_reply(request)
        except DeadKernelError:
            self.finish_reply = {"failures": ["the kernel died before it had written everything"]}
            return
        if message is None:
            return
        for item in message["content"].get("payload") or []:
            if item.get("source") == "nbrewind":
                self.finish_reply = dict(item.get("data", {}))
        if message["content"]["status"] == "error":
            name, text = message["content"].get("ename", ""), message["content"].get("evalue", "")
            self.finish_reply = {"failures": [f"the end of the run failed with {name}: {text}"]}

    # -- the kernel's life ------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def async_setup_kernel(self, **kwargs: Any) -> AsyncGenerator[None, None]:
        """Start the kernel, handle Ctrl-C while cells run, and shut the kernel down.

        Raises:
            NotebookError: the kernel is unknown or does not start.
        """
        cleanup = kwargs.pop("cleanup_kc", self.owns_km)
        loop = asyncio.get_running_loop()
        handled = []
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self._on_interrupt)
                handled.append(number)
        except (RuntimeError, ValueError, NotImplementedError):
            handled.clear()  # not in the main thread: the caller owns the signals
        try:
            await self._start(kwargs)
            yield
        finally:
            if cleanup and self.km is not None:
                await self._async_cleanup_kernel()
            for number in handled:
                loop.remove_signal_handler(number)

    async def _start(self, kwargs: dict[str, Any]) -> None:
        manager = self.km or self.create_kernel_manager()
        try:
            if not manager.has_kernel:
                kwargs.setdefault("env", self.options.kernel_environment())
                if not self.options.debug and "stderr" not in kwargs:
                    # Its own words go to a file: they explain a kernel that cannot start.
                    self._kernel_output = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115
                    kwargs["stdout"] = kwargs["stderr"] = self._kernel_output
                if self._ours:
                    self.extra_arguments = ["--HistoryManager.hist_file=:memory:"]
                await self.async_start_new_kernel(**kwargs)
            if self.kc is None:
                self.log.setLevel("CRITICAL")  # the exception below says the same
                client = await self.async_start_new_kernel_client()
                client.allow_stdin = bool(self.options.answers)
        except NoSuchKernel as error:
            raise NotebookError(
                f"There is no kernel called {error.name!r} here. "
                "`nbrewind kernels list` shows those of nbrewind."
            ) from error
        except (RuntimeError, OSError, TimeoutError) as error:
            raise NotebookError(
                f"The kernel {self.options.kernel!r} could not be started ({error})." + self._kernel_words()
            ) from error

    def _on_interrupt(self) -> None:
        """First: interrupt the running cell and stop after it.  Second: kill the kernel."""
        if self.km is None:
            self.interrupted = True
        elif not self.interrupted:
            self.interrupted = True
            if self._cell_running:
                self._pending = asyncio.ensure_future(ensure_async(self.km.interrupt_kernel()))
        else:
            self._pending = asyncio.ensure_future(ensure_async(self.km.shutdown_kernel(now=True)))

    def _kernel_words(self) -> str:
        """The last lines that the kernel process wrote itself."""
        if self._kernel_output is None:
            return ""
        self._kernel_output.seek(0)
        words = self._kernel_output.read().decode("utf-8", "replace")
        lines = [line.rstrip() for line in words.splitlines() if line.strip()]
        return " Its last words: " + " / ".join(lines[-3:]) if lines else ""

    async def _answer_stdin(self) -> None:
        """Answer ``input()`` from the list; end of file when it is used up."""
        client = cast(RequestClient, self.kc)
        while True:
            try:
                message = await client.get_stdin_msg(timeout=1)
            except Empty:
                continue
            if message["header"]["msg_type"] == "input_request":
                client.input(self._answers.popleft() if self._answers else "\x04")
