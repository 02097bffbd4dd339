"""The application that starts a kernel."""

from __future__ import annotations

import atexit

from ipykernel.kernelapp import IPKernelApp


class RewindApp(IPKernelApp):
    """IPython's application; the notebook's folder is on ``sys.path`` before the kernel looks at it."""

    def init_kernel(self) -> None:
        """Prepare the path, then make the kernel."""
        self.init_path()  # type: ignore[no-untyped-call]
        super().init_kernel()  # type: ignore[no-untyped-call]

    def initialize(self, argv: list[str] | None = None) -> None:
        """Variables that starting sets (the plotting backend, pagers) are no change of a cell."""
        super().initialize(argv)  # type: ignore[no-untyped-call]
        self.kernel.rewind.process.ambient.start_here()
        atexit.register(self.end_control)

    def end_control(self) -> None:
        """Let the control channel finish while output still flows; registered last, so this runs first.

        The thread that got the shutdown request flushes the streams behind it.  ipykernel may have stopped
        their thread by then, and such a flush waits ten seconds for it, or for ever.
        """
        if self.control_thread and self.control_thread.is_alive():
            self.control_thread.stop()
            self.control_thread.join()
