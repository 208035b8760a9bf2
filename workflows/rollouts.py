"""Turns roll-outs and scaling: every moment each is moved as far as it goes, and each move is told to its thread."""

import time
from functools import partial

import structlog

from factory_infra.factory import Factory
from factory_infra.paas.deployments.rollout_models import Move, Rollout
from factory_infra.paas.deployments.tally import forget_counts
from factory_infra.records.models import NewEvent
from tools.traffic import relist
from workflows.turning import Turns, look_for_ever, may_act

LOOK_SECONDS = 0.5
SCALE_SECONDS = 2.0
FORGET_SECONDS = 3600.0
AT_ONCE_MAX = 4
"""Each holds a connection while a server starts."""
log = structlog.get_logger("rollouts")


class Turner:
    """Moves roll-outs and scaling."""

    def __init__(self, factory: Factory) -> None:
        self._factory = factory
        self._turns = Turns(AT_ONCE_MAX, log)
        self._scaled = self._forgot = 0.0

    async def look(self) -> None:
        """Begin a turn of all that has something to do and is not at it."""
        for name in await self._factory.rollouts.open_ids():
            self._turns.begin(name, partial(self.turn, name))
        now = time.monotonic()
        if now - self._scaled > SCALE_SECONDS:
            self._scaled = now
            for tenant, name in await self._factory.scaler.places():
                self._turns.begin(f"{tenant}/{name}", partial(self._factory.scaler.turn, tenant, name))
        if now - self._forgot > FORGET_SECONDS:
            self._forgot = now
            await forget_counts(self._factory.database)
            await self._factory.request_log.expire()

    async def turn(self, name: str) -> None:
        """Move one roll-out, and tell what it did."""
        rollout = await self._factory.rollouts.turn(name, may_advance=await may_act(self._factory))
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
        await self._turns.idle()


async def watch(factory: Factory) -> None:
    """Do so for ever."""
    await look_for_ever(Turner(factory).look, LOOK_SECONDS, log)
