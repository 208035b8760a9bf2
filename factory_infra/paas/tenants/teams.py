"""What the service over teams is made of: a team's names, its limits, and what of it is live."""

from decimal import Decimal

from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from factory_infra.errors import InvalidInput
from factory_infra.foundation.clusters.tables import ClusterRow
from factory_infra.iaas.jobs.tables import JobRow
from factory_infra.iaas.leases.models import HELD
from factory_infra.iaas.leases.tables import LeaseRow, QuotaRow
from factory_infra.paas.deployments.tables import EndpointRow
from factory_infra.paas.tenants.models import Tenant
from factory_infra.paas.tenants.organisations import organisation_unknown
from factory_infra.paas.tenants.structure import Name, Title
from factory_infra.paas.tenants.structure_tables import OrganisationRow
from factory_infra.paas.tenants.tables import TenantRow
from factory_infra.records.audit import NewEntry
from factory_infra.records.control_tables import RunRow

LIVE_SHOWN = 5
"""So many of a kind are named; of more, only how many."""
Column = InstrumentedAttribute[str]
LIVE: tuple[tuple[str, Column, Column | InstrumentedAttribute[str | None], ColumnElement[bool]], ...] = (
    ("leases", LeaseRow.id, LeaseRow.tenant, LeaseRow.state.in_(("queued", "granting", "active"))),
    ("jobs", JobRow.id, JobRow.tenant, JobRow.final.is_(False)),
    ("endpoints", EndpointRow.name, EndpointRow.tenant, EndpointRow.state == "live"),
    ("clusters", ClusterRow.id, ClusterRow.tenant, ClusterRow.ended_at.is_(None)),
    ("runs", RunRow.id, RunRow.tenant, RunRow.ended_at.is_(None)),
)
"""What a team may have that still does something or costs something."""


class Naming(BaseModel):
    """How a team is called and where it belongs; None leaves it as it is. An empty organisation is none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: Title | None = None
    organisation: Name | str | None = None
    revision: int | None = None


UNNAMED = Naming()


def check_limits(quota_slots: int | None, budget: Decimal | None) -> None:
    """Raise InvalidInput for a negative limit."""
    if (quota_slots is not None and quota_slots < 0) or (budget is not None and budget < 0):
        raise InvalidInput("A quota and a budget cannot be negative.", remedy="Give zero or more.")


async def check_organisation(session: AsyncSession, name: str | None) -> None:
    """Raise NotFound for an organisation that is not there."""
    if name and await session.get(OrganisationRow, name) is None:
        raise organisation_unknown(name)


async def put_quota(session: AsyncSession, tenant: str, slots_max: int) -> None:
    """Bound what a team may hold over all pools, in the transaction of what is changed with it."""
    statement = insert(QuotaRow).values(tenant=tenant, slots_max=slots_max)
    await session.execute(statement.on_conflict_do_update(index_elements=["tenant"], set_={"slots_max": slots_max}))


async def quota_of(session: AsyncSession, tenant: str) -> int:
    """How many slots a team may hold over all pools."""
    row = await session.get(QuotaRow, tenant)
    return row.slots_max if row else 0


async def slots_held(session: AsyncSession, tenant: str) -> int:
    """How many slots a team holds now, in all pools."""
    rows = await session.scalars(select(LeaseRow).where(LeaseRow.state.in_(HELD), LeaseRow.tenant == tenant))
    return sum(len(row.slots) for row in rows)


async def live_things(session: AsyncSession, tenant: str) -> list[str]:
    """What of a team is live, such as '2 leases (lease-1, lease-2)'."""
    found = []
    for kind, name, whose, live in LIVE:
        names = list(await session.scalars(select(name).where(whose == tenant, live).order_by(name)))
        if names:
            more = ", …" if len(names) > LIVE_SHOWN else ""
            found.append(f"{len(names)} {kind if len(names) > 1 else kind[:-1]} ({', '.join(names[:LIVE_SHOWN])}{more})")
    return found


def team_of(row: TenantRow, quota_slots: int) -> Tenant:
    """A team from its row."""
    return Tenant(
        name=row.name,
        budget=row.budget,
        quota_slots=quota_slots,
        created_at=row.created_at,
        title=row.title,
        organisation=row.organisation,
        revision=row.revision,
        closed_at=row.closed_at,
    )


def team_entry(action: str, name: str, *, before: str = "", after: str = "") -> NewEntry:
    """What the audit log is told of a team."""
    return NewEntry(action=f"tenants:{action}", object=f"team/{name}", tenant=name, before=before, after=after)
