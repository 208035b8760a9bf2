"""Look-ups that are asked for together: many small questions to a server become few."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

ANSWER_SECONDS_MAX = 5.0
"""One connection that hangs must not hold up everybody who asks after it."""


class Batched(Generic[K, V]):
    """One question at a time: who asks while it is under way waits for the next one, and all who wait share that.

    Alone, a look-up is asked at once. What the question raises, each of its askers gets; one that is cancelled disturbs no other.
    """

    def __init__(self, ask: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]], *, seconds_max: float = ANSWER_SECONDS_MAX) -> None:
        """`ask` returns what it found of some keys; those that it leaves out are not there. A question that hangs raises TimeoutError."""
        self._seconds_max = seconds_max
        self._ask = ask
        self._last: asyncio.Task[Mapping[K, V]] | None = None
        self._open: set[K] | None = None
        """The keys of the question that has not begun; None while there is none."""

    async def get(self, key: K) -> V | None:
        """Return what is found of a key, by a question that begins after this call; None where there is nothing."""
        if self._open is None or self._last is None:
            self._open = set()
            self._last = asyncio.create_task(self._asked(self._last, self._open), name="batched")
            self._last.add_done_callback(_seen)
        self._open.add(key)
        return (await asyncio.shield(self._last)).get(key)

    async def _asked(self, before: asyncio.Task[Mapping[K, V]] | None, keys: set[K]) -> Mapping[K, V]:
        if before is not None:
            await asyncio.wait([before])
        self._open = None
        async with asyncio.timeout(self._seconds_max):
            return await self._ask(list(keys))


def _seen(task: asyncio.Task[Mapping[K, V]]) -> None:
    """Its askers got the error; one that nobody waits for any more is nobody's."""
    if not task.cancelled():
        task.exception()
