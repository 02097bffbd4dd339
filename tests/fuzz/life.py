"""One kernel's life without sockets: a forked process builds the kernel, gives it all cells, and writes what came.

The kernel is the real one (IPython's, or one of ours) and so is the way of a request through it; only its
sockets and the threads behind them are missing, which are most of what starting one costs.  A template process
forks one child for each request and waits for its end.  Protocol: a JSON object per line on standard input, an
empty answer per line when the child has ended; its result is in the file that the request names.
"""

import asyncio
import ctypes
import functools
import gc
import json
import logging
import os
import random
import resource
import signal
import sys
import threading
import traceback
import types
from pathlib import Path

PATIENCE = 120
"""Seconds until a child ends in any case; of the processor's time a child gets ``WORK``."""
WORK = 15
MEMORY = 4 << 30
PRELOADED = (
    "IPython.core.completerlib",
    "IPython.core.interactiveshell",
    "IPython.core.logger",
    "IPython.core.oinspect",
    "IPython.utils.wildcard",
    "bdb",
    "ipykernel.kernelapp",
    "ipykernel.debugger",
    "ipykernel.ipkernel",
    "blake3",
    "cloudpickle",
    "concurrent.futures",
    "concurrent.futures.process",
    "concurrent.futures.thread",
    "csv",
    "dataclasses",
    "decimal",
    "msgspec",
    "sqlite3",
    "xxhash",
)


def main() -> None:
    """Serves requests until standard input ends."""
    for name in (*PRELOADED, *sys.argv[1:]):
        __import__(name)
    import nbrewind.engines.futures.handles
    import nbrewind.engines.futures.hooks
    import nbrewind.kernel.app
    import nbrewind.kernel.kernel
    import nbrewind.values.codecs.iterators  # noqa: F401
    from nbrewind.store import writer

    if given := os.environ.get("WAITING_BYTES"):
        # Almost nothing may wait to be written: every cell waits for the disk.
        writer.MOST_BYTES = writer.BATCH = int(given)
    warm()
    # What the children share stays shared: a collection would write to every page.
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stream = os.fdopen(os.dup(0), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    while line := stream.readline():
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            stream.close()
            answers.close()
            live(request)
        os.waitpid(pid, 0)
        print(file=answers, flush=True)


def warm() -> None:
    """Fills caches that every child would fill for itself: what tracebacks are made with, what is installed."""
    from IPython.core.ultratb import VerboseTB

    from nbrewind.flow import codecs, installed
    from nbrewind.flow.environment import installed_version
    from nbrewind.tasks import adapter

    # What is installed stays the same as long as a template lives, and reading it takes a third of a kernel's start.
    for module, name in ((installed, "distributions"), (codecs, "entry_points"), (adapter, "entry_points")):
        setattr(module, name, functools.cache(getattr(module, name)))
    installed.distributions()
    for module in (codecs, adapter):
        module.entry_points(group=module.GROUP)
    try:
        json.loads("")
    except ValueError:
        VerboseTB().structured_traceback(*sys.exc_info())
    installed_version("nowhere")


def live(request: dict) -> None:
    """Turns this fresh child into one kernel and runs it to its end; never returns."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.alarm(PATIENCE)
    resource.setrlimit(resource.RLIMIT_CPU, (WORK, WORK))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    null = os.open(os.devnull, os.O_RDWR)
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number, target in ((0, null), (1, log), (2, log)):
        os.dup2(target, number)
    os.environ.clear()
    os.environ.update(request["env"])
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    os.chdir(request["folder"])
    random.seed(request["entropy"])
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(request["entropy"])
    # As a kernel's path begins: the notebook's folder, what PYTHONPATH names, the interpreter's.
    here = str(Path(__file__).resolve().parent)
    sys.path[:] = ["", *(p for p in sys.path if p not in ("", here))]
    try:
        found = asyncio.run(Life(request).run())
        Path(request["result"]).write_text(json.dumps(found), encoding="utf-8")
    except BaseException:  # the child of a fork ends here: whatever it was is told
        traceback.print_exc(file=sys.__stderr__)
    finally:
        sys.__stderr__.flush()
        os._exit(0)


class Life:
    """One kernel."""

    def __init__(self, request: dict) -> None:
        from ipykernel.iostream import OutStream
        from IPython.core.profiledir import ProfileDir
        from traitlets.config import Config

        self.request = request
        self.mode = request["mode"]
        session = wire()
        for name in ("stdout", "stderr"):
            setattr(sys, name, OutStream(session, here_and_now(session), name, watchfd=False))
        config = Config()
        config.HistoryManager.enabled = False
        profile = ProfileDir.create_profile_dir_by_name(os.environ["IPYTHONDIR"], "default")
        # As ipykernel's application does it: IPython makes a module, with the names that every module has.
        namespace = {} if self.mode in ("audit", "repeat") else {"user_ns": None}
        self.kernel = kernel_class(self.mode)(
            **namespace,
            config=config,
            session=session,
            iopub_socket=Sink(),
            profile_dir=profile,
            log=logging.getLogger("kernel"),
            shell_channel_thread=types.SimpleNamespace(parent_thread=threading.current_thread()),
        )
        # Half of a fuzzed notebook's time would go into the colours of tracebacks, which are not compared.
        self.kernel.shell.InteractiveTB.set_mode("Minimal")
        # Interrupts reach asynchronous cells through the loop; there is none of tornado's here.
        self.kernel.io_loop = None
        self.session = session
        if self.mode in ("audit", "repeat"):
            base = self.kernel.rewind.process.ambient.base_env
            base.clear()
            base.update(os.environ)

    async def run(self) -> dict:
        """All cells, then what the kernel ended with."""
        request = self.request
        if self.mode == "extension":
            await self.execute("%load_ext nbrewind", silent=True)
        runs = [
            await self.execute(
                cell["source"],
                metadata={
                    "cellId": cell["id"],
                    "nbrewind": {"index": i, "force": i in request["force"], "tags": cell["tags"]},
                },
            )
            for i, cell in enumerate(request["cells"])
        ]
        # Plain kernels get a request too: tasks of the notebook run while the loop waits for the next one.
        await self.execute("" if self.mode == "plain" else "%rewind finish", silent=True)
        for library in request["seeded"]:
            # Random states come back with their library, at the latest when it is asked for.
            await self.execute("", history=False, expressions={"e": f"__import__({library!r}) and None"})
        files = folders().tree(Path(request["folder"]))
        answer = await self.execute("", history=False, expressions={"e": request["expression"]})
        again = set()
        if self.mode == "extension":
            await self.execute("%unload_ext nbrewind", silent=True)
        elif self.mode != "plain":
            again = {c for run in runs for c in (run["report"] or {}).get("start_over", ())}
            again |= set(self.kernel.rewind.start_over)
            self.kernel.rewind.store.close()
        described = answer["reply"]["user_expressions"]["e"]
        return {"runs": runs, "files": files, "described": described, "start_over": sorted(again)}

    async def execute(
        self,
        code: str,
        *,
        silent: bool = False,
        history: bool = True,
        expressions: dict | None = None,
        metadata: dict | None = None,
    ) -> dict:
        """One request, answered."""
        message = self.session.msg(
            "execute_request",
            {
                "code": code,
                "silent": silent,
                "store_history": history and not silent,
                "user_expressions": expressions or {},
                "allow_stdin": False,
                "stop_on_error": False,
            },
        )
        message["metadata"] = metadata or {}
        message = json.loads(json.dumps(message, default=str))
        self.session.begin(message["header"]["msg_id"])
        self.kernel.set_parent([], message)
        self.kernel.shell.set_parent(message)
        await self.kernel.execute_request(None, [], message)
        for _ in range(5):  # between two requests a kernel's loop goes round several times
            await asyncio.sleep(0)
        return self.session.taken()


def folders():
    """The tests' module about folders, without putting the tests on the notebook's path."""
    import importlib.util

    path = Path(__file__).resolve().parents[1] / "support" / "folders.py"
    spec = importlib.util.spec_from_file_location("_fuzz_folders", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def kernel_class(mode: str) -> type:
    """The class that the kernelspec of this mode starts."""
    from ipykernel.ipkernel import IPythonKernel

    from nbrewind.kernel.kernel import AuditKernel, RepeatKernel

    return {"audit": AuditKernel, "repeat": RepeatKernel}.get(mode, IPythonKernel)


class Sink:
    """Where a kernel believes that it publishes."""

    def send_multipart(self, *args: object, **kwargs: object) -> None:
        """Nothing: messages are taken where they are made."""


def here_and_now(session: object):
    """The thread of the output streams, without being one: what it is to do is done at once."""
    from ipykernel.iostream import IOPubThread

    class Loop:
        def call_later(self, seconds: float, function: object) -> None:
            """Streams are flushed at the end of each cell."""

    class Now(IOPubThread):
        def __init__(self) -> None:
            self.session = session
            self.io_loop = Loop()
            self.thread = None
            self._master_pid = os.getpid()

        def schedule(self, f: object) -> None:
            f()

    return Now()


def wire():
    """A session that keeps what is sent instead of sending it."""
    from jupyter_client.session import Session

    class Wire(Session):
        def begin(self, request: str) -> None:
            self._request, self._outputs, self._reply = request, [], {}

        def taken(self) -> dict:
            return {"messages": self._outputs, **self._reply}

        def send(
            self,
            stream,
            msg_or_type,
            content=None,
            parent=None,
            ident=None,
            buffers=None,
            track=False,
            header=None,
            metadata=None,
        ):
            if isinstance(msg_or_type, dict):
                message = msg_or_type
            else:
                message = self.msg(
                    msg_or_type, content=content, parent=parent, header=header, metadata=metadata
                )
            kind = message["msg_type"]
            mine = (message.get("parent_header") or {}).get("msg_id") == self._request
            if kind == "execute_reply":
                self._reply = {
                    "reply": message["content"],
                    "report": (message.get("metadata") or {}).get("nbrewind"),
                }
            elif mine and kind not in ("status", "execute_input"):
                plain = json.loads(json.dumps(message["content"], default=str))
                self._outputs.append({"msg_type": kind, "content": plain})
            return message

    session = Wire(key=b"k")
    session.begin("")
    return session


if __name__ == "__main__":
    main()
