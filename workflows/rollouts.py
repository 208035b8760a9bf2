"""Turns roll-outs and scaling: every moment each is moved as far as it goes, and each move is told to its thread."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog
from sqlalchemy.exc import SQLAlchemyError

from factory_infra.errors import EffectsStopped, LineshaftError
from factory_infra.factory import Factory
from factory_infra.paas.deployments.rollout_models import Move, Rollout
from factory_infra.paas.deployments.tally import forget_counts
from factory_infra.records.models import NewEvent
from tools.traffic import relist

LOOK_SECONDS = 0.5
SCALE_SECONDS = 2.0
FORGET_SECONDS = 3600.0
AT_ONCE_MAX = 4
"""Each holds a connection while a server starts."""
log = structlog.get_logger("rollouts")


class Turner:
    """Takes turns, each thing's one after another. What there is to do is in the database, so any process goes on after a crash."""

    def __init__(self, factory: Factory) -> None:
        self._factory = factory
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(AT_ONCE_MAX)
        self._scaled = self._forgot = 0.0

    async def look(self) -> None:
        """Begin a turn of all that has something to do and is not at it."""
        for name in await self._factory.rollouts.open_ids():
            self._begin(name, lambda name=name: self.turn(name))  # type: ignore[misc]
        now = time.monotonic()
        if now - self._scaled > SCALE_SECONDS:
            self._scaled = now
            for tenant, name in await self._factory.scaler.places():
                self._begin(f"{tenant}/{name}", lambda tenant=tenant, name=name: self._factory.scaler.turn(tenant, name))  # type: ignore[misc]
        if now - self._forgot > FORGET_SECONDS:
            self._forgot = now
            await forget_counts(self._factory.database)
            await self._factory.request_log.expire()

    async def turn(self, name: str) -> None:
        """Move one roll-out, and tell what it did."""
        rollout = await self._factory.rollouts.turn(name, may_advance=await self._may_act())
        for move in await self._factory.rollouts.untold(name):
            await self.tell(rollout, move)
            await self._factory.rollouts.tell(name, move.number)

    async def tell(self, rollout: Rollout, move: Move) -> None:
        """Write a move into the thread that asked, and what the endpoint answers with now into the catalog. Again changes nothing."""
        if move.state.good:
            await relist(self._factory, rollout.tenant, rollout.endpoint)
        if not rollout.thread_id:
            return
        await self._factory.records.write_event(
            NewEvent(
                key=f"{rollout.id}/{move.number}",
                tenant=rollout.tenant,
                thread_id=rollout.thread_id,
                kind="rollout.moved",
                payload={
                    "rollout_id": rollout.id,
                    "endpoint": rollout.endpoint,
                    "model_name": rollout.model_name,
                    "version": rollout.version,
                    "state": move.state.value,
                    "step": move.step,
                    "share": move.share,
                    "code": move.code,
                    "reason": move.reason,
                },
            )
        )

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

    def _begin(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        if name not in self._busy:
            task = self._busy[name] = asyncio.create_task(self._one(name, work))
            task.add_done_callback(lambda done: self._busy.pop(name, None))

    async def _one(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        async with self._room:
            try:
                await work()
            except (LineshaftError, SQLAlchemyError, OSError) as error:
                log.warning("not turned", what=name, error=str(error) if isinstance(error, LineshaftError) else type(error).__name__)


async def watch(factory: Factory) -> None:
    """Do so for ever."""
    turner = Turner(factory)
    while True:
        try:
            await turner.look()
        except (LineshaftError, SQLAlchemyError) as error:
            log.warning("roll-outs not watched", error=type(error).__name__)
        await asyncio.sleep(LOOK_SECONDS)
