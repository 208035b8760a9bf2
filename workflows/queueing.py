"""Passes of the scheduler in the worker: leases that wait are granted, their machines made, and others asked to give way."""

import asyncio

import structlog
from sqlalchemy.exc import OperationalError

from factory_infra.errors import EffectsStopped, LineshaftError
from factory_infra.factory import Factory
from factory_infra.iaas.leases.models import Lease
from factory_infra.iaas.leases.service import Granted

PASS_SECONDS = 1.0
log = structlog.get_logger("scheduler")


class QueueKeeper:
    """Does passes, one after the other. Each may be cut off anywhere, and several workers may do them at once: the leases hold the lock."""

    def __init__(self, factory: Factory) -> None:
        self._factory = factory
        self._making: dict[str, asyncio.Task[None]] = {}

    async def once(self) -> Granted:
        """Do one pass, and begin to have machines made; that goes on beside later passes. Raises EffectsStopped while they are."""
        await self._factory.switch.check()
        granted = await self._factory.leases.grant_waiting()
        for lease in granted.leases:
            log.info("lease granted", lease_id=lease.id, pool=lease.pool, slots=len(lease.slots))
        for name in granted.to_preempt:
            await self._give_way(name)
        for lease in await self._factory.leases.unmade():
            if lease.id not in self._making:
                self._making[lease.id] = asyncio.create_task(self._make(lease))
        return granted

    async def settled(self) -> None:
        """Return when no machines are being made by this process any more."""
        await asyncio.gather(*self._making.values())

    async def _make(self, lease: Lease) -> None:
        try:
            await self._factory.leases.make(lease)
        except LineshaftError as error:
            log.warning("machines not made", lease_id=lease.id, code=error.error_code, reason=error.reason)
        finally:
            del self._making[lease.id]

    async def _give_way(self, name: str) -> None:
        """End a lease for one that comes before it: first what runs on it, so that nobody else finds its slots busy."""
        lease = await self._factory.leases.of(name, None)
        for job in await self._factory.jobs.of_lease(name):
            if not job.state.final:
                await self._factory.jobs.cancel(job.id, lease.tenant)
        ended = await self._factory.leases.reclaim(lease.tenant, name)
        await self._factory.metering.settle_lease(ended)
        log.info("lease gave way", lease_id=name, pool=lease.pool)


async def keep_queue(factory: Factory) -> None:
    """Do passes for as long as the worker lives."""
    keeper = QueueKeeper(factory)
    while True:
        try:
            await keeper.once()
        except EffectsStopped:
            log.debug("no pass: effects are stopped")
        except (LineshaftError, OperationalError) as error:
            log.warning("pass not done", error=type(error).__name__, told=str(error) if isinstance(error, LineshaftError) else "")
        await asyncio.sleep(PASS_SECONDS)
