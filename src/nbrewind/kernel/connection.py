"""What a headless run asks of its kernel, and the connection that carries it there.

Options travel by environment at the kernel's start; what concerns one cell travels in the
metadata of its execute request.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager

from nbrewind.kernel.specs import SpecManager


@dataclass(slots=True)
class RunOptions:
    """How a headless run differs from a plain one.  Paths are absolute."""

    kernel: str = "nbrewind-repeat"
    notebook: Path | None = None
    """Path of the notebook: its folder is where the kernel starts, and its label in the history."""
    store: Path | None = None
    strict: bool = False
    engine: str | None = None
    env: str = "compatible"
    keep: str = "all"
    """Which values are stored (``--keep``)."""
    keep_bytes: int = 0
    ignore: tuple[str, ...] = ()
    """Paths that listings of folders never show to cells, such as the file given with -o (R7)."""
    until: int | None = None
    """Index of the last code cell to run."""
    force: frozenset[int] = frozenset()
    """Indices of code cells that run even where a record holds."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """More environment variables for the kernel."""
    answers: tuple[str, ...] = ()
    """What to answer to ``input()``, in order; without any, stdin is refused as nbclient does."""
    debug: bool = False
    """Show what the kernel writes on its own standard error."""

    def kernel_environment(self) -> dict[str, str]:
        """The environment of the kernel process."""
        variables = dict(os.environ)
        variables.update(self.environment)
        if self.store is not None:
            variables["NBREWIND_STORE"] = str(self.store)
        variables["NBREWIND_OPTIONS"] = json.dumps(
            {
                "notebook": str(self.notebook) if self.notebook is not None else "",
                "strict": self.strict,
                "engine": self.engine,
                "env": self.env,
                "keep": self.keep,
                "keep_bytes": self.keep_bytes,
                "ignore": list(self.ignore),
                "headless": True,
                "end_files": True,
            }
        )
        return variables


_LONGEST_SOCKET = 90
"""Bytes of a socket's path that every system takes (macOS 103, Linux 107), without the port's number."""


class RequestClient(AsyncKernelClient):
    """Adds metadata to the next execute request; nbclient has no way to pass any."""

    request_metadata: dict[str, Any] | None = None

    def execute(
        self,
        code: str,
        silent: bool = False,
        store_history: bool = True,
        user_expressions: dict[str, Any] | None = None,
        allow_stdin: bool | None = None,
        stop_on_error: bool = True,
    ) -> str:
        """Send one execute request and return its message id.

        Requests are sent one by one, so there is never a queue for an error to abort, and a
        kernel that aborts would drop the closing request.
        """
        content = {
            "code": code,
            "silent": silent,
            "store_history": store_history,
            "user_expressions": user_expressions or {},
            "allow_stdin": self.allow_stdin if allow_stdin is None else allow_stdin,
            "stop_on_error": False,
        }
        message = self.session.msg("execute_request", content, metadata=self.request_metadata)
        self.request_metadata = None
        self.shell_channel.send(message)
        return str(message["header"]["msg_id"])


class RewindManager(AsyncKernelManager):
    """Starts our kernels in this environment, whatever kernelspecs lie about.

    They are reached through sockets in a folder of the user's own where there are such: a
    port is free only until somebody else takes it.
    """

    def __init__(self, **traits: Any) -> None:
        if os.name == "posix" and "transport" not in traits and (folder := _socket_folder()):
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            traits |= {"transport": "ipc", "ip": os.path.join(folder, "kernel")}
        super().__init__(kernel_spec_manager=SpecManager(), **traits)
        self.client_factory = RequestClient


def _socket_folder() -> str:
    """A new folder of the user's own whose path is short enough for sockets, empty if there is none."""
    for place in (None, "/tmp"):
        try:
            folder = tempfile.mkdtemp(prefix="nbrewind-", dir=place)
        except OSError:
            continue
        if len(os.fsencode(os.path.join(folder, "kernel"))) <= _LONGEST_SOCKET:
            return folder
        os.rmdir(folder)
    return ""
