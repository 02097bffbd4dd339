"""The application around a kernel."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from support.kernels import House, Kernel

SLOW = """
import sys, threading, time
def slow(flush=sys.stdout.flush):
    if threading.current_thread().name == "Control":
        time.sleep(1)
        with open("seen.txt", "a") as seen:
            seen.write(f"{sys.stdout.pub_thread.thread.is_alive()} ")
    flush()
sys.stdout.flush = slow
"""


@pytest.mark.real_kernel
def test_the_control_channel_ends_while_output_flows(tmp_path: Path) -> None:
    async def run() -> None:
        kernel = await Kernel.start(house, "audit", tmp_path, fresh=True)
        try:
            await kernel.run_cell(SLOW, 0)
            await kernel.shutdown()
        finally:
            await kernel.close()

    with House() as house:
        asyncio.run(run())
    assert set((tmp_path / "seen.txt").read_text().split()) == {"True"}
