"""What a lease is in every pool: granted once, never beyond what there is, exact in the ledger, and nothing left of it afterwards."""

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple, cast

import pytest

from factory_infra.database import Database
from factory_infra.errors import CapacityExceeded, InvalidInput, QuotaExceeded
from factory_infra.foundation.accelerators.models import Pool
from factory_infra.foundation.accelerators.pools import PooledAccelerators
from factory_infra.foundation.clusters.registry import ClusterPools
from factory_infra.foundation.pools.book import PoolBook
from factory_infra.foundation.pools.spec import LocalPool, PoolSpec
from factory_infra.iaas.leases.models import Lease, LeaseRequest, LeaseState
from factory_infra.iaas.leases.service import Leases
from factory_infra.paas.tenants.service import Tenants
from factory_infra.saas.metering.models import Attribution
from factory_infra.saas.metering.prices import PriceBook
from factory_infra.saas.metering.service import Metering, slot_subject
from factory_infra.settings import Settings
from tests.contract.houses import Site

pytestmark = [pytest.mark.stack]
TENANT = "vision"
SECONDS = 600


class Ground(NamedTuple):
    """Leases over one pool, with a ledger."""

    pool: Pool
    leases: Leases
    clusters: ClusterPools
    metering: Metering

    def asking(self, key: str, slots: int = 1, **fields: object) -> LeaseRequest:
        """A lease in this pool."""
        base = {"tenant": TENANT, "slots": slots, "key": key, "pool": self.pool.name, "seconds": SECONDS}
        return LeaseRequest.model_validate(base | fields)

    async def left(self) -> list[str]:
        """Machines that are there, where any are made."""
        if self.pool.placement != "machines":
            return []
        return [machine.id for cluster in await self.clusters.of(self.pool.name).list(TENANT) for machine in cluster.machines]


@pytest.fixture
async def ground(site: Site, database: Database, tmp_path: Path) -> Ground:
    """The pool behind each house in turn, in a database of its own."""
    spec = cast("PoolSpec", getattr(site.house, "pool", None) or LocalPool(name="local"))
    settings = Settings(home=tmp_path)
    book = PoolBook(tmp_path / "pools.yaml")
    if spec.name != "local":
        book.add(spec)
    accelerators, clusters = PooledAccelerators(book, settings), ClusterPools(book, settings)
    leases = Leases(database, accelerators, clusters)
    await Tenants(database, b"p" * 32).create(TENANT, quota_slots=1000, budget=Decimal(1000))
    return Ground(await accelerators.pool(spec.name), leases, clusters, Metering(database, PriceBook.load(), leases))


async def test_the_same_key_is_one_lease_however_often_it_is_asked(ground: Ground) -> None:
    granted = await asyncio.gather(*(ground.leases.acquire(ground.asking("k")) for _ in range(4)))
    assert {lease.id for lease in granted} == {granted[0].id}
    assert len(await ground.leases.list(TENANT)) == 1
    await ground.leases.release(TENANT, granted[0].id)
    assert await ground.left() == []


async def test_no_more_is_granted_than_there_is(ground: Ground) -> None:
    one = (await ground.leases.quote(ground.asking("quote"))).slots
    there = len(ground.pool.slots) // one
    wanted = there + 2
    answers = await asyncio.gather(*(ground.leases.acquire(ground.asking(f"k{index}")) for index in range(wanted)), return_exceptions=True)
    granted = [each for each in answers if isinstance(each, Lease)]
    assert [type(each) for each in answers if not isinstance(each, Lease)] == [CapacityExceeded] * 2
    held = [slot for lease in granted for slot in lease.slots]
    assert len(granted) == there and len(held) == len(set(held))
    for lease in granted:
        assert (await ground.leases.release(TENANT, lease.id)).state is LeaseState.RELEASED
    assert (await ground.leases.usage(TENANT, ground.pool.name)).slots_free == len(ground.pool.slots)
    assert await ground.left() == []


async def test_what_cannot_be_is_refused_and_holds_nothing(ground: Ground) -> None:
    with pytest.raises(CapacityExceeded):
        await ground.leases.acquire(ground.asking("many", len(ground.pool.slots) + 1))
    with pytest.raises(InvalidInput):
        await ground.leases.acquire(ground.asking("unknown", accelerator="Z9000"))
    for count in (0, -1, 10_000_000):
        with pytest.raises(InvalidInput):
            await ground.leases.acquire(ground.asking("count", count))
    await ground.leases.set_quota(TENANT, 0)
    with pytest.raises(QuotaExceeded):
        await ground.leases.acquire(ground.asking("quota"))
    assert await ground.leases.list(TENANT) == []
    assert await ground.left() == []


async def test_the_ledger_has_what_was_held(ground: Ground) -> None:
    request = ground.asking("paid")
    quote = await ground.leases.quote(request)
    subject = slot_subject(quote.slot_kind, quote.accelerator)
    lease = await ground.leases.acquire(request)
    await ground.metering.reserve_lease(lease.id, subject, quote.slots * SECONDS, Attribution(tenant=TENANT))
    assert (await ground.metering.reconcile()).equal
    released = await ground.leases.release(TENANT, lease.id)
    await ground.metering.settle_lease(released)
    (line,) = (await ground.metering.cost(tenant=TENANT)).lines
    assert line.quantity == Decimal(str(round(released.slot_seconds, 6)))
    assert (await ground.metering.reconcile()).equal
    assert await ground.metering.open_reservations() == []


async def test_releasing_twice_is_once(ground: Ground) -> None:
    lease = await ground.leases.acquire(ground.asking("k"))
    first = await ground.leases.release(TENANT, lease.id)
    assert await ground.leases.release(TENANT, lease.id) == first
