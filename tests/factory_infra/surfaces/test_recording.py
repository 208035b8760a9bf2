"""The log is told of probes by the minute, of pools by their changes, of models by the day: once each, whoever tells too."""

from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import select
from sqlalchemy.exc import InterfaceError
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database
from factory_infra.errors import Unavailable
from factory_infra.foundation.accelerators.models import Pool, Slot
from factory_infra.foundation.pools.book import PoolBook
from factory_infra.records.tables import EventRow
from factory_infra.saas.metering.tables import DailyRow
from factory_infra.surfaces.recording import PoolWatch, ProbeBook, tell_of_models

pytestmark = pytest.mark.stack
NOON = datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)


async def told(database: Database, *kinds: str) -> list[tuple[str, dict[str, object]]]:
    async with database.transaction() as session:
        rows = await session.scalars(select(EventRow).where(EventRow.kind.in_(kinds)).order_by(EventRow.id))
        return [(row.kind, dict(row.payload)) for row in rows]


async def test_a_minute_of_probes_is_one_event_of_each_surface(database: Database) -> None:
    book, other = ProbeBook(database), ProbeBook(database)
    for seconds in (0, 10, 20):
        await book.add({"api": seconds != 10, "worker": True}, NOON + timedelta(seconds=seconds))
        await other.add({"api": True}, NOON + timedelta(seconds=seconds))
    assert not await told(database, "surface.probed")
    await book.add({"api": True}, NOON + timedelta(seconds=60))
    await other.flush()  # the same minute, told before
    assert await told(database, "surface.probed") == [
        ("surface.probed", {"surface": "api", "ok": 2, "failed": 1}),
        ("surface.probed", {"surface": "worker", "ok": 3, "failed": 0}),
    ]
    await book.flush()
    assert len(await told(database, "surface.probed")) == 3
    assert len(await told(database, "surface.watched")) == 2


class Switched:
    """A database that can be away."""

    def __init__(self, database: Database) -> None:
        self.away = False
        self._database = database

    def transaction(self) -> AbstractAsyncContextManager[AsyncSession]:
        if self.away:
            raise InterfaceError("it is away", None, ConnectionError())
        return self._database.transaction()


async def test_what_could_not_be_told_is_told_when_the_database_is_back(database: Database) -> None:
    switched = Switched(database)
    book = ProbeBook(cast(Database, switched))
    await book.add({"api": True}, NOON)
    switched.away = True
    for minute in (1, 2):
        with pytest.raises(InterfaceError):
            await book.add({"api": False}, NOON + timedelta(minutes=minute))
    switched.away = False
    await book.add({"api": True}, NOON + timedelta(minutes=3))
    assert [(payload["ok"], payload["failed"]) for _, payload in await told(database, "surface.probed")] == [(1, 0), (0, 1), (0, 1)]


class Slots:
    """Pools whose size can be set; one that is None does not answer."""

    def __init__(self) -> None:
        self.sizes: dict[str, int | None] = {}
        self.kind = "gpu"

    async def pool(self, name: str = "") -> Pool:
        count = self.sizes.get(name, 0)
        if count is None:
            raise Unavailable("It is away.")
        return Pool(
            name=name, slots=[Slot.model_validate({"index": n, "kind": self.kind, "name": "s", "memory_gib": 1}) for n in range(count)]
        )


async def test_a_pool_is_told_of_when_it_changes(database: Database, tmp_path: Path) -> None:
    slots, book = Slots(), PoolBook(tmp_path / "pools.yaml")
    name = book.all()[0].name
    watch = PoolWatch(database, book, slots)
    for size in (4, 4, None, 6, 1):
        slots.sizes[name] = size
        await watch.look()
    slots.kind = "cpu"
    await watch.look()
    steps = [(kind, payload["kind"], payload["slots"]) for kind, payload in await told(database, "pool.grown", "pool.shrunk")]
    assert steps == [
        ("pool.grown", "gpu", 4),
        ("pool.grown", "gpu", 2),
        ("pool.shrunk", "gpu", 5),
        ("pool.shrunk", "gpu", 1),
        ("pool.grown", "cpu", 1),
    ]


async def test_a_team_that_calls_models_is_told_of_once_a_day(database: Database) -> None:
    rest = {"project": "", "key_id": "", "agent": "", "subject": "m", "backend": "", "unit": "tokens"}
    numbers = dict.fromkeys(("quantity", "quantity_out", "quantity_cached", "quantity_reasoning", "amount"), 0)
    async with database.transaction() as session:
        session.add(DailyRow(day=NOON.date(), tenant="vision", calls=3, **rest, **numbers))
        session.add(DailyRow(day=NOON.date() - timedelta(days=1), tenant="robots", calls=3, **rest, **numbers))
    assert [await tell_of_models(database, NOON) for _ in range(2)] == [1, 1]
    assert await told(database, "models.used") == [("models.used", {"team": "vision"})]
    await tell_of_models(database, NOON + timedelta(days=1))
    assert len(await told(database, "models.used")) == 1
