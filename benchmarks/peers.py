"""The systems that are compared: how each is started, stores, and comes back in a new process.

Peers live in environments of their own (`make bench-peers`); one that is not there is left out
and named.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat.v4 import new_notebook

from benchmarks.driver import CellFailed, Kernel, folder_bytes

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Restored:
    """CPU seconds and wall seconds until a new process answers, and until all values were touched."""

    ready_cpu: float
    full_cpu: float
    ready: float
    full: float
    value: str
    """What the check gave; starts with ``ERROR`` where the state could not be had."""


class System:
    """A plain kernel: nothing is stored, a new process runs all cells again."""

    name = "plain"
    environment = "test"
    attach: tuple[str, ...] = ()
    """Cells before the notebook, not measured."""

    def __init__(self, python: Path) -> None:
        self.python = python

    @property
    def argv(self) -> list[str]:
        """How its kernel is started."""
        return [str(self.python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]

    def start(self, folder: Path, *, again: bool = False) -> Kernel:
        """A kernel in ``folder``; ``again`` for a process that comes after the one that stored."""
        return Kernel("python3", folder, self.variables(folder), self.argv)

    def variables(self, folder: Path) -> dict[str, str]:
        """Its environment: nothing of the person who measures is read or written."""
        own = {"HOME": str(folder), "IPYTHONDIR": str(folder / "ipython"), "PYTHONHASHSEED": "0"}
        return {**os.environ, **own}

    def stored(self, folder: Path) -> int:
        """Bytes on disk."""
        return 0

    def restore(self, folder: Path, sources: Sequence[str], check: str) -> Restored:
        """A new process, from its start to the state after the last cell."""
        with self.start(folder, again=True) as kernel:
            begun = kernel.cpu_seconds()
            ready = full = 0.0
            try:
                for source in self.returning(folder, sources):
                    ready += kernel.run(source).reply
                ready_cpu = kernel.cpu_seconds() - begun
                full = ready + kernel.run(self.touching).reply
                value = kernel.value(check)
            except (CellFailed, TimeoutError) as error:
                return Restored(0, 0, 0, 0, f"ERROR {error}")
            return Restored(ready_cpu, kernel.cpu_seconds() - begun, ready, full, value)

    touching = "None"
    """A cell that touches every value."""

    def returning(self, folder: Path, sources: Sequence[str]) -> Sequence[str]:
        """The cells that bring the state back."""
        return [*self.attach, *sources]


class Audit(System):
    """This project: the audit kernel stores, the repeat kernel comes back."""

    name = "audit"
    touching = "for _name in list(globals()):\n    globals()[_name]"

    def start(self, folder: Path, *, again: bool = False) -> Kernel:
        """The kernel by its module, so that no kernelspec has to be installed."""
        mode = "repeat" if again else "audit"
        argv = [str(self.python), "-m", "nbrewind.kernel", "--mode", mode, "-f", "{connection_file}"]
        return Kernel("python3", folder, self.variables(folder), argv)

    def variables(self, folder: Path) -> dict[str, str]:
        """The store is in the folder."""
        return {**super().variables(folder), "NBREWIND_STORE": str(folder / "store")}

    def stored(self, folder: Path) -> int:
        """Bytes of the store."""
        return folder_bytes(folder / "store")


class Dill(System):
    """``dill.dump_module`` after each cell: what people do by hand."""

    name = "dill"
    environment = "dill"
    attach = (
        "def _attach():\n"
        "    import dill, os\n"
        "    os.makedirs('dumps', exist_ok=True)\n"
        "    count = [0]\n"
        "    def dump(result):\n"
        "        count[0] += 1\n"
        "        try:\n"
        "            dill.dump_module(f'dumps/{count[0]:04d}.pkl')\n"
        "        except Exception as error:\n"
        "            open('dumps/failed', 'a').write(f'{count[0]} {error!r}\\n')\n"
        "    get_ipython().events.register('post_run_cell', dump)\n"
        "_attach(); del _attach",
    )

    def stored(self, folder: Path) -> int:
        """All dumps: each is a whole state."""
        return folder_bytes(folder / "dumps")

    def returning(self, folder: Path, sources: Sequence[str]) -> Sequence[str]:
        """The newest dump that was finished."""
        failed = folder / "dumps" / "failed"
        bad = {line.split()[0] for line in failed.read_text().splitlines()} if failed.exists() else set()
        names = sorted(path for path in (folder / "dumps").glob("*.pkl") if str(int(path.stem)) not in bad)
        last = (
            names[-1] if names and int(names[-1].stem) >= len(sources) else Path("no-dump-of-the-last-cell")
        )
        return [f"import dill; dill.load_module({str(last)!r})"]


class Ipyflow(System):
    """Live data-flow; nothing is stored."""

    name = "ipyflow"
    environment = "ipyflow"

    @property
    def argv(self) -> list[str]:
        """Its own kernel."""
        return [str(self.python), "-m", "ipyflow.kernel", "-f", "{connection_file}"]


class Kishu(System):
    """Kishu, attached to the notebook as its documentation says."""

    name = "kishu"
    environment = "kishu"
    attach = ("from kishu import init_kishu\ninit_kishu('notebook.ipynb')",)

    def start(self, folder: Path, *, again: bool = False) -> Kernel:
        """A notebook has to be there for it; without a front end it must not wait for one to save."""
        if not again:
            nbformat.write(new_notebook(), folder / "notebook.ipynb")
        return super().start(folder, again=again)

    def variables(self, folder: Path) -> dict[str, str]:
        """Its mode without a front end."""
        return {**super().variables(folder), "ENV_KISHU_TEST_MODE": "true"}

    def stored(self, folder: Path) -> int:
        """Its database."""
        return sum(path.stat().st_size for path in folder.glob("notebook.kishudb*"))

    def returning(self, folder: Path, sources: Sequence[str]) -> Sequence[str]:
        """Checkout of the last commit."""
        with contextlib.closing(sqlite3.connect(folder / "notebook.kishudb")) as database:
            rows = database.execute("select commit_id from commit_entry order by rowid").fetchall()
        return [*self.attach, f"_kishu.checkout({rows[-1][0]!r}, skip_notebook=True)"]


KINDS: tuple[type[System], ...] = (System, Audit, Kishu, Ipyflow, Dill)


def systems(names: Sequence[str]) -> tuple[list[System], list[str]]:
    """Those that can be started here, and why others cannot."""
    found: list[System] = []
    absent: list[str] = []
    for kind in KINDS:
        if kind.name not in names:
            continue
        python = (
            Path(sys.executable)
            if kind.environment == "test"
            else ROOT / f".venv-bench-{kind.environment}" / "bin" / "python"
        )
        if python.exists():
            found.append(kind(python))
        else:
            absent.append(f"{kind.name} is not installed: `make bench-peers` does that")
    return found, absent
