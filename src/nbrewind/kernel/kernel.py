"""The two kernels: IPython's, with a session that decides, records and restores."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from ipykernel.ipkernel import IPythonKernel

from nbrewind.errors import NBRewindError, RecomputeFailed, StoreError
from nbrewind.flow.items import Item
from nbrewind.flow.namespace import MainModule
from nbrewind.kernel import shell_state
from nbrewind.kernel.celltags import CellTags
from nbrewind.kernel.interrupts import Interrupts
from nbrewind.kernel.magics import register
from nbrewind.kernel.outputs import OutputTap, renumbered
from nbrewind.kernel.rerun import run_again
from nbrewind.kernel.results import LazyResults, remember_result, reset_with_care
from nbrewind.model import CellError, CellReport
from nbrewind.session import Options, Restored, Session
from nbrewind.store import Store

FUTURE = 0x1FE0000
"""Compiler flags that ``from __future__`` imports set."""
_DOC = "Automatically created module for IPython interactive environment"
OWN_MAGICS = ("%rewind", "%audit")
REPORT: ContextVar[CellReport | None] = ContextVar("report", default=None)
"""The report of the request in hand: a subshell's request must not take that of a running cell."""

DEFECT = (
    "nbrewind itself failed ({error}), and the cell was not run. This is a defect; please report it. "
    "`%audit off` runs cells without nbrewind."
)


class RewindKernel(IPythonKernel):
    """What both kernels share; ``mode`` is the one difference."""

    mode: ClassVar[str] = "repeat"
    implementation = "nbrewind"

    def __init__(self, **kwargs: Any) -> None:
        options = read_options()
        self.start_note = ""
        self.rewind = Session(self._open_store(options), Path.cwd(), mode=self.mode, options=options)
        self.rewind.audit = not self.start_note or self.rewind.store.readonly
        namespace = self.rewind.memory.namespace
        dict.__setitem__(namespace, "__name__", "__main__")
        # As in IPython's own user module; a spawned process asks `__main__` for its spec.
        dict.__setitem__(namespace, "__doc__", _DOC)
        for name in ("__loader__", "__package__", "__spec__"):
            dict.__setitem__(namespace, name, None)
        kwargs["user_ns"] = namespace
        kwargs["user_module"] = MainModule(namespace)
        super().__init__(**kwargs)
        self._cell_lock = threading.RLock()
        self.interrupts = Interrupts()
        self.tags = CellTags(self.rewind.options.notebook)
        self.tap = OutputTap(self.session)
        self._connect()

    def _open_store(self, options: Options) -> Store:
        """The notebook's store; where it cannot be written, what can be read of it, or an empty one."""
        path = store_path(options)
        try:
            return Store.open(path)
        except StoreError as error:
            found = read_only(path) if self.mode == "repeat" else None
            if found is not None:
                self.start_note = (
                    f"nbrewind: the store at {path} can only be read: cells are restored from it, "
                    "and nothing is recorded."
                )
                return found
            self.start_note = f"nbrewind: nothing is recorded here. {error}"
            return Store.temporary()

    def _connect(self) -> None:
        shell, session = self.shell, self.rewind
        assert shell is not None
        manager = shell.input_transformer_manager
        session.transform = manager.transform_cell
        session.run_again = self._run_again
        session.process.ambient.base_path = list(sys.path)
        session.compile_flags = lambda: int(shell.compile.flags) & FUTURE
        session.process.ambient.add(Item("compiler.flags", session.compile_flags, self._set_compiler_flags))
        shell_state.watch(shell, session.process)
        shell.transform_cell = self._transform_for_shell
        register(shell, session)
        namespace = session.memory.namespace
        results = LazyResults(session.memory)
        dict.__setitem__(namespace, "_oh", results)
        dict.__setitem__(namespace, "Out", results)
        shell.user_ns_hidden["_oh"] = shell.user_ns_hidden["Out"] = results
        for name in ("_", "__", "___"):
            dict.pop(namespace, name, None)
        remember_result(shell, session.memory)
        for kind in ("comm_open", "comm_msg", "comm_close"):
            self.shell_handlers[kind] = self._as_callback(self.shell_handlers[kind])
        session.memory.pinned = dict(dict.items(namespace))
        reset_with_care(shell, session.memory)
        atexit.register(self._at_exit)

    def _transform_for_shell(self, raw_cell: str) -> str:
        """IPython's own, but its prefilter looks up the first word of a one-line cell.

        That is a read only where the answer changed the code (automagic).
        """
        shell, memory = self.shell, self.rewind.memory
        assert shell is not None
        word = raw_cell.strip()
        if memory.cell is not None and word.isidentifier():
            # The cell reads it in any case, and the prefilter puts a macro's code in its place.
            memory.prefault(word)
        peeked = memory.thread.peeked = set()
        try:
            transformed: str = type(shell).transform_cell(shell, raw_cell)
        finally:
            memory.thread.peeked = None
        if memory.cell is not None and transformed != self.rewind.transformed(raw_cell):
            for name in peeked:
                memory.present(name)
        return transformed

    def _as_callback(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        def handle(stream: Any, ident: Any, message: Any) -> Any:
            with self.rewind.callback():
                return handler(stream, ident, message)

        return handle

    def _set_compiler_flags(self, flags: int) -> None:
        assert self.shell is not None
        self.shell.compile.flags = int(self.shell.compile.flags) & ~FUTURE | flags

    def _at_exit(self) -> None:
        self.rewind.store.close()
        # IPython empties the namespace now: what is parked stays where it is, and no cell runs for it.
        vars(self.shell).pop("reset", None)

    async def do_execute(
        self,
        code: str,
        silent: bool,
        store_history: bool = True,
        user_expressions: dict[str, Any] | None = None,
        allow_stdin: bool = False,
        *,
        cell_meta: dict[str, Any] | None = None,
        cell_id: str | None = None,
    ) -> dict[str, Any]:
        """Run or restore one cell; silent and unhistoried requests leave no record."""
        REPORT.set(None)
        # An empty cell takes no number, and there is nothing to record.
        empty = not code or code.isspace()
        recorded = store_history and not silent and not empty
        plain = partial(
            super().do_execute,
            code,
            silent,
            store_history,
            None if recorded else user_expressions,  # looking at values is no part of the cell
            allow_stdin,
            cell_meta=cell_meta,
            cell_id=cell_id,
        )
        meta = (cell_meta or {}).get("nbrewind") or {}
        if not recorded:
            if empty and not silent:
                REPORT.set(CellReport(int(meta.get("index", -1)), cell_id or "", "skipped", "empty"))
            reply = await self._unrecorded(code, plain)
            if empty and user_expressions and self.shell is not None and await self.rewind.go_on():
                reply["user_expressions"] = self.shell.user_expressions(user_expressions)
            return reply
        with self._cell_lock, self.interrupts.held():
            try:
                self.rewind.start_over = ()
                if code.lstrip().startswith(OWN_MAGICS):
                    reply = await self._unrecorded(code, plain)
                    self.rewind.settle()
                    return reply
                self._say()
                record, report = self.rewind.decide(
                    code,
                    index=int(meta.get("index", -1)),
                    cell_id=cell_id or "",
                    force=bool(meta.get("force")),
                    tags=meta["tags"] if "tags" in meta else self.tags.of(cell_id),
                )
                REPORT.set(report)
                self.rewind.report = report
                if record is not None:
                    try:
                        restored = self.rewind.restore(record, report, self._count())
                        return self._replay(code, restored, user_expressions)
                    except NBRewindError as error:
                        report.warnings.append(f"executed, since the record could not be used: {error}")
                return await self._run(code, report, user_expressions, plain)
            except KeyboardInterrupt:
                self.rewind.abandon()
                return self._failed("KeyboardInterrupt", "")
            except Exception as error:
                # A defect of ours: the front end gets a reply, and nothing is guessed.
                if os.environ.get("NBREWIND_DEBUG"):
                    raise
                self.log.exception("nbrewind failed")
                self.rewind.abandon()
                return self._failed("NBRewindError", DEFECT.format(error=f"{type(error).__name__}: {error}"))

    async def _unrecorded(self, code: str, plain: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        if not (code.lstrip().startswith(OWN_MAGICS) and "\n" not in code.strip()):  # ours look at no value
            try:
                self.rewind.catch_up(code)
            except NBRewindError as error:
                print(f"nbrewind: {error}", file=sys.stderr)
        with self.interrupts.open():
            return await plain()

    def _say(self) -> None:
        """What a person at a live kernel should know; a program is told at the end of its run."""
        notes = [self.start_note] if self.start_note else []
        self.start_note = ""
        notes += [f"nbrewind: {note}" for note in self.rewind.news()]
        for note in notes if not self.rewind.options.headless else ():
            print(note, file=sys.stderr)

    def _publish(self, kind: str, content: dict[str, Any]) -> None:
        messages: Any = self.session
        messages.send(self.iopub_socket, kind, content, parent=self.get_parent(), ident=self._topic(kind))

    def _count(self) -> int:
        assert self.shell is not None
        return int(self.shell.execution_count)

    # -- restored cells ----------------------------------------------------------------------

    def _replay(
        self, code: str, restored: Restored, user_expressions: dict[str, Any] | None
    ) -> dict[str, Any]:
        shell = self.shell
        assert shell is not None
        count = self._count()
        if shell.history_manager is not None:
            shell.history_manager.store_inputs(count, self.rewind.transform(code), code)
        for message in restored.messages:
            kind = message["type"]
            self._publish(kind, renumbered(message, count))
        shell.execution_count = count + 1
        asyncio.get_running_loop().call_soon(self.rewind.after_reply)
        reply: dict[str, Any] = {
            "status": "ok",
            "execution_count": count,
            "payload": [],
            "user_expressions": {},
        }
        if restored.error is not None:
            error = restored.error
            reply |= {"status": "error", "ename": error.ename, "evalue": error.evalue}
            reply["traceback"] = list(error.traceback)
        elif user_expressions:
            reply["user_expressions"] = shell.user_expressions(user_expressions)
        return reply

    # -- executed cells ----------------------------------------------------------------------

    async def _run(
        self,
        code: str,
        report: CellReport,
        user_expressions: dict[str, Any] | None,
        plain: Callable[..., Awaitable[dict[str, Any]]],
    ) -> dict[str, Any]:
        shell = self.shell
        assert shell is not None
        try:
            await self.rewind.begin(code, report, self._count())
        except RecomputeFailed as error:
            report.action, report.reason = "failed", str(error)
            if self.interrupts.seen:
                return self._failed("KeyboardInterrupt", "")
            return self._failed(type(error).__name__, str(error))
        self.tap.begin(self.get_parent().get("header", {}).get("msg_id", ""))
        reply: dict[str, Any] = {}
        try:
            if self.interrupts.seen:  # it came while the cell was prepared
                reply = self._failed("KeyboardInterrupt", "")
            else:
                with self.interrupts.open():
                    reply = await plain()
        finally:
            self.tap.flush()
            messages = self.tap.end()
            failed = reply.get("status") != "ok"
            result = shell.last_execution_result if failed else None
            self.rewind.end(
                error=_error_of(reply) if failed else None,
                messages=messages,
                interrupted=self.interrupts.seen or (failed and not reply),
                raised=result and (result.error_in_exec or result.error_before_exec),
            )
        if not failed and user_expressions:
            reply["user_expressions"] = shell.user_expressions(user_expressions)
        return reply

    def _failed(self, name: str, text: str) -> dict[str, Any]:
        """Publishes an error of ours, as the reply of a request that did not run."""
        content = {"ename": name, "evalue": text, "traceback": [f"{name}: {text}".rstrip(": ")]}
        self._publish("error", content)
        return {
            "status": "error",
            "execution_count": self._count(),
            "user_expressions": {},
            "payload": [],
            **content,
        }

    @contextlib.contextmanager
    def _cancel_on_sigint(self, future: Any) -> Iterator[None]:
        with super()._cancel_on_sigint(future), self.interrupts.noted():
            yield

    async def _run_again(self, source: str, count: int) -> BaseException | None:
        with self.interrupts.open():
            return await run_again(self.rewind, self.shell, source, count, self.tap)

    def finish_metadata(self, parent: Any, metadata: Any, reply_content: Any) -> Any:
        """The cell's report travels with the reply."""
        metadata = super().finish_metadata(parent, metadata, reply_content)
        report = REPORT.get()
        if report is not None:
            metadata["nbrewind"] = msgspec.to_builtins(report)
            if self.rewind.start_over:
                metadata["nbrewind"]["start_over"] = list(self.rewind.start_over)
        return metadata

    async def do_shutdown(self, restart: bool) -> Any:
        """Drain the writer before the process ends."""
        self.rewind.store.close()
        return super().do_shutdown(restart)


class AuditKernel(RewindKernel):
    """Executes every cell and records it."""

    mode = "audit"
    banner = "NBRewind audit kernel"


class RepeatKernel(RewindKernel):
    """Asks the records first; executes, and records, where none holds."""

    mode = "repeat"
    banner = "NBRewind repeat kernel"


def _error_of(reply: dict[str, Any]) -> CellError:
    """The error of a reply; a request that broke off without one was interrupted."""
    name, text = str(reply.get("ename", "KeyboardInterrupt")), str(reply.get("evalue", ""))
    return CellError(name, text, tuple(reply.get("traceback", ())))


def read_options(path: str = "") -> Options:
    """Options from the environment; those of other versions are ignored.

    ``path`` is the notebook's as its front end gives it, where it does.
    """
    raw = json.loads(os.environ.get("NBREWIND_OPTIONS") or "{}")
    known = {name: raw[name] for name in Options.__dataclass_fields__ if name in raw}
    options = Options(**known)
    if not options.notebook:
        name = path or os.environ.get("JPY_SESSION_NAME", "")
        if name.endswith(".ipynb") and os.path.isfile(name):
            options.notebook = os.path.abspath(name)
    return options


def read_only(path: Path) -> Store | None:
    """The store at ``path`` for reading, None where there is none that can be read."""
    try:
        return Store.open(path, readonly=True)
    except StoreError:
        return None


def store_path(options: Options, start: Path | None = None) -> Path:
    """``NBREWIND_STORE``, else ``.nbrewind`` beside the notebook, else in the start folder."""
    named = os.environ.get("NBREWIND_STORE")
    if named:
        return Path(named).absolute()
    if options.notebook:
        return Path(options.notebook).parent / ".nbrewind"
    return (start or Path.cwd()) / ".nbrewind"
