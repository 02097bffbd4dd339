"""``%load_ext nbrewind``: an ordinary IPython kernel whose cells are recorded (docs/extension.md).

IPython's events tell where a cell begins and ends; everything else is the session's.  What is put into the
shell is taken out again by ``unload``.
"""

from __future__ import annotations

import atexit
import contextlib
import sys
from pathlib import Path
from typing import Any

from nbrewind.errors import StoreError
from nbrewind.flow.items import Item
from nbrewind.kernel import shell_state
from nbrewind.kernel.celltags import CellTags
from nbrewind.kernel.interrupts import Interrupts
from nbrewind.kernel.kernel import FUTURE, OWN_MAGICS, read_options, store_path
from nbrewind.kernel.magics import RewindMagics
from nbrewind.kernel.outputs import OutputTap
from nbrewind.kernel.whose import notebook_of
from nbrewind.model import CellError, CellReport
from nbrewind.plan.algebra import result_number
from nbrewind.plan.results import RESULT_NAMES
from nbrewind.session.options import Options
from nbrewind.session.static import StaticSession
from nbrewind.store import Store

_IPYTHONS = ("_ih", "_oh", "_dh", "In", "Out", "get_ipython", "exit", "quit", "open")
"""Names that IPython gives every notebook; what `%pylab` hides from `%who` is the user's all the same."""
_LOADED: dict[int, Extension] = {}
"""By the address of the shell: there is one shell in a process, but for tests."""


def load(shell: Any) -> None:
    """Begin to record; says in one line what it does, or why it does nothing."""
    kernel = getattr(shell, "kernel", None)
    if hasattr(kernel, "rewind"):
        print("nbrewind: this kernel records its cells by itself; the extension does nothing here.")
        return
    if kernel is None or not hasattr(kernel, "session"):
        print("nbrewind: the extension needs a Jupyter kernel (ipykernel); nothing is recorded here.")
        return
    if id(shell) in _LOADED:
        return
    options = read_options(shell.user_ns.get("__vsc_ipynb_file__", ""))
    root = Path(shell.starting_dir).resolve()
    options.notebook = options.notebook or notebook_of(root, shell.history_manager.input_hist_raw)
    path = store_path(options, root)
    try:
        store = Store.open(path)
    except StoreError as error:
        print(f"nbrewind: nothing is recorded here. {error}")
        return
    extension = Extension(shell, kernel, store, root, options)
    extension.install()
    _LOADED[id(shell)] = extension
    print(f"nbrewind: the cells after this one are recorded in {path}")


def unload(shell: Any) -> None:
    """Take everything out again."""
    extension = _LOADED.pop(id(shell), None)
    if extension is not None:
        extension.remove()


class Extension:
    """What one shell has while the extension is loaded."""

    def __init__(self, shell: Any, kernel: Any, store: Store, root: Path, options: Options) -> None:
        self.shell = shell
        self.kernel = kernel
        self._pinned = {n: v for n, v in shell.user_ns.items() if n.startswith("__") and n.endswith("__")}
        self.session = StaticSession(store, root, shell.user_ns, self._is_own, options)
        self.interrupts = Interrupts()
        self.tags = CellTags(options.notebook)
        self.tap = OutputTap(kernel.session)
        self.depth = 0
        """How many calls of ``run_cell`` are under way: magics run cells inside cells."""
        self._during = contextlib.ExitStack()
        session, manager = self.session, shell.input_transformer_manager
        session.memory.held_by_shell = self._held
        session.transform = manager.transform_cell
        session.compile_flags = lambda: int(shell.compile.flags) & FUTURE
        session.process.ambient.add(Item("compiler.flags", session.compile_flags, lambda flags: None))
        shell_state.watch(shell, session.process)

    def _is_own(self, name: str, value: Any) -> bool:
        """Whether IPython put this value there, and not the user."""
        if name in RESULT_NAMES:
            return getattr(self.shell.displayhook, name, self) is value
        if name in _IPYTHONS:
            return self.shell.user_ns_hidden.get(name, self) is value
        return name in self._pinned and self._pinned[name] is value

    def _held(self) -> list[Any]:
        """References to the user's values that IPython keeps: results, in several places."""
        shell, hook = self.shell, self.shell.displayhook
        names = [name for name in shell.user_ns if result_number(name) is not None or name in RESULT_NAMES]
        found = [shell.user_ns_hidden[name] for name in names if name in shell.user_ns_hidden]
        found += [shell.user_ns[name] for name in RESULT_NAMES if name in shell.user_ns]
        found += [vars(hook)[name] for name in RESULT_NAMES if name in vars(hook)]
        found += list(shell.user_ns["_oh"].values())
        last = shell.last_execution_result
        return [*found, *([last.result] if last is not None else [])]

    def install(self) -> None:
        """Hook the shell."""
        shell = self.shell
        shell.events.register("pre_run_cell", self._begin)
        shell.events.register("post_run_cell", self._end)
        shell.register_magics(RewindMagics(shell, self.session))
        original = shell.displayhook.update_user_ns

        def update_user_ns(result: Any) -> None:
            if self.depth and result is not shell.user_ns["_oh"]:
                self.session.memory.shown.append(result)
            original(result)

        shell.displayhook.update_user_ns = update_user_ns
        atexit.register(self._at_exit)

    def remove(self) -> None:
        """Unhook it; the cell under way is not recorded."""
        shell = self.shell
        shell.events.unregister("pre_run_cell", self._begin)
        shell.events.unregister("post_run_cell", self._end)
        for name in ("rewind", "audit"):
            shell.magics_manager.magics["line"].pop(name, None)
        shell.magics_manager.registry.pop(RewindMagics.__name__, None)
        vars(shell.displayhook).pop("update_user_ns", None)
        self.tap.remove()
        self._during.close()
        atexit.unregister(self._at_exit)
        self.session.close()

    def _at_exit(self) -> None:
        self.session.history.end()
        self.session.store.close()

    # -- one cell ------------------------------------------------------------------------------------

    def _begin(self, info: Any) -> None:
        if self.depth:
            self.depth += 1
            return
        source = info.raw_cell
        if not info.store_history or source.lstrip().startswith(OWN_MAGICS):
            return
        report = CellReport(-1, getattr(info, "cell_id", None) or "", "executed", "audit")
        try:
            with self.interrupts.held():
                as_run = self.shell.transform_cell(source)
                count = int(self.shell.displayhook.prompt_count)  # IPython has counted on already
                altered = bool(self.shell.ast_transformers)
                self.session.tags = frozenset(self.tags.of(report.cell_id, source))
                self.session.start(source, as_run, report, count, altered=altered)
        except Exception as error:  # noqa: BLE001 - a defect of ours must not keep the cell from running
            self.session.abandon()
            self._say(f"this cell is not recorded, by a defect of nbrewind: {type(error).__name__}: {error}")
            return
        self.depth = 1
        header = self.kernel.get_parent().get("header", {})
        self.tap.begin(header.get("msg_id", ""))
        self._during.enter_context(self.interrupts.noted())

    def _end(self, result: Any) -> None:
        self.depth = max(0, self.depth - 1)
        if self.depth or self.session.running is None:
            return
        self._during.close()
        interrupted = self.interrupts.seen or result is None
        self.tap.flush()
        messages = self.tap.end()
        raised = None if result is None else result.error_before_exec or result.error_in_exec
        with self.interrupts.held():
            report = self.session.end(
                error=self._error(result, raised), messages=messages, interrupted=interrupted, raised=raised
            )
        for warning in report.warnings:
            if warning.startswith(("not restored: ", "not recorded: ")):
                self._say(f"this cell is {warning}")
        for note in self.session.news():
            self._say(note)

    def _error(self, result: Any, raised: BaseException | None) -> CellError | None:
        """The error as the reply of the kernel tells it."""
        if result is None:
            return CellError("KeyboardInterrupt", "")
        if result.success and not getattr(self.shell, "_last_traceback_during_displayhook", False):
            return None
        return CellError(type(raised).__name__, str(raised), tuple(self.shell._last_traceback or ()))

    @staticmethod
    def _say(text: str) -> None:
        print(f"nbrewind: {text}", file=sys.stderr)
