"""``%rewind`` and ``%audit``: what a person asks of a live kernel, and the words of the answers.

The session does the work; this module parses and formats.  Both magics are registered by
the kernels with ``register``.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any, Protocol

from IPython.core.error import UsageError as MagicUsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_magic, magics_class

from nbrewind.errors import NBRewindError
from nbrewind.kernel.expansion import expand_lazily
from nbrewind.model import CellReport, Commit, Record
from nbrewind.report.words import duration, first_line, moment, size, why

PAYLOAD_SOURCE = "nbrewind"
"""Marks the payload of an execute reply in which ``%rewind finish`` answers the client."""

_HELP = """\
%rewind status              where the store is, what is recorded, what is not yet on disk
%rewind log [N]             the last N commits (default 10)
%rewind plan                what the cells known so far would do if they ran again
%rewind to COMMIT [--files] go back to a commit: names and ambient items; files only with --files
%rewind forget [COMMIT]     drop the record of a commit (default: the last one)
%rewind force               execute the next cell even if a record holds
%rewind finish              lay down the files of restored cells and flush the store
%audit on|off               record cells, or stop recording"""


class Records(Protocol):
    """The part of the store that the magics read."""

    def record(self, id: str, /) -> Record:
        """The record called ``id``; KeyError or MissingObject when it is gone."""
        ...


class SessionLike(Protocol):
    """What the magics need of the session behind a kernel."""

    audit: bool
    """Whether cells are recorded."""

    def status(self) -> dict[str, Any]:
        """Facts by name: store, notebook, run, head, cells, not_durable, unrecorded..."""
        ...

    def log(self, count: int) -> Sequence[tuple[Commit, Record | None]]:
        """The last ``count`` commits of the current branch, newest first."""
        ...

    def plan(self) -> Sequence[CellReport]:
        """What the cells of the notebook would do if they ran again."""
        ...

    def to(self, commit: str, *, files: bool = False) -> Sequence[str]:
        """Make the state that of ``commit``; returns the paths that differ from it on disk
        (with ``files``, that were changed)."""
        ...

    def forget(self, commit: str) -> str:
        """Drop the record of ``commit`` (empty: of the last); returns its commit's id."""
        ...

    def force(self) -> None:
        """Execute the next cell in any case."""
        ...

    def finish(self) -> dict[str, Any]:
        """End of a headless run: files laid down, store flushed; what could not be recorded."""
        ...


@magics_class
class RewindMagics(Magics):
    """The magics of one kernel."""

    def __init__(self, shell: InteractiveShell, session: SessionLike) -> None:
        super().__init__(shell)
        self.session = session

    @line_magic
    def rewind(self, line: str) -> None:
        """Look at the history of this notebook, or go back in it."""
        words = shlex.split(line)
        verb, rest = (words[0], words[1:]) if words else ("status", [])
        handler = {
            "status": self._status,
            "log": self._log,
            "plan": self._plan,
            "to": self._to,
            "forget": self._forget,
            "force": self._force,
            "finish": self._finish,
            "help": self._help,
        }.get(verb)
        if handler is None:
            raise MagicUsageError(f"%rewind knows no {verb!r}.\n{_HELP}")
        try:
            handler(rest)
        except NBRewindError as error:
            raise MagicUsageError(str(error)) from error

    @line_magic
    def audit(self, line: str) -> None:
        """Switch recording on or off; without a word, tell which it is."""
        word = line.strip().lower()
        if word not in {"", "on", "off"}:
            raise MagicUsageError("%audit on or %audit off")
        if word:
            self.session.audit = word == "on"
        print(f"Recording is {'on' if self.session.audit else 'off'}.")

    def _status(self, rest: list[str]) -> None:
        _no_more(rest, "status")
        print(status_text(self.session.status()))

    def _log(self, rest: list[str]) -> None:
        if len(rest) > 1 or (rest and not rest[0].isdigit()):
            raise MagicUsageError("%rewind log [N]")
        print(log_text(self.session.log(int(rest[0]) if rest else 10)))

    def _plan(self, rest: list[str]) -> None:
        _no_more(rest, "plan")
        print(plan_text(self.session.plan()))

    def _to(self, rest: list[str]) -> None:
        files = "--files" in rest
        names = [word for word in rest if word != "--files"]
        if len(names) != 1 or names[0].startswith("-"):
            raise MagicUsageError("%rewind to COMMIT [--files]")
        paths = self.session.to(names[0], files=files)
        print(f"The names are now those after commit {names[0]}.")
        if paths and files:
            print("Files changed: " + ", ".join(paths))
        elif paths:
            print(
                "Files differ from that commit and were left alone: " + ", ".join(paths) + ". "
                f"`%rewind to {names[0]} --files` changes them too."
            )

    def _forget(self, rest: list[str]) -> None:
        if len(rest) > 1:
            raise MagicUsageError("%rewind forget [COMMIT]")
        print(f"Forgot the record of commit {self.session.forget(rest[0] if rest else '')[:12]}.")

    def _force(self, rest: list[str]) -> None:
        _no_more(rest, "force")
        self.session.force()
        print("The next cell executes.")

    def _finish(self, rest: list[str]) -> None:
        _no_more(rest, "finish")
        data = self.session.finish()
        assert self.shell is not None
        manager = self.shell.payload_manager  # a front end ignores payloads of sources it does not know
        if manager is not None:
            manager.write_payload({"source": PAYLOAD_SOURCE, "data": data})

    def _help(self, rest: list[str]) -> None:
        _no_more(rest, "help")
        print(_HELP)


def _no_more(rest: list[str], verb: str) -> None:
    if rest:
        raise MagicUsageError(f"%rewind {verb} takes nothing more, not {' '.join(rest)!r}.")


def register(shell: InteractiveShell, session: SessionLike) -> RewindMagics:
    """Make both magics known to ``shell``, whose magics then read only names that they mention."""
    expand_lazily(shell)
    magics = RewindMagics(shell, session)
    shell.register_magics(magics)
    return magics


def status_text(status: dict[str, Any]) -> str:
    """One line per fact; lists are counted and shown, keys that say bytes are sizes."""
    lines = []
    for key, value in status.items():
        if isinstance(value, bool):
            shown = "yes" if value else "no"
        elif isinstance(value, list | tuple | set | frozenset):
            items = [str(item) for item in value]
            shown = f"{len(items)}: " + ", ".join(items) if items else "none"
        elif isinstance(value, dict):
            shown = ", ".join(f"{name} {count}" for name, count in value.items()) or "none"
        elif "bytes" in key and isinstance(value, int | float):
            shown = size(value)
        else:
            shown = str(value) if value not in ("", None) else "-"
        lines.append(f"{key.replace('_', ' ')}: {shown}")
    return "\n".join(lines)


def log_text(pairs: Sequence[tuple[Commit, Record | None]]) -> str:
    """A line per commit."""
    if not pairs:
        return "No commits yet."
    return "\n".join(
        f"{commit.id[:12]}  In[{commit.execution_count}]  {commit.action:<10}  {moment(commit.created)}  "
        f"{duration(record.seconds) if record is not None else '-':>8}  "
        f"{first_line(record.source) if record is not None else ''}".rstrip()
        for commit, record in pairs
    )


def plan_text(reports: Sequence[CellReport]) -> str:
    """A line per cell."""
    if not reports:
        return "No cells are known yet."
    return "\n".join(f"[{report.index}] {report.action:<10}  {why(report)}" for report in reports)
