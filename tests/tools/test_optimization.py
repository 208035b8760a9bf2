"""Tools over costs: what they tell is the ledger's and the team's own, and words are put to it."""

from datetime import timedelta
from decimal import Decimal

import pytest

from agents.wording import word
from factory_infra.database import utcnow
from factory_infra.errors import InvalidInput
from factory_infra.iaas.leases.models import LeaseRequest
from factory_infra.iaas.leases.tables import LeaseRow
from factory_infra.saas.metering.models import Attribution
from tools.optimization import (
    AllocationArguments,
    CapacityArguments,
    FindingsArguments,
    IdleArguments,
    allocation,
    capacity,
    findings,
    idle,
)
from tools.spec import ToolContext

pytestmark = pytest.mark.stack


async def used(context: ToolContext, team: str, key: str, *, ended: bool) -> str:
    """A lease of an hour ago on which nothing ran."""
    factory = context.factory
    lease = await factory.leases.acquire(LeaseRequest(tenant=team, slots=2, seconds=7200, key=key, purpose="training"))
    await factory.metering.reserve_lease(lease.id, "cpu", 14_400, Attribution(tenant=team, project="maps"))
    async with factory.database.transaction() as session:
        (await session.get_one(LeaseRow, lease.id)).granted_at = utcnow() - timedelta(minutes=45)
    if ended:
        await factory.metering.settle_lease(await factory.leases.release(team, lease.id))
    return lease.id


async def test_what_was_charged_and_what_was_in_vain(context: ToolContext) -> None:
    ended = await used(context, "vision", "a", ended=True)
    await used(context, "language", "b", ended=True)
    told = await allocation(context, AllocationArguments(by=["project", "pool"]))
    spent = (await context.factory.metering.cost(tenant="vision")).spent
    assert told.exact and Decimal(told.total) == spent.quantize(Decimal("0.000001")) > 0
    assert [row.name for row in told.rows] == ["maps, local"]
    assert "exactly what the ledger has" in word("optimization.allocation", told.model_dump(mode="json"))
    wasted = await idle(context, IdleArguments())
    assert [(row.lease_id, row.slots, row.active) for row in wasted.rows] == [(ended, 2, False)] and wasted.rows[0].unused_slot_hours >= 1.5
    assert "on which nothing ran" in word("optimization.idle", wasted.model_dump(mode="json"))
    with pytest.raises(InvalidInput):
        await allocation(context, AllocationArguments(by=["colour"]))


async def test_what_would_save_money_is_told_with_its_command(context: ToolContext) -> None:
    held = await used(context, "vision", "a", ended=False)
    (row,) = (await findings(context, FindingsArguments())).rows
    assert row.kind == "lease_idle" and held in row.title and Decimal(row.saving_hourly) > 0
    assert (await findings(context, FindingsArguments(idle_minutes=60))).rows == []
    told = word("optimization.findings", (await findings(context, FindingsArguments())).model_dump(mode="json"))
    assert f"lineshaft costs fix {row.finding_id}" in told


async def test_too_little_of_the_past_is_told_without_a_number(context: ToolContext) -> None:
    told = await capacity(context, CapacityArguments())
    assert not told.enough and told.error is None and told.fills_expected == ""
    assert "Too little" in word("optimization.capacity", told.model_dump(mode="json"))
