"""Runs notebooks in short-lived kernels (``life.py``): one call, one process, everything that came of it."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from support import compare
from support.kernels import SOURCE, House, Ran
from support.notebooks import Result

HERE = Path(__file__).resolve().parent


class Died(Exception):
    """A kernel ended before it had answered; what it last said."""


@dataclass(frozen=True)
class Cell:
    """One cell as a notebook has it."""

    id: str
    source: str


class Nursery:
    """Forks kernels from two templates: one that has imported pandas and NumPy already, and one that has not."""

    def __init__(self) -> None:
        memory = Path("/dev/shm")
        place = memory if memory.is_dir() and os.access(memory, os.W_OK) else None
        self.folder = Path(tempfile.mkdtemp(prefix="nbrf", dir=place)).resolve()
        self._house = House()
        self._templates: dict[bool, subprocess.Popen[str]] = {}

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends the templates and removes the folder."""
        for template in self._templates.values():
            assert template.stdin is not None and template.stdout is not None
            template.stdin.close()
            try:
                template.wait(10)
            except subprocess.TimeoutExpired:
                template.kill()
                template.wait()
            template.stdout.close()
        self._templates.clear()
        self._house.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _template(self, libraries: bool) -> subprocess.Popen[str]:
        known = self._templates.get(libraries)
        if known is None or known.poll() is not None:
            names = ["numpy", "numpy.random", "pandas"] if libraries else []
            known = self._templates[libraries] = subprocess.Popen(
                [sys.executable, str(HERE / "life.py"), *names],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=self._house.environment(),
                start_new_session=True,
            )
        return known

    def run(
        self,
        mode: str,
        cells: Sequence[Cell],
        folder: Path,
        *,
        env: Mapping[str, str] | None = None,
        seeded: Sequence[str] = (),
        libraries: bool = False,
        entropy: int = 1,
        force: Sequence[int] = (),
    ) -> Result:
        """Runs cells in one new kernel of this mode; starts over as a headless repeat does (R5).

        Raises:
            Died: the process ended, or ran into its time limit.
        """
        environment = self._house.environment() | dict(env or {})
        if mode != "plain":
            # Not in the notebook's folder, where listings would show it.
            environment["NBREWIND_STORE"] = str(folder.with_name("store"))
            environment["NBREWIND_OPTIONS"] = json.dumps({"notebook": str(folder / "notebook.ipynb")})
            environment["NBREWIND_DEBUG"] = "1"
        result = self.folder / "result"
        log = self.folder / "log"
        result.unlink(missing_ok=True)
        log.unlink(missing_ok=True)
        request = {
            "mode": mode,
            "cells": [{"id": c.id, "source": c.source, "tags": ["raises-exception"]} for c in cells],
            "folder": str(folder),
            "env": environment,
            "log": str(log),
            "result": str(result),
            "entropy": entropy,
            "seeded": list(seeded),
            "force": list(force),
            "expression": compare.describe_expression(str(folder), seeded),
        }
        template = self._template(libraries)
        assert template.stdin is not None and template.stdout is not None
        template.stdin.write(json.dumps(request) + "\n")
        template.stdin.flush()
        template.stdout.readline()
        if not result.exists():
            said = log.read_text(errors="replace")[-3000:] if log.exists() else ""
            raise Died(f"{mode} kernel ended: {said}")
        found = json.loads(result.read_text(encoding="utf-8"))
        if not set(found["start_over"]) <= set(force):
            return self.run(
                mode,
                cells,
                folder,
                env=env,
                seeded=seeded,
                libraries=libraries,
                entropy=entropy,
                force=sorted({*force, *found["start_over"]}),
            )
        described = found["described"]
        if described["status"] != "ok":
            raise Died(f"{mode} kernel cannot be described: {described}")
        space = json.loads(ast.literal_eval(described["data"]["text/plain"]))
        return Result([ran(run) for run in found["runs"]], space, found["files"], [])


def ran(found: dict[str, Any]) -> Ran:
    """One answered request."""
    reply = found["reply"]
    return Ran(
        reply.get("status", "error"),
        found["report"],
        found["messages"],
        reply.get("ename", ""),
        reply.get("evalue", ""),
        "\n".join(reply.get("traceback", [])),
        reply.get("execution_count") or 0,
    )


__all__ = ["SOURCE", "Cell", "Died", "Nursery", "ran"]
