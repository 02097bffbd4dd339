"""A small asynchronous client of real kernels, so that tests control every message.

Two ways to start one: ``fresh`` is a new interpreter through the installed kernelspecs; otherwise the kernel
is forked from a template process that has only imported third-party libraries (``zygote.py``).
"""

from __future__ import annotations

import ast
import asyncio
import itertools
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

from support import compare

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parents[1] / "src"
MODULES = {
    "plain": "ipykernel_launcher",
    "extension": "ipykernel_launcher",
    "audit": "nbrewind.kernel",
    "repeat": "nbrewind.kernel",
}


class KernelTrouble(Exception):
    """A kernel died, did not answer in time, or broke the contract."""


@dataclass
class Ran:
    """What one execute request gave."""

    status: str
    report: dict[str, Any] | None
    messages: list[dict[str, Any]] = field(default_factory=list)
    ename: str = ""
    evalue: str = ""
    traceback: str = ""
    execution_count: int = 0

    @property
    def action(self) -> str:
        """The report's action; ``executed`` for a kernel that gives no reports."""
        if self.report is None:
            return "executed" if self.status == "ok" else "failed"
        return str(self.report["action"])

    @property
    def skipped(self) -> bool:
        """Whether no code of the cell ran for this reply."""
        return self.action in ("restored", "recomputed") or (
            self.action == "failed" and bool(self.report and self.report.get("replayed"))
        )


class House:
    """Where the kernels of one test run live: sockets, logs, an IPython folder, the template process.

    ``python`` is an interpreter with everything that nbrewind needs; a second house with another one shows
    what becomes of a store under another Python (R13).
    """

    def __init__(self, python: str = sys.executable) -> None:
        self.python = python
        self.folder = Path(tempfile.mkdtemp(prefix="nbrt"))
        self.numbers = itertools.count()
        self._zygote: subprocess.Popen[str] | None = None
        (self.folder / "ipython").mkdir()

    def __enter__(self) -> House:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends the template (and with it all forked kernels) and removes the folder."""
        if self._zygote is not None:
            assert self._zygote.stdin is not None
            self._zygote.stdin.close()
            try:
                self._zygote.wait(10)
            except subprocess.TimeoutExpired:
                self._zygote.kill()
                self._zygote.wait()
            if self._zygote.stdout is not None:
                self._zygote.stdout.close()
            self._zygote = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def environment(self) -> dict[str, str]:
        """The environment of every kernel: ours removed, hash seed pinned, few threads."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("NBREWIND_", "PYTEST_", "JPY_"))}
        # Folders named site-packages hold libraries: an engine's adapter is no code of the user.
        paths = [str(SOURCE), str(HERE / "site-packages"), *kept.get("PYTHONPATH", "").split(os.pathsep)]
        kept.update(
            PYTHONPATH=os.pathsep.join(dict.fromkeys(p for p in paths if p)),
            PYTHONHASHSEED="0",
            IPYTHONDIR=str(self.folder / "ipython"),
            PYDEVD_DISABLE_FILE_VALIDATION="1",
            OMP_NUM_THREADS="1",
            OPENBLAS_NUM_THREADS="1",
        )
        return kept

    def fork(self, request: dict[str, Any]) -> int:
        """Asks the template for a new process; starts the template at the first call."""
        if self._zygote is None:
            self._zygote = subprocess.Popen(
                [self.python, str(HERE / "zygote.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=self.environment(),
                start_new_session=True,
            )
            assert self._zygote.stdout is not None
            self._zygote.stdout.readline()
        assert self._zygote.stdin is not None and self._zygote.stdout is not None
        self._zygote.stdin.write(json.dumps(request) + "\n")
        self._zygote.stdin.flush()
        return int(json.loads(self._zygote.stdout.readline())["pid"])


class Kernel:
    """One running kernel."""

    def __init__(self, house: House, mode: str, folder: Path) -> None:
        self.house = house
        self.mode = mode
        self.folder = folder
        number = next(house.numbers)
        self.log = house.folder / f"log{number}"
        self.connection = house.folder / f"connection{number}.json"
        self.address = str(house.folder / f"s{number}")
        self.client: AsyncKernelClient
        self.manager: AsyncKernelManager | None = None
        self.pid = 0
        self._listeners: list[asyncio.Task[None]] = []
        self._inbox: dict[str, asyncio.Queue[tuple[str, dict[str, Any]]]] = {}

    @classmethod
    async def start(
        cls,
        house: House,
        mode: str,
        folder: Path,
        *,
        env: dict[str, str] | None = None,
        options: dict[str, Any] | None = None,
        store: Path | None = None,
        fresh: bool = False,
    ) -> Kernel:
        """Starts a kernel in ``folder`` and waits until it answers.

        ``mode`` is ``plain``, ``audit``, ``repeat``, or ``extension``: a plain one that has loaded ours.
        """
        kernel = cls(house, mode, folder)
        environment = house.environment() | (env or {})
        if mode != "plain":
            environment["NBREWIND_STORE"] = str(store or folder / ".nbrewind")
            given = {"notebook": str(folder / "notebook.ipynb"), **(options or {})}
            environment["NBREWIND_OPTIONS"] = json.dumps(given)
        if fresh:
            await kernel._start_fresh(environment)
        else:
            kernel._start_forked(environment)
        try:
            await kernel._connect()
            if mode == "extension":
                await kernel.execute("%load_ext nbrewind", silent=True, history=False)
        except BaseException:  # an interrupt too must leave no kernel behind
            await kernel.close()
            raise
        return kernel

    async def _start_fresh(self, environment: dict[str, str]) -> None:
        manager = AsyncKernelManager(
            kernel_name=f"nbrewind-{self.mode}" if self.mode in ("audit", "repeat") else "python3",
            connection_file=str(self.connection),
            transport="ipc",
            ip=self.address,
        )
        # The module named here is the entry point of the installed kernelspec; pinning it keeps a second
        # installation in the user's home from being tested by mistake.
        argv = [
            self.house.python,
            "-m",
            MODULES[self.mode],
            *self._mode_arguments(),
            "-f",
            "{connection_file}",
        ]
        manager._kernel_spec = KernelSpec(argv=argv, display_name=self.mode, language="python")
        self.manager = manager
        with self.log.open("wb") as log:
            await manager.start_kernel(cwd=str(self.folder), env=environment, stdout=log, stderr=log)
        self.pid = manager.provisioner.process.pid  # type: ignore[union-attr]
        self.client = manager.client()

    def _mode_arguments(self) -> list[str]:
        return ["--mode", self.mode] if self.mode in ("audit", "repeat") else []

    def _start_forked(self, environment: dict[str, str]) -> None:
        info = {
            "transport": "ipc",
            "ip": self.address,
            "shell_port": 1,
            "iopub_port": 2,
            "stdin_port": 3,
            "hb_port": 4,
            "control_port": 5,
            "key": "k",
            "signature_scheme": "hmac-sha256",
            "kernel_name": "",
        }
        self.connection.write_text(json.dumps(info))
        self.pid = self.house.fork(
            {
                "module": MODULES[self.mode],
                "argv": [*self._mode_arguments(), "-f", str(self.connection)],
                "cwd": str(self.folder),
                "env": environment,
                "log": str(self.log),
            }
        )
        self.client = AsyncKernelClient()
        self.client.load_connection_info(info)

    def alive(self) -> bool:
        """Whether the process exists and is no zombie."""
        try:
            os.kill(self.pid, 0)
        except OSError:
            return False
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return not Path("/proc/self").exists()

    def said(self, most: int = 1500) -> str:
        """The end of what the process wrote to its standard streams."""
        return self.log.read_text(errors="replace")[-most:] if self.log.exists() else ""

    async def _connect(self) -> None:
        # A socket that connects before the other side exists tries again later, each at its own time; a
        # kernel that asks for input meanwhile loses the question.  So all must exist first.
        ports = [
            self.client.shell_port,
            self.client.iopub_port,
            self.client.stdin_port,
            self.client.control_port,
        ]
        began = time.monotonic()
        while not all(os.path.exists(f"{self.address}-{port}") for port in ports):
            if not self.alive() or time.monotonic() - began > 60:
                raise KernelTrouble(f"{self.mode} kernel did not start: {self.said()}")
            await asyncio.sleep(0.005)
        self.client.start_channels(hb=False)
        channels = {
            "shell": self.client.shell_channel,
            "iopub": self.client.iopub_channel,
            "stdin": self.client.stdin_channel,
            "control": self.client.control_channel,
        }
        self._listeners = [asyncio.create_task(self._listen(n, c)) for n, c in channels.items()]
        for attempt in range(40):
            # Asked again until the answer's status arrives on iopub too: only then no output can be lost.
            message = self.client.session.msg("kernel_info_request", {})
            box = self._box(message)
            self.client.shell_channel.send(message)
            seen = set()
            try:
                async with asyncio.timeout(0.2 if attempt < 20 else 1.0):
                    while {"shell", "idle"} - seen:
                        channel, answer = await box.get()
                        seen.add(channel)
                        if answer["msg_type"] == "status":
                            seen.add(answer["content"]["execution_state"])
                return
            except TimeoutError:
                if not self.alive():
                    raise KernelTrouble(f"{self.mode} kernel ended at its start: {self.said()}") from None
        raise KernelTrouble(f"{self.mode} kernel does not answer: {self.said()}")

    def _box(self, message: dict[str, Any]) -> asyncio.Queue[tuple[str, dict[str, Any]]]:
        return self._inbox.setdefault(message["header"]["msg_id"], asyncio.Queue())

    async def _listen(self, name: str, channel: Any) -> None:
        while True:
            # Sending works on the bare socket below the asynchronous one and can swallow its wake-up:
            # without an end of the waiting here a message would now and then be seen never.
            try:
                message = await channel.get_msg(timeout=0.05)
            except queue.Empty:
                continue
            box = self._inbox.get(message["parent_header"].get("msg_id", ""))
            if box is not None:
                box.put_nowait((name, message))

    async def execute(
        self,
        source: str,
        *,
        cell_id: str | None = None,
        index: int = -1,
        tags: Sequence[str] = (),
        force: bool = False,
        answers: list[str] | None = None,
        silent: bool = False,
        history: bool = True,
        expressions: dict[str, str] | None = None,
        timeout: float = 60.0,
    ) -> tuple[Ran, dict[str, Any]]:
        """One execute request; the second value is the reply's ``user_expressions``."""
        message = self.client.session.msg(
            "execute_request",
            {
                "code": source,
                "silent": silent,
                "store_history": history,
                "user_expressions": expressions or {},
                "allow_stdin": answers is not None,
                "stop_on_error": False,
            },
        )
        if cell_id is not None:
            message["metadata"] = {
                "cellId": cell_id,
                "nbrewind": {"index": index, "force": force, "tags": list(tags)},
            }
        box = self._box(message)
        self.client.shell_channel.send(message)
        outputs: list[dict[str, Any]] = []
        reply: dict[str, Any] | None = None
        idle = False
        remaining = timeout
        while reply is None or not idle:
            try:
                async with asyncio.timeout(1.0):
                    channel, answer = await box.get()
            except TimeoutError:
                remaining -= 1.0
                if not self.alive():
                    raise KernelTrouble(f"{self.mode} kernel died in {source!r}: {self.said()}") from None
                if remaining <= 0:
                    raise KernelTrouble(f"{self.mode} kernel: no end of {source!r}: {self.said()}") from None
                continue
            if channel == "shell":
                reply = answer
            elif channel == "stdin":
                given = answers.pop(0) if answers else ""
                self.client.input(given)
            elif channel == "iopub" and answer["msg_type"] == "status":
                idle = idle or answer["content"]["execution_state"] == "idle"
            elif channel == "iopub" and answer["msg_type"] != "execute_input":
                outputs.append({"msg_type": answer["msg_type"], "content": answer["content"]})
        del self._inbox[message["header"]["msg_id"]]
        content = reply["content"]
        ran = Ran(
            content.get("status", "error"),
            (reply.get("metadata") or {}).get("nbrewind"),
            outputs,
            content.get("ename", ""),
            content.get("evalue", ""),
            "\n".join(content.get("traceback", [])),
            content.get("execution_count") or 0,
        )
        return ran, content.get("user_expressions", {})

    async def ask(self, kind: str, content: dict[str, Any], channel: str = "shell") -> dict[str, Any]:
        """The content of the reply to a request."""
        message = self.client.session.msg(kind, content)
        box = self._box(message)
        getattr(self.client, f"{channel}_channel").send(message)
        async with asyncio.timeout(60):
            while True:
                name, answer = await box.get()
                if name == channel:
                    found: dict[str, Any] = answer["content"]
                    return found

    def interrupt(self) -> None:
        """What the stop button of a front end does."""
        os.kill(self.pid, signal.SIGINT)

    async def run_cell(
        self,
        source: str,
        index: int,
        *,
        cell_id: str | None = None,
        tags: Sequence[str] = (),
        force: bool = False,
        answers: list[str] | None = None,
    ) -> Ran:
        """Runs one notebook cell the way a notebook client does."""
        ran, _ = await self.execute(
            source, cell_id=cell_id or f"cell-{index}", index=index, tags=tags, force=force, answers=answers
        )
        return ran

    async def evaluate(self, expression: str) -> tuple[bool, str]:
        """Evaluates in the user namespace without history: (worked, text or error)."""
        ran, values = await self.execute("", silent=False, history=False, expressions={"e": expression})
        found = values.get("e")
        if found is None:
            return False, f"no answer ({ran.status} {ran.ename}: {ran.evalue})"
        if found["status"] != "ok":
            return False, f"{found.get('ename')}: {found.get('evalue')}"
        return True, str(found["data"].get("text/plain", ""))

    async def holds(self, expression: str) -> str:
        """Empty where the expression is true, else what it gave."""
        worked, text = await self.evaluate(f"bool({expression})")
        return "" if worked and text == "True" else f"{expression!r} gave {text}"

    async def describe(self, seeded: Sequence[str] = ()) -> dict[str, Any]:
        """The namespace as ``support.describe`` sees it."""
        worked, text = await self.evaluate(compare.describe_expression(str(self.folder), seeded))
        if not worked:
            raise KernelTrouble(f"{self.mode} kernel cannot be described: {text}")
        found: dict[str, Any] = json.loads(ast.literal_eval(text))
        return found

    async def finish(self) -> None:
        """Asks one of our kernels to lay down files and to flush its store."""
        await self.execute("%rewind finish", silent=True, history=False)

    async def shutdown(self, patience: float = 60.0) -> None:
        """Ends the kernel the polite way and waits for its end; one that hangs says where its threads are."""
        message = self.client.session.msg("shutdown_request", {"restart": False})
        self.client.control_channel.send(message)
        for _ in range(int(patience / 0.02)):
            if self.manager is not None and self.manager.provisioner is not None:
                if await self.manager.provisioner.poll() is not None:
                    break
            elif not self.alive():
                break
            await asyncio.sleep(0.02)
        else:
            os.kill(self.pid, signal.SIGABRT)  # a forked one writes all its stacks
            await asyncio.sleep(1)
            await self.close()
            raise KernelTrouble(f"{self.mode} kernel does not end: {self.said(20000)}")
        await self.close()

    async def close(self) -> None:
        """Kills the kernel and closes the channels; harmless when it has ended."""
        for listener in self._listeners:
            listener.cancel()
        await asyncio.gather(*self._listeners, return_exceptions=True)
        self._listeners = []
        if hasattr(self, "client"):
            self.client.stop_channels()
        if self.manager is not None:
            if await self.manager.is_alive():
                await self.manager.shutdown_kernel(now=True)
            else:
                await self.manager.cleanup_resources()
            self.manager = None
        elif self.pid and self.alive():
            os.kill(self.pid, signal.SIGKILL)
