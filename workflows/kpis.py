"""Keeps the key figures: tells the log what no row tells, reads it into the sums, watches the objectives."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog
from sqlalchemy.exc import SQLAlchemyError
from temporalio.client import Client
from temporalio.service import RPCError

from factory_infra.errors import LineshaftError
from factory_infra.factory import Factory
from factory_infra.paas.kpis.burn import PROBES_HOURLY
from factory_infra.surfaces.probes import Prober
from factory_infra.surfaces.recording import PoolWatch, ProbeBook, tell_of_models

PROBE_SECONDS = 3600 / PROBES_HOURLY
READ_SECONDS = 5.0
ALERT_SECONDS = 30.0
POOL_SECONDS = 60.0
MODEL_SECONDS = 900.0
BATCHES = 20
"""So many batches of the log in one go: a log that is long is read over several."""
log = structlog.get_logger("kpis")


class Keeper:
    """Does each of its tasks when it is due. Several workers may: nothing is told or counted twice."""

    def __init__(self, factory: Factory, prober: Prober) -> None:
        self._factory = factory
        self._prober = prober
        self._probes = ProbeBook(factory.database)
        self._pools = PoolWatch(factory.database, factory.pools, factory.accelerators)
        self._burning: set[str] = set()

    async def read(self) -> None:
        """Read what the log got."""
        await self._factory.kpis.aggregates.catch_up(BATCHES)

    async def probe(self) -> None:
        """Ask every surface."""
        await self._probes.add(await self._prober.ask())

    async def pools(self) -> None:
        """Look at the pools' slots."""
        changed = await self._pools.look()
        if changed:
            log.info("pools have other slots", pools=changed)

    async def models(self) -> None:
        """Look who called models."""
        await tell_of_models(self._factory.database)

    async def alerts(self) -> None:
        """Raise and clear alerts, and keep the figures for scrapes."""
        alerts = self._factory.alerts
        told = await alerts.look()
        burning = {f"{each.objective} ({each.severity})" for each in told if each.burning}
        if fresh := burning - self._burning:
            log.warning("objectives burn", objectives=sorted(fresh))
        self._burning = burning
        await alerts.keep(await self._factory.kpis.page(), told)

    async def close(self) -> None:
        """Tell of the minute that is under way."""
        await self._probes.flush()
        await self._prober.close()


async def every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    """Do something at a steady pace for ever; what fails is told and tried again."""
    while True:
        began = time.monotonic()
        try:
            await work()
        except (LineshaftError, SQLAlchemyError) as error:
            log.warning("not kept", what=getattr(work, "__name__", ""), error=type(error).__name__)
        await asyncio.sleep(max(began + seconds - time.monotonic(), 0.05))


async def watch(factory: Factory, client: Client) -> None:
    """Keep the figures until cancelled."""

    async def engine() -> bool:
        try:
            return await client.service_client.check_health()
        except RPCError:
            return False

    keeper = Keeper(factory, Prober(factory.settings, factory.database, engine))
    paces = (
        (READ_SECONDS, keeper.read),
        (PROBE_SECONDS, keeper.probe),
        (POOL_SECONDS, keeper.pools),
        (MODEL_SECONDS, keeper.models),
        (ALERT_SECONDS, keeper.alerts),
    )
    tasks = [asyncio.create_task(every(seconds, work)) for seconds, work in paces]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await keeper.close()
