"""Work that outlives the request which began it: it is waited for at shutdown, and cut off after a while."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")


class Background:
    """Keeps tasks until they end. What one of them raises is nobody's any more: it has told the ledger by itself."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object]] = set()

    def __len__(self) -> int:
        """How many are not done."""
        return len(self._tasks)

    def spawn(self, work: Coroutine[None, None, T]) -> asyncio.Task[T]:
        """Run some work that no cancellation of the caller reaches."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()

    async def close(self, seconds: float) -> None:
        """Wait for all; what is not done after some seconds is cancelled and waited for, so that it still settles."""
        if self._tasks:
            _, late = await asyncio.wait(set(self._tasks), timeout=seconds)
            for task in late:
                task.cancel()
        while self._tasks:
            await asyncio.wait(set(self._tasks))
