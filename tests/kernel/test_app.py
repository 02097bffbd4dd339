"""The application around a kernel."""

from __future__ import annotations

from typing import Any

from nbrewind.kernel.app import RewindApp


class Thread:
    """Writes down what is asked of it."""

    def __init__(self, name: str, said: list[str]) -> None:
        self.name, self.said, self.alive = name, said, True

    def is_alive(self) -> bool:
        return self.alive

    def __getattr__(self, asked: str) -> Any:
        def call() -> None:
            self.said.append(f"{self.name} {asked}")
            self.alive = self.alive and asked != "join"

        return call


def test_the_control_channel_ends_while_output_flows() -> None:
    said: list[str] = []
    app = RewindApp()
    app.control_thread, app.iopub_thread = Thread("control", said), Thread("output", said)
    app.shell_channel_thread = app.debugpy_socket = app.debug_shell_socket = None
    app.close()
    assert said == ["control stop", "control join", "output stop", "output close"]
