"""Who draws from the machine's entropy: generators without a seed, UUIDs, secrets (R15).

Names in a cell's code tell some of it; what a helper or a library makes is seen only when it asks.
"""

from __future__ import annotations

import ast
import os
import random
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from nbrewind.flow.code import source_of_file
from nbrewind.flow.names import BASELINES

_NO_VALUE = frozenset(
    {"IPython", "altair", "asyncio", "bokeh", "comm", "concurrent", "dask", "distributed", "ipykernel"}
) | {"ipywidgets", "joblib", "jupyter_client", "loky", "matplotlib", "multiprocessing", "nbrewind", "pandas"}
_NO_VALUE |= {"plotly", "ssl", "tempfile", "tornado", "traitlets", "xarray", "zmq"}
"""Packages that draw names for their messages, files and elements of pages: no value depends on them."""
_OVERWRITTEN = frozenset({"copy", "pickle", "cloudpickle", "numpy.random._pickle"})
"""Modules that make a generator only to give it the state of another."""


class Entropy:
    """Watches the ways in which Python code asks the machine for randomness."""

    def __init__(
        self, recording: Callable[[], bool], is_user: Callable[[FrameType], bool], above: tuple[str, ...]
    ) -> None:
        self.recording = recording
        self.is_user = is_user
        self.above = above
        """Ends of names of files whose frames are below every cell."""
        self.drawn = False
        """Whether the cell has drawn."""
        self._undo: Callable[[], None] = lambda: None

    def install(self) -> None:
        """Hook ``os.urandom``, what ``random`` knows it as, and generators that are made without a seed."""
        asked, seed = os.urandom, random.Random.seed

        def urandom(size: int) -> bytes:
            self.note()
            return asked(size)

        def seeded(generator: random.Random, a: Any = None, version: int = 2) -> None:
            if a is None:
                self.note()
            seed(generator, a, version)

        urandom.__module__, urandom.__doc__ = "os", asked.__doc__
        urandom.__qualname__ = "urandom"
        seeded.__module__, seeded.__doc__ = "random", seed.__doc__
        seeded.__name__, seeded.__qualname__ = "seed", "Random.seed"
        os.urandom = urandom
        random._urandom = urandom  # type: ignore[attr-defined]
        random.Random.seed = seeded  # type: ignore[method-assign, assignment]
        for module in ("os", "random"):
            baseline = BASELINES.get(module, {})
            baseline.update((name, urandom) for name in ("urandom", "_urandom") if name in baseline)

        def undo() -> None:
            os.urandom = asked
            random._urandom = asked  # type: ignore[attr-defined]
            random.Random.seed = seed  # type: ignore[method-assign]

        self._undo = undo

    def remove(self) -> None:
        """Take the hooks out."""
        self._undo()
        self._undo = lambda: None

    def note(self) -> None:
        """Somebody draws; it counts if code of the user is above, and no package that only names things."""
        if self.drawn or not self.recording():
            return
        frame: FrameType | None = sys._getframe(2)
        while frame is not None and frame.f_globals.get("__name__") in ("random", "secrets", "uuid"):
            frame = frame.f_back
        if frame is not None and _seeds_next(frame):
            return
        while frame is not None:
            name = frame.f_code.co_filename
            if name.startswith("<frozen importlib") or name.endswith(self.above):
                return
            module = str(frame.f_globals.get("__name__", ""))
            if module in _OVERWRITTEN or module.partition(".")[0] in _NO_VALUE:
                return
            if not name.startswith("<frozen") and self.is_user(frame):
                self.drawn = True
                return
            frame = frame.f_back


def _seeds_next(frame: FrameType) -> bool:
    """Whether a frame is in a call of ``RandomState`` with a seed: it draws one before it takes that."""
    positions = list(frame.f_code.co_positions())[frame.f_lasti // 2]
    first, last, start, end = positions
    if first is None or last is None or start is None or end is None:
        return False
    lines = [
        line.encode() for line in source_of_file(frame.f_code.co_filename).splitlines()[first - 1 : last]
    ]
    if not lines or b"RandomState" not in b"".join(lines):
        return False
    lines[-1] = lines[-1][:end]
    lines[0] = lines[0][start:]
    try:
        call = ast.parse(b"(" + b"\n".join(lines) + b")", mode="eval").body
    except SyntaxError:
        return False
    if not isinstance(call, ast.Call) or not ast.unparse(call.func).endswith("RandomState"):
        return False
    given = [*call.args, *(keyword.value for keyword in call.keywords)][:1]
    if given and isinstance(given[0], ast.Name):
        name = given[0].id
        known = frame.f_locals if name in frame.f_locals else frame.f_globals
        return known.get(name) is not None
    return bool(given) and not (isinstance(given[0], ast.Constant) and given[0].value is None)
