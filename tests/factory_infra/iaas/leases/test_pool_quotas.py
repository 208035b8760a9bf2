"""A team's quota in a pool, or of an accelerator in it, is never passed, however many ask at one time."""

import asyncio

import pytest
from sqlalchemy import func, select

from factory_infra.database import Database, utcnow
from factory_infra.errors import NotFound, QuotaExceeded
from factory_infra.foundation.accelerators.models import Pool, Slot
from factory_infra.iaas.leases.pool_quotas import PoolQuota, PoolQuotas, refuse_over_quotas
from factory_infra.iaas.leases.tables import LeaseRow, QuotaRow

pytestmark = pytest.mark.stack

MODELS = ("h100", "h100", "h100", "h100", "a100", "a100", "a100", "a100")
POOLS = {
    name: Pool(
        name=name,
        slots=[Slot(index=index, kind="gpu", name=model, memory_gib=80, accelerator=model) for index, model in enumerate(MODELS)],
    )
    for name in ("gpus", "cloud")
}


async def hold(database: Database, key: str, pool: str = "gpus", slots: tuple[int, ...] = (0,), accelerator: str = "") -> None:
    """Grant slots as leases do, as far as quotas go. Raises QuotaExceeded."""
    async with database.transaction() as session:
        await refuse_over_quotas(session, "vision", POOLS[pool], accelerator or MODELS[slots[0]], len(slots))
        now = utcnow()
        named = {"id": key, "key": key, "tenant": "vision", "pool": pool, "slot_kind": "gpu", "slots": list(slots), "purpose": ""}
        session.add(LeaseRow(**named, plan_id="", state="active", granted_at=now, expires_at=now, accelerator=accelerator))


@pytest.fixture
async def quotas(database: Database) -> PoolQuotas:
    async with database.transaction() as session:
        session.add(QuotaRow(tenant="vision", slots_max=6))
    return PoolQuotas(database)


async def held(database: Database) -> int:
    async with database.transaction() as session:
        return int(await session.scalar(select(func.count()).select_from(LeaseRow)) or 0)


async def test_two_hundred_at_the_edge_never_pass_it(database: Database, quotas: PoolQuotas) -> None:
    await quotas.set(PoolQuota(tenant="vision", pool="gpus", slots_max=3))
    asked = [hold(database, f"{number}", pool=("gpus", "cloud")[number % 2]) for number in range(200)]
    ended = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(each) for each in ended} == {type(None), QuotaExceeded}
    assert await held(database) == 6
    async with database.transaction() as session:
        in_pool = await session.scalar(select(func.count()).select_from(LeaseRow).where(LeaseRow.pool == "gpus"))
    assert int(in_pool or 0) <= 3


async def test_an_accelerator_is_counted_also_where_a_lease_named_none(database: Database, quotas: PoolQuotas) -> None:
    await quotas.set(PoolQuota(tenant="vision", pool="gpus", accelerator="h100", slots_max=2))
    await hold(database, "unnamed", slots=(0,))
    await hold(database, "named", slots=(1,), accelerator="h100")
    with pytest.raises(QuotaExceeded, match="holds 2 of its 2 slots of pool gpus with h100"):
        await hold(database, "third", slots=(2,))
    await hold(database, "other", slots=(4,))
    assert await quotas.held(PoolQuota(tenant="vision", pool="gpus", accelerator="h100", slots_max=2), POOLS["gpus"]) == 2


async def test_a_quota_below_what_is_held_takes_nothing_away_and_grants_nothing(database: Database, quotas: PoolQuotas) -> None:
    for number in range(3):
        await hold(database, f"{number}", slots=(number,))
    await quotas.set(PoolQuota(tenant="vision", pool="gpus", slots_max=1))
    with pytest.raises(QuotaExceeded):
        await hold(database, "more", slots=(5,))
    assert await held(database) == 3
    await quotas.remove("vision", "gpus")
    await hold(database, "more", slots=(5,))
    with pytest.raises(NotFound):
        await quotas.remove("vision", "gpus")
