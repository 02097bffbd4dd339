"""Runs a coroutine to its end in a loop of its own, while the thread's loop waits in a cell.

A value that asynchronous cells made may be met in the middle of a cell (``globals()['x']``).  The loop
under the cell cannot go on before the cell has ended, so its producers run again in another one.
"""

from __future__ import annotations

import asyncio
import gc
import weakref
from asyncio import events
from collections.abc import Coroutine
from typing import Any


class StillBound(Exception):
    """What was made belongs to the loop that made it (a task, a future, an asynchronous generator)."""


TURNS = 10
"""How often the loop turns for tasks that cells have begun again; between two cells of a person it does."""


def pending() -> set[asyncio.Task[Any]]:
    """Tasks of the loop that runs, if one does."""
    return set(asyncio.all_tasks()) if events._get_running_loop() is not None else set()


async def turn(before: set[asyncio.Task[Any]]) -> None:
    """Let tasks that are not among those ``before`` go on as they would before the next cell."""
    for _ in range(TURNS):
        if pending() <= before:
            return
        await asyncio.sleep(0)


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run it; the loop is gone afterwards.

    Raises:
        StillBound: something refers to that loop, and would wait there for ever.
    """
    outer = events._get_running_loop()
    events._set_running_loop(None)
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(coroutine)
        pending = asyncio.all_tasks(loop)
        if pending:
            for task in pending:
                task.cancel()
            loop.run_until_complete(asyncio.wait(pending))
    finally:
        loop.close()
        events._set_running_loop(outer)
    bound = bool(pending)
    trace = weakref.ref(loop)
    del loop, pending
    gc.collect()
    if bound or trace() is not None:
        raise StillBound
