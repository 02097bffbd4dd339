"""Progress of a run: a line per finished cell, and on a terminal what runs now."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from nbrewind.model import CellReport
from nbrewind.report.text import cell_line, warning_line
from nbrewind.report.words import duration, first_line, saved_seconds


@contextlib.contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error for long work, where that is a terminal; tell it ``done, total``."""
    console = Console(file=sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class RunProgress:
    """Shows a run of ``total`` code cells.

    With ``as_json`` nothing goes to standard output: a terminal on standard error gets the
    progress, anything else gets none.
    """

    def __init__(self, total: int, *, as_json: bool = False) -> None:
        self.console = Console(file=sys.stderr if as_json else sys.stdout, highlight=False, soft_wrap=True)
        self._quiet = as_json and not self.console.is_terminal
        self._total = total
        self._reports: list[CellReport] = []
        self._said: set[str] = set()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> RunProgress:
        if self.console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[saved]}", style="green"),
                console=self.console,
                transient=True,
            )
            self._task = self._bar.add_task("starting the kernel", total=self._total, saved="")
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def start(self, index: int, source: str) -> None:
        """Cell ``index`` runs now."""
        if self._bar is not None and self._task is not None:
            text = first_line(source, 32).replace("[", "\\[")
            self._bar.update(self._task, description=f"\\[{index}] {text}")

    def report(self, report: CellReport) -> None:
        """A cell is done, or one that was restored has run again."""
        if not any(known is report for known in self._reports):
            self._reports.append(report)
        if self._quiet or self._says_nothing_new(report):
            return
        self.console.print(cell_line(report, self._total))
        for warning in report.warnings:
            if warning not in self._said:  # said once, also where it holds for many cells
                self._said.add(warning)
                self.console.print(warning_line(report, warning, self._total))
        if self._bar is not None and self._task is not None:
            saved = saved_seconds(self._reports)
            words = f"saved {duration(saved)}" if saved >= 0.001 else ""
            self._bar.update(self._task, completed=len(self._reports), saved=words)

    def _says_nothing_new(self, report: CellReport) -> bool:
        """Of the cells after a stop only the first gets a line: the summary has their number."""
        before = self._reports[-2] if len(self._reports) > 1 else None
        same = before is not None and (before.action, before.reason) == (report.action, report.reason)
        return same and report.action == "skipped" and report.reason != "empty"

    def say(self, message: str) -> None:
        """A sentence between or after the cells."""
        if not self._quiet:
            self.console.print(message, markup=False)
