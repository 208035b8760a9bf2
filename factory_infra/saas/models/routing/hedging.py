"""Asks a second target when the first is slow to answer; who answers first is heard, the other is closed."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TypeVar

T = TypeVar("T")
Second = Callable[[], Awaitable[Coroutine[None, None, T] | None]]


async def hedged(first: Coroutine[None, None, T], after_seconds: float, second: Second[T], discard: Callable[[T], Awaitable[None]]) -> T:
    """Return what comes first. Each of the two settles by itself, the one that is cancelled for what it produced.

    Args:
        second: begins the other attempt; None where there is nobody to ask.
        discard: closes a result that came too late.

    Raises what the first raised when both failed.
    """
    tasks = [asyncio.ensure_future(first)]
    try:
        await asyncio.wait(tasks, timeout=after_seconds)
        if not tasks[0].done():
            other = await second()
            if other is not None:
                tasks.append(asyncio.ensure_future(other))
        return await _winner(tasks)
    finally:
        await asyncio.shield(asyncio.ensure_future(_dismiss(tasks, discard)))


async def _winner(tasks: list[asyncio.Task[T]]) -> T:
    """The first that answers is taken out of the list and heard."""
    waiting = set(tasks)
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in [each for each in tasks if each in done]:
            if not task.cancelled() and task.exception() is None:
                tasks.remove(task)
                return task.result()
    return tasks[0].result()


async def _dismiss(tasks: list[asyncio.Task[T]], discard: Callable[[T], Awaitable[None]]) -> None:
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if not isinstance(outcome, BaseException):
            await discard(outcome)
