"""``python -m nbrewind.kernel --mode audit|repeat -f CONNECTION``: what the kernelspecs start."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Start one kernel."""
    if sys.path[:1] == [""] or sys.path[:1] == [os.getcwd()]:
        # The notebook's own files must not shadow modules that the kernel needs; IPython puts
        # the folder back for the notebook.
        del sys.path[0]
    mode = "repeat"
    argv = sys.argv[1:]
    if "--mode" in argv:
        position = argv.index("--mode")
        mode = argv[position + 1]
        del argv[position : position + 2]
    from nbrewind.kernel.app import RewindApp
    from nbrewind.kernel.kernel import AuditKernel, RepeatKernel

    RewindApp.launch_instance(argv, kernel_class=AuditKernel if mode == "audit" else RepeatKernel)


if __name__ == "__main__":
    main()
