"""The session of an ordinary IPython kernel: it records, and changes nothing (docs/extension.md)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import CodeType
from typing import Any

from nbrewind.errors import NBRewindError
from nbrewind.flow import static
from nbrewind.model import AmbientValue, CellError, CellReport, Delta
from nbrewind.plan.algebra import apply_delta, result_number
from nbrewind.session import modules, prepare
from nbrewind.session.core import Session
from nbrewind.session.livenames import IsOwn
from nbrewind.session.options import Options
from nbrewind.session.recorder import Message, Running
from nbrewind.session.staticmemory import StaticMemory
from nbrewind.session.world_files import equal
from nbrewind.store import Store


class StaticSession(Session):
    """Records cells of a namespace that it cannot watch."""

    memory: StaticMemory

    def __init__(
        self, store: Store, root: Path, namespace: dict[str, Any], is_own: IsOwn, options: Options
    ) -> None:
        memory = StaticMemory(store, namespace, is_own)
        super().__init__(store, root, mode="extension", options=options, memory=memory)
        memory.observer = self.process.observer
        self._ambient = self._surroundings()

    def _surroundings(self) -> dict[str, str]:
        with self.process.suspended():
            return self.process.ambient.snapshot()

    # -- one cell ------------------------------------------------------------------------------------

    def start(
        self, source: str, as_run: str, report: CellReport, count: int, *, altered: bool = False
    ) -> Running:
        """Begin to record a cell; ``as_run`` is its source with everything that IPython does to it.

        ``altered`` says that its syntax tree will be changed before it runs.
        """
        transformed = self.transform(source)
        code = prepare.compiled(transformed, self.compile_flags())
        uses = static.of_cell(as_run, self.compile_flags())
        if not uses.calls and self._finalises(uses):
            uses = static.of_cell(as_run, self.compile_flags(), careful=True)
        if altered:
            uses = replace(uses, definite=frozenset(), doubt="its code is changed before it runs")
        imported = modules.imported_names(transformed)
        self.memory.packages = {"lib:" + name.partition(".")[0] for name in imported}
        self.memory.look(uses)
        known = self.state
        self.settle()
        if self.state is not known:
            self.memory.look(uses)
        self._take_in_surroundings()
        return self._start(source, transformed, code, report, count, None)

    def _finalises(self, uses: static.Uses) -> bool:
        """Whether binding these names may drop a value whose end runs code (R14)."""
        versions = (self.state.names.get(name) for name in uses.stores)
        return any(version is not None and version.finaliser for version in versions)

    def _make_ready(self, code: CodeType) -> None:
        """All names are in the namespace, and stay there."""

    def end(
        self,
        *,
        error: CellError | None,
        messages: list[Message],
        interrupted: bool = False,
        raised: BaseException | None = None,
    ) -> CellReport:
        """Observe what the cell did, and record it."""
        self.memory.failed = error is not None
        report = super().end(error=error, messages=messages, interrupted=interrupted, raised=raised)
        self.memory.remember()
        self._ambient = self._surroundings()
        return report

    # -- between cells -------------------------------------------------------------------------------

    def _settle(self) -> None:
        numbers = [name for name in self.memory.live if result_number(name) and name not in self.state.names]
        for _ in range(max(1, len(numbers))):
            super()._settle()
        self.memory.remember()

    def _take_in_surroundings(self) -> None:
        """Nothing is put back here as our kernels do: what others changed since is how things are now."""
        process, before = self.process, self.state
        files = {}
        for key in {*process.files.written, *before.files}:
            if process.layer.untouched(key):
                continue
            now = process.files.state(process.files.path(key), keep=True)
            if key in before.files and not equal(before.files[key], now):
                files[key] = now
            process.layer.remember(key, now)
        ambient = {}
        current = self._surroundings()
        for key in {*current, *self._ambient}:
            digest = current.get(key, "")
            if digest == self._ambient.get(key, ""):
                continue
            item = process.ambient.item(key)
            random = item is not None and item.random
            base = not random and (not digest or process.ambient.is_base(key, digest))
            ambient[key] = AmbientValue("" if base else digest)
        if files or ambient:
            delta = Delta(files=files, ambient=ambient)
            self.history.unrecorded(delta, -1)
            self.memory.state = apply_delta(before, delta, -1)

    # -- requests of the user ------------------------------------------------------------------------

    def to(self, commit_id: str, *, files: bool = False) -> list[str]:
        """Not here.

        Raises:
            NBRewindError: always.
        """
        raise NBRewindError(
            "`%rewind to` needs the repeat kernel: an extension cannot replace another kernel's namespace."
        )

    def force(self) -> None:
        """Not here.

        Raises:
            NBRewindError: always.
        """
        raise NBRewindError("Every cell executes in this kernel; there is nothing to force.")

    def finish(self) -> dict[str, Any]:
        """Make everything durable; files stay as they are."""
        self.settle()
        for adapter in self.process.adapters:
            adapter.finish(timeout=10.0)
        self.history.end()
        self.store.flush()
        return {"failures": self.losses(), "notes": self.process.layer.notes}

    def status(self) -> dict[str, Any]:
        """Facts for ``%rewind status``."""
        known = super().status()
        return {"precision": "static (reads are taken from the text of the code)", **known}

    def close(self) -> None:
        """The end: no cell is watched any more, and everything recorded is on disk."""
        self.abandon()
        self.history.end()
        self.store.close()
        self.process.remove()
