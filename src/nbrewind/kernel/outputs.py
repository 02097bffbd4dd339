"""Output messages: caught as a cell sends them, sent again when the cell is restored."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

RECORDED = frozenset(
    {"stream", "display_data", "update_display_data", "execute_result", "error", "clear_output"}
)


class OutputTap:
    """Listens on the kernel's message session and keeps what belongs to the running cell."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._send = session.send
        self._lock = threading.Lock()
        self._parent = ""
        self._messages: list[dict[str, Any]] | None = None
        session.send = self.send
        self._muted = 0
        self._watched: dict[int, Any] = {}
        self._written: set[int] = set()
        """Streams by address: those that tell of writes, and those written to since the cell began."""
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "_schedule_flush") and id(stream) not in self._watched:
                stream._schedule_flush = self._noting(stream, stream._schedule_flush)
                self._watched[id(stream)] = stream

    def _noting(self, stream: Any, schedule: Callable[[], None]) -> Callable[[], None]:
        """What a stream of ipykernel calls whenever something was written to it."""

        def note() -> None:
            self._written.add(id(stream))
            schedule()

        return note

    def remove(self) -> None:
        """Send as before, unless somebody else has put something of theirs in our place since."""
        for stream in self._watched.values():
            vars(stream).pop("_schedule_flush", None)
        if self._session.__dict__.get("send") == self.send:
            del self._session.send

    def begin(self, parent_id: str) -> None:
        """A cell starts: keep messages whose parent is its request."""
        with self._lock:
            self._parent, self._messages = parent_id, []
        self._written.clear()

    @contextlib.contextmanager
    def muted(self) -> Iterator[None]:
        """While it is open, outputs are made as ever and not sent."""
        self.flush()
        self._muted += 1
        try:
            yield
        finally:
            self.flush()
            self._muted -= 1

    def flush(self) -> None:
        """Have all that the cell wrote sent; the wait for the sending thread costs more than a small cell."""
        for stream in (sys.stdout, sys.stderr):
            if id(stream) in self._written or id(stream) not in self._watched:
                stream.flush()

    def end(self) -> list[dict[str, Any]]:
        """The messages of the cell in order, neighbouring stream texts joined."""
        with self._lock:
            found, self._messages = self._messages or [], None
        return found

    def send(
        self,
        stream: Any,
        msg_or_type: Any,
        content: Any = None,
        parent: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """What ``Session.send`` is for everybody in this kernel."""
        if self._muted and _kind(msg_or_type) in RECORDED:
            return None
        self._keep(msg_or_type, content, parent)
        return self._send(stream, msg_or_type, content, parent, *args, **kwargs)

    def _keep(self, msg_or_type: Any, content: Any, parent: Any) -> None:
        if self._messages is None:
            return
        kind = _kind(msg_or_type)
        if isinstance(msg_or_type, dict):
            content = msg_or_type.get("content")
            header = msg_or_type.get("parent_header") or {}
        else:
            # The traceback comes with the bare header as its parent.
            header = (parent or {}).get("header") or parent or {}
        if kind not in RECORDED or not isinstance(content, dict) or header.get("msg_id") != self._parent:
            return
        with self._lock:
            messages = self._messages
            last = messages[-1] if messages else None
            streams = kind == "stream" and last is not None and last["type"] == "stream"
            if streams and last is not None and last["content"]["name"] == content["name"]:
                last["content"]["text"] += content["text"]
                return
            messages.append({"type": kind, "content": dict(content)})


def _kind(msg_or_type: Any) -> Any:
    """The type of a message that is given whole or by its type."""
    return msg_or_type.get("msg_type") if isinstance(msg_or_type, dict) else msg_or_type


def renumbered(message: dict[str, Any], count: int) -> dict[str, Any]:
    """A recorded message's content as execution ``count`` shows it."""
    content = dict(message["content"])
    if message["type"] == "execute_result":
        content["execution_count"] = count
    return content
