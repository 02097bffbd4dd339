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
    from ipykernel.kernelapp import IPKernelApp

    from nbrewind.kernel.kernel import AuditKernel, RepeatKernel

    class RewindApp(IPKernelApp):
        """IPython's application; the notebook's folder is on ``sys.path`` before the kernel looks at it."""

        def init_kernel(self) -> None:
            self.init_path()  # type: ignore[no-untyped-call]
            super().init_kernel()  # type: ignore[no-untyped-call]

        def initialize(self, argv: list[str] | None = None) -> None:
            super().initialize(argv)  # type: ignore[no-untyped-call]
            # Variables that starting sets (the plotting backend, pagers) are no change of a cell.
            base = self.kernel.rewind.process.ambient.base_env
            base.clear()
            base.update(os.environ)

    RewindApp.launch_instance(argv, kernel_class=AuditKernel if mode == "audit" else RepeatKernel)


if __name__ == "__main__":
    main()
