"""The worker keeps the figures: probes, pools, the log, alerts; what fails is tried again."""

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest
from sqlalchemy import select

from factory_infra.database import Database
from factory_infra.errors import Unavailable
from factory_infra.factory import Factory
from factory_infra.foundation.accelerators.models import Pool, Slot
from factory_infra.foundation.pools.book import PoolBook
from factory_infra.paas.kpis.alerts import Alerts
from factory_infra.paas.kpis.service import Kpis
from factory_infra.records.tables import EventRow
from factory_infra.settings import Settings
from factory_infra.surfaces.probes import Prober
from workflows.kpis import Keeper, every


class Slots:
    async def pool(self, name: str = "") -> Pool:
        return Pool(name=name, slots=[Slot(index=0, kind="gpu", name="g", memory_gib=80)])


class Probes:
    async def ask(self) -> dict[str, bool]:
        return {"api": True, "worker": False}

    async def close(self) -> None:
        """Nothing is open."""


@pytest.mark.stack
async def test_each_task_leaves_its_part(database: Database, settings: Settings) -> None:
    kpis = Kpis(database)
    fields = {
        "database": database,
        "pools": PoolBook(settings.pools_file),
        "accelerators": Slots(),
        "kpis": kpis,
        "alerts": Alerts(database, kpis),
    }
    keeper = Keeper(cast(Factory, SimpleNamespace(**fields)), cast(Prober, Probes()))
    for task in (keeper.probe, keeper.pools, keeper.models, keeper.close, keeper.read, keeper.alerts):
        await task()
    async with database.transaction() as session:
        kinds = set(await session.scalars(select(EventRow.kind)))
    assert {"surface.probed", "surface.watched", "pool.grown"} <= kinds
    shown = await Alerts(database, kpis).shown()
    assert shown is not None and "availability" in str(shown.document)


async def test_what_fails_is_done_again() -> None:
    tries, done = 0, asyncio.Event()

    async def work() -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise Unavailable("It is away.")
        done.set()

    task = asyncio.create_task(every(0.0, work))
    async with asyncio.timeout(30):
        await done.wait()
    task.cancel()
    assert tries >= 3
