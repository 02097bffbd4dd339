"""``%rewind`` and ``%audit`` against a session that notes what it is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from IPython.core.error import UsageError as MagicUsageError
from IPython.core.interactiveshell import InteractiveShell

from nbrewind.errors import UsageError
from nbrewind.kernel.magics import RewindMagics, register
from nbrewind.model import CellReport, Commit, Delta, Record, Trace

RECORD = Record("r1", "k", "# comment\ntotal = sum(x)\n", Trace(), Delta(), seconds=2.5)
COMMIT = Commit("abcdef0123456789", "", "run", "r1", "executed", 3, created=1.0)


class FakeSession:
    """See SessionLike."""

    def __init__(self) -> None:
        self.audit = True
        self.calls: list[Any] = []
        self.paths: list[str] = []

    def status(self) -> dict[str, Any]:
        return {
            "store": "/s",
            "recording": True,
            "not_durable": [],
            "unrecorded": ["3"],
            "stored_bytes": 2048,
        }

    def log(self, count: int) -> Sequence[tuple[Commit, Record | None]]:
        self.calls.append(("log", count))
        return [(COMMIT, RECORD), (COMMIT, None)]

    def plan(self) -> Sequence[CellReport]:
        return [CellReport(0, "", "executed", "input changed", changed_inputs=["name:a"])]

    def to(self, commit: str, *, files: bool = False) -> Sequence[str]:
        if commit == "zzz":
            raise UsageError("no commit starts with zzz")
        self.calls.append(("to", commit, files))
        return self.paths

    def forget(self, commit: str) -> str:
        self.calls.append(("forget", commit))
        return COMMIT.id

    def force(self) -> None:
        self.calls.append("force")

    def finish(self) -> dict[str, Any]:
        return {"failures": ["cell 3: disk full"]}


@pytest.fixture
def magics() -> Iterator[RewindMagics]:
    shell = InteractiveShell()
    yield register(shell, FakeSession())
    shell.history_manager.end_session()


def test_answers_are_words(magics: RewindMagics, capsys: pytest.CaptureFixture[str]) -> None:
    session = magics.session
    assert isinstance(session, FakeSession)
    magics.rewind("")
    text = capsys.readouterr().out
    assert "store: /s" in text and "recording: yes" in text and "unrecorded: 1: 3" in text
    assert "not durable: none" in text and "2.0 KiB" in text
    magics.rewind("log 2")
    text = capsys.readouterr().out
    assert "abcdef012345  In[3]  executed" in text and "total = sum(x)" in text and "2.50 s" in text
    magics.rewind("plan")
    assert "input changed (name:a)" in capsys.readouterr().out
    magics.rewind("forget")
    magics.rewind("force")
    magics.rewind("help")
    assert "%rewind to COMMIT" in capsys.readouterr().out
    assert session.calls == [("log", 2), ("forget", ""), "force"]


def test_to_lists_files_and_changes_them_only_when_asked(
    magics: RewindMagics, capsys: pytest.CaptureFixture[str]
) -> None:
    session = magics.session
    assert isinstance(session, FakeSession)
    session.paths = ["out.csv"]
    magics.rewind("to abc")
    assert "left alone: out.csv" in capsys.readouterr().out
    magics.rewind("to abc --files")
    assert "Files changed: out.csv" in capsys.readouterr().out
    assert session.calls == [("to", "abc", False), ("to", "abc", True)]


def test_audit_switches(magics: RewindMagics, capsys: pytest.CaptureFixture[str]) -> None:
    magics.audit("off")
    assert magics.session.audit is False and "off" in capsys.readouterr().out
    magics.audit("")
    assert "off" in capsys.readouterr().out
    magics.audit("on")
    assert magics.session.audit is True


@pytest.mark.parametrize(
    "line", ["no-such-verb", "log x", "to", "to a b", "to --other", "status x", "to zzz", "forget a b"]
)
def test_bad_lines_are_usage_errors_without_a_traceback(magics: RewindMagics, line: str) -> None:
    with pytest.raises(MagicUsageError):
        magics.rewind(line)


def test_finish_answers_the_client_by_payload(magics: RewindMagics) -> None:
    magics.rewind("finish")
    assert magics.shell is not None and magics.shell.payload_manager is not None
    payload = magics.shell.payload_manager.read_payload()
    assert payload == [{"source": "nbrewind", "data": {"failures": ["cell 3: disk full"]}}]
