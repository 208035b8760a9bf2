"""Turns studies: every moment each goes on as far as it goes."""

from functools import partial

import structlog

from factory_infra.factory import Factory
from factory_infra.paas.training.studies.models import Study
from workflows.turning import Turns, look_for_ever, may_act

LOOK_SECONDS = 0.5
AT_ONCE_MAX = 4
"""Each holds a connection while its sampler thinks."""
log = structlog.get_logger("studies")


class StudyTurner:
    """Moves studies."""

    def __init__(self, factory: Factory) -> None:
        self._factory = factory
        self._turns = Turns(AT_ONCE_MAX, log)

    async def look(self) -> None:
        """Begin a turn of every study that is at none."""
        for study_id in await self._factory.studies.open_ids():
            self._turns.begin(study_id, partial(self.turn, study_id))

    async def turn(self, study_id: str) -> Study:
        """Move one study as far as it goes now."""
        return await self._factory.study_turns.turn(study_id, may_advance=await may_act(self._factory))


async def watch(factory: Factory) -> None:
    """Do so for ever."""
    await look_for_ever(StudyTurner(factory).look, LOOK_SECONDS, log)
