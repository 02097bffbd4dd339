"""Many small requests of one event loop made as few large ones.

A result that is fetched by itself costs a message to its worker and back, and a call in another thread two
wake-ups: for tasks of a millisecond that is more than the task.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

LINGER = 0.05
"""Seconds that the first of a batch waits for others, unless somebody waits for it."""


class Together(Generic[T, R]):
    """Gathers what is asked for within moments and asks for all of it at once; used on one loop only."""

    def __init__(self, ask: Callable[[list[T]], Awaitable[list[R]]], most: int) -> None:
        """``ask`` gives an answer for each of at most ``most`` requests, in their order.

        Where it raises, the requests of the batch are made again one by one, so that one that cannot be had
        spoils no other.
        """
        self._ask = ask
        self._most = most
        self._open: list[tuple[T, asyncio.Future[R]]] = []
        self._asking: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()

    def hurry(self) -> None:
        """Somebody waits for what is asked for: do not wait for others."""
        self._wanted.set()

    def relax(self) -> None:
        """Nobody waits any more."""
        self._wanted.clear()

    async def __call__(self, request: T) -> R:
        """The answer to one request.

        Raises:
            Exception: whatever asking for it alone raises.
        """
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._open.append((request, answer))
        if self._asking is None:
            self._asking = asyncio.ensure_future(self._work())
        return await answer

    async def _work(self) -> None:
        try:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), LINGER)
            while self._open:
                batch, self._open = self._open[: self._most], self._open[self._most :]
                await self._answer([pair for pair in batch if not pair[1].done()])
        finally:
            self._asking = None

    async def _answer(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            found = await self._ask([request for request, _ in batch])
        except Exception as error:  # noqa: BLE001 - told to whoever asked for it
            if len(batch) > 1:
                for pair in batch:
                    await self._answer([pair])
            elif not batch[0][1].done():
                batch[0][1].set_exception(error)
            return
        for (_, answer), one in zip(batch, found, strict=True):
            if not answer.done():  # whoever asked was cancelled meanwhile
                answer.set_result(one)
