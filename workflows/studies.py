"""Turns studies: every moment each goes on as far as it goes, and its end is told to its thread."""

import asyncio

import structlog
from sqlalchemy.exc import SQLAlchemyError

from factory_infra.errors import EffectsStopped, LineshaftError
from factory_infra.factory import Factory
from factory_infra.paas.training.studies.models import Study

LOOK_SECONDS = 0.5
AT_ONCE_MAX = 4
"""Each holds a connection while its sampler thinks."""
log = structlog.get_logger("studies")


class StudyTurner:
    """Takes turns, each study's one after another. What there is to do is in the database, so any process goes on after a crash."""

    def __init__(self, factory: Factory) -> None:
        self._factory = factory
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(AT_ONCE_MAX)

    async def look(self) -> None:
        """Begin a turn of every study that is at none."""
        for study_id in await self._factory.studies.open_ids():
            if study_id not in self._busy:
                task = self._busy[study_id] = asyncio.create_task(self._one(study_id))
                task.add_done_callback(lambda done, name=study_id: self._busy.pop(name, None))  # type: ignore[misc]

    async def turn(self, study_id: str) -> Study:
        """Move one study as far as it goes now."""
        return await self._factory.study_turns.turn(study_id, may_advance=await self._may_act())

    async def idle(self) -> None:
        """Wait for the turns that are under way."""
        if self._busy:
            await asyncio.wait(set(self._busy.values()))

    async def _may_act(self) -> bool:
        try:
            await self._factory.switch.check()
        except EffectsStopped:
            return False
        return True

    async def _one(self, study_id: str) -> None:
        async with self._room:
            try:
                await self.turn(study_id)
            except (LineshaftError, SQLAlchemyError, OSError) as error:
                log.warning("not turned", study=study_id, error=str(error) if isinstance(error, LineshaftError) else type(error).__name__)


async def watch(factory: Factory) -> None:
    """Do so for ever."""
    turner = StudyTurner(factory)
    while True:
        try:
            await turner.look()
        except (LineshaftError, SQLAlchemyError) as error:
            log.warning("studies not watched", error=type(error).__name__)
        await asyncio.sleep(LOOK_SECONDS)
