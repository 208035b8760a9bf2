"""Leases: exact under concurrency, once per key, bounded by pool and quota."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import update

from factory_infra.database import Database, utcnow
from factory_infra.errors import CapacityExceeded, InvalidInput, LineshaftError, NotFound, QuotaExceeded
from factory_infra.foundation.accelerators.models import Pool, Slot
from factory_infra.iaas.leases.models import LeaseRequest, LeaseState
from factory_infra.iaas.leases.service import Leases
from factory_infra.iaas.leases.tables import LeaseRow

pytestmark = pytest.mark.stack


class FixedPool:
    """A pool of so many CPU slots."""

    def __init__(self, slots: int) -> None:
        self._pool = Pool(name="local", slots=[Slot(index=index, kind="cpu", name="core", memory_gib=1) for index in range(slots)])

    async def pool(self, name: str = "") -> Pool:
        """The pool."""
        return self._pool


@pytest.fixture
async def leases(database: Database) -> Leases:
    service = Leases(database, FixedPool(4))
    await service.set_quota("vision", 3)
    await service.set_quota("language", 4)
    return service


def asking(slots: int = 1, *, tenant: str = "vision", key: str = "k") -> LeaseRequest:
    return LeaseRequest(tenant=tenant, slots=slots, key=key)


class TestAcquire:
    async def test_the_same_key_gives_the_same_lease(self, leases: Leases) -> None:
        first, second = await leases.acquire(asking(2)), await leases.acquire(asking(2))
        assert first == second
        assert len(await leases.list("vision")) == 1

    async def test_slots_are_never_granted_twice(self, leases: Leases) -> None:
        granted = await asyncio.gather(
            *(leases.acquire(asking(1, tenant=("vision", "language")[index % 2], key=f"k{index}")) for index in range(20)),
            return_exceptions=True,
        )
        held = [slot for each in granted if not isinstance(each, BaseException) for slot in each.slots]
        assert sorted(held) == [0, 1, 2, 3]
        assert all(isinstance(each, LineshaftError) for each in granted if isinstance(each, BaseException))

    @pytest.mark.parametrize(("slots", "error"), [(0, InvalidInput), (-1, InvalidInput), (5, CapacityExceeded), (4, QuotaExceeded)])
    async def test_what_cannot_be_is_refused(self, leases: Leases, slots: int, error: type[LineshaftError]) -> None:
        with pytest.raises(error) as raised:
            await leases.acquire(asking(slots))
        assert raised.value.remedy
        assert await leases.list() == []

    async def test_a_team_without_quota_gets_nothing(self, leases: Leases) -> None:
        with pytest.raises(QuotaExceeded):
            await leases.acquire(asking(1, tenant="nobody"))

    async def test_an_overdue_lease_makes_room(self, leases: Leases, database: Database) -> None:
        lease = await leases.acquire(asking(3))
        async with database.transaction() as session:
            await session.execute(update(LeaseRow).values(expires_at=utcnow() - timedelta(seconds=1)))
        assert (await leases.acquire(asking(3, key="next"))).slots == lease.slots
        assert (await leases.get("vision", lease.id)).state is LeaseState.EXPIRED


class TestRelease:
    async def test_released_slots_are_free_and_counted(self, leases: Leases) -> None:
        lease = await leases.acquire(asking(2))
        released = await leases.release("vision", lease.id)
        assert released.state is LeaseState.RELEASED
        assert released.slot_seconds > 0
        assert (await leases.usage("vision")).slots_free == 4

    async def test_twice_is_once(self, leases: Leases) -> None:
        lease = await leases.acquire(asking(1))
        assert await leases.release("vision", lease.id) == await leases.release("vision", lease.id)

    async def test_another_teams_lease_is_not_there(self, leases: Leases) -> None:
        lease = await leases.acquire(asking(1))
        with pytest.raises(NotFound):
            await leases.release("language", lease.id)
