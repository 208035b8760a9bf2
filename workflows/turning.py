"""Takes turns at things that go on in the database: so many at one time, each thing's one after another, for ever."""

import asyncio
from collections.abc import Awaitable, Callable

from sqlalchemy.exc import SQLAlchemyError
from structlog.typing import FilteringBoundLogger

from factory_infra.errors import EffectsStopped, LineshaftError
from factory_infra.factory import Factory


class Turns:
    """The turns that are under way. What there is to do is in the database, so any process goes on after a crash.

    Args:
        at_once_max: so many turns at one time; each may hold a connection while it waits.
        log: where a turn that failed is told; it is tried again at the next look.
    """

    def __init__(self, at_once_max: int, log: FilteringBoundLogger) -> None:
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(at_once_max)
        self._log = log

    def begin(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        """Begin a turn of a thing that is at none; of one that is, nothing."""
        if name not in self._busy:
            task = self._busy[name] = asyncio.create_task(self._one(name, work))
            task.add_done_callback(lambda done: self._busy.pop(name, None))

    async def idle(self) -> None:
        """Wait for the turns that are under way."""
        if self._busy:
            await asyncio.wait(set(self._busy.values()))

    async def _one(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        async with self._room:
            try:
                await work()
            except (LineshaftError, SQLAlchemyError, OSError) as error:
                self._log.warning("not turned", what=name, error=str(error) if isinstance(error, LineshaftError) else type(error).__name__)


async def may_act(factory: Factory) -> bool:
    """Whether effects are not stopped."""
    try:
        await factory.switch.check()
    except EffectsStopped:
        return False
    return True


async def look_for_ever(look: Callable[[], Awaitable[None]], seconds: float, log: FilteringBoundLogger) -> None:
    """Look, and look again so many seconds later; what fails is told."""
    while True:
        try:
            await look()
        except (LineshaftError, SQLAlchemyError) as error:
            log.warning("not watched", error=type(error).__name__)
        await asyncio.sleep(seconds)
