"""The demonstration: audit a notebook, repeat it unchanged, edit one constant, repeat again.

It drives the command line in processes of their own, because that is what a person
does: nothing that it shows can come from state left in memory.
"""

from __future__ import annotations

from nbrewind.demo.run import DemoRun, run

__all__ = ["DemoRun", "run"]
