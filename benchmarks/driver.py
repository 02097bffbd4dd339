"""A kernel driven over its protocol, with a clock beside it.

Nothing between the clock and the kernel but jupyter_client: an execute_request goes out,
the clock stops at the execute_reply and again when the kernel is idle.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from types import TracebackType
from typing import Any

from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpec

TICKS = 0.3
"""Seconds without CPU use of the kernel after which its background work counts as done."""


_PROCESS_CLOCK = 2
"""Linux's number for a process's scheduler clock in the id that ``clock_getcpuclockid`` makes."""


class _Manager(KernelManager):  # type: ignore[misc]
    """Starts a kernel of another environment."""

    def __init__(self, argv: list[str], name: str) -> None:
        super().__init__(kernel_name=name)
        self._kernel_spec = KernelSpec(argv=argv, display_name=name, language="python")


class CellFailed(RuntimeError):
    """A cell of a benchmark raised: the measurement would mean nothing."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds from sending the request to the reply, and to the idle status."""

    reply: float
    idle: float
    metadata: dict[str, Any]


class Kernel:
    """One running kernel.  Use as a context manager; the kernel ends with it."""

    def __init__(
        self, name: str, folder: Path, environment: dict[str, str], argv: Sequence[str] = ()
    ) -> None:
        """Start kernel ``name`` in ``folder``, by ``argv`` where it is not installed under that name.

        Raises jupyter_client's NoSuchKernel or RuntimeError.
        """
        self.name = name
        started = time.perf_counter()
        self._manager = _Manager(list(argv), name) if argv else KernelManager(kernel_name=name)
        # Kishu looks for the kernel's id in the name of this file, as a server gives it.
        self._manager.connection_file = str(folder / f"kernel-{uuid.uuid4()}.json")
        with (folder / "kernel.log").open("ab") as log:
            self._manager.start_kernel(cwd=str(folder), env=environment, stdout=log, stderr=log)
        self._client = self._manager.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=120)
        self.start_seconds = time.perf_counter() - started
        self.pid: int = self._manager.provisioner.pid  # type: ignore[union-attr]

    def __enter__(self) -> Kernel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=kind is not None)
        self._manager.cleanup_resources()

    def run(self, source: str, *, cell_id: str = "", timeout: float = 600.0) -> Timing:
        """Execute ``source`` as a cell; raises CellFailed if it does, TimeoutError after ``timeout`` s."""
        message = self._client.session.msg(
            "execute_request",
            {
                "code": source,
                "silent": False,
                "store_history": True,
                "user_expressions": {},
                "allow_stdin": False,
                "stop_on_error": True,
            },
            metadata={"cellId": cell_id} if cell_id else {},
        )
        wanted = message["header"]["msg_id"]
        started = time.perf_counter()
        self._client.shell_channel.send(message)
        try:
            while True:
                reply = self._client.get_shell_msg(timeout=timeout)
                if reply["parent_header"].get("msg_id") == wanted:
                    break
            replied = time.perf_counter()
            while True:
                status = self._client.get_iopub_msg(timeout=timeout)
                if (
                    status["parent_header"].get("msg_id") == wanted
                    and status["msg_type"] == "status"
                    and status["content"]["execution_state"] == "idle"
                ):
                    break
        except Empty as error:
            raise TimeoutError(f"{self.name} did not answer within {timeout} s: {source[:60]!r}") from error
        idle = time.perf_counter()
        content = reply["content"]
        if content["status"] != "ok":
            what = f"{content.get('ename')}: {content.get('evalue')}"
            raise CellFailed(f"{self.name}: {what} in {source[:60]!r}")
        return Timing(replied - started, idle - started, reply["metadata"])

    def value(self, expression: str) -> str:
        """The representation of an expression, digested where it is long; read, not executed as a cell."""
        wanted = (
            f"(lambda found: found if len(found) < 200 else __import__('hashlib').sha1(found.encode())"
            f".hexdigest())(repr(({expression})))"
        )
        request = self._client.execute("", silent=True, user_expressions={"value": wanted})
        while True:
            reply = self._client.get_shell_msg(timeout=300)
            if reply["parent_header"].get("msg_id") == request:
                break
        found = reply["content"]["user_expressions"]["value"]
        if found["status"] != "ok":
            raise CellFailed(f"{self.name}: {found.get('ename')}: {found.get('evalue')}")
        return str(found["data"]["text/plain"])

    def settle(self, limit: float = 120.0) -> None:
        """Wait until the kernel's background work (hashing, writing) uses no CPU, at most ``limit`` s."""
        ends = time.monotonic() + limit
        quiet_since = time.monotonic()
        last = self._ticks()
        while time.monotonic() < ends:
            time.sleep(0.05)
            now = self._ticks()
            if now > last + 1:
                last, quiet_since = now, time.monotonic()
            elif time.monotonic() - quiet_since >= TICKS:
                return

    def _ticks(self) -> int:
        """CPU ticks that the kernel has used so far, in user and system mode."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def cpu_seconds(self) -> float:
        """CPU time of the kernel's threads so far, to the nanosecond: other load does not count."""
        return time.clock_gettime((~self.pid << 3) | _PROCESS_CLOCK)

    def reset_peak(self) -> None:
        """Let the peak of resident memory start again from now."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def peak_bytes(self) -> int:
        """Peak of resident memory since the start or the last reset."""
        return self._status("VmHWM")

    def resident_bytes(self) -> int:
        """Resident memory now."""
        return self._status("VmRSS")

    def _status(self, key: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1]) * 1024
        raise RuntimeError(f"/proc/{self.pid}/status has no {key}")


def folder_bytes(folder: Path) -> int:
    """Bytes of the files below ``folder``; 0 when it does not exist."""
    total = 0
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                total += path.stat().st_size
        except FileNotFoundError:
            continue  # a temporary file of the store's writer, renamed meanwhile
    return total
