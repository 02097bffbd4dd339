"""What a kernel is told when it starts (``NBREWIND_OPTIONS``)."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Options:
    """Options of one kernel; see docs/architecture.md, "Messages"."""

    notebook: str = ""
    """Absolute path, empty when unknown."""
    strict: bool = False
    """Execute nondeterministic cells and their readers (R15)."""
    engine: str | None = None
    """``none`` refuses to start any engine."""
    env: str = "compatible"
    keep: str = "all"
    """Which values are stored: ``all``, ``auto`` or ``outputs`` (``session.keep``)."""
    keep_bytes: int = 0
    """Bytes of values that a run may store before it stores only what cannot be had otherwise; 0: any."""
    ignore: list[str] = field(default_factory=list)
    """Paths that are no inputs: the file given with ``-o``."""
    headless: bool = False
    """Whether a program runs the notebook and tells what there is to tell: outputs stay as they are."""
    end_files: bool = True
    """Whether files of restored cells are laid down at the end of the run."""
