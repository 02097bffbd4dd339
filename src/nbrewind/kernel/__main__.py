"""``python -m nbrewind.kernel --mode audit|repeat -f CONNECTION``: what the kernelspecs start."""

from __future__ import annotations

import sys


def main() -> None:
    """Start one kernel."""
    mode = "repeat"
    argv = sys.argv[1:]
    if "--mode" in argv:
        position = argv.index("--mode")
        mode = argv[position + 1]
        del argv[position : position + 2]
    from ipykernel.kernelapp import IPKernelApp

    from nbrewind.kernel.kernel import AuditKernel, RepeatKernel

    IPKernelApp.launch_instance(argv, kernel_class=AuditKernel if mode == "audit" else RepeatKernel)


if __name__ == "__main__":
    main()
