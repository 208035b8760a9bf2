"""What a team may hold in one pool, or of one accelerator in it, beside its quota over all pools: exact under concurrency."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import String, delete, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from factory_infra.database import Base, Database
from factory_infra.errors import NotFound, QuotaExceeded
from factory_infra.foundation.accelerators.models import Pool
from factory_infra.iaas.leases.models import HELD
from factory_infra.iaas.leases.tables import LeaseRow, QuotaRow


class PoolQuotaRow(Base):
    """How many slots of a pool a team may hold at one time."""

    __tablename__ = "pool_quotas"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    pool: Mapped[str] = mapped_column(String(64), primary_key=True)
    accelerator: Mapped[str] = mapped_column(String(64), primary_key=True, default="")
    slots_max: Mapped[int]


class PoolQuota(BaseModel):
    """A team's quota in one pool."""

    model_config = ConfigDict(from_attributes=True)

    tenant: str
    pool: str
    accelerator: str = Field(default="", description="The model that is counted; empty for every slot of the pool.")
    slots_max: int


class PoolQuotas:
    """Keeps them. They are enforced by `refuse_over_quotas`, where slots are granted."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def set(self, quota: PoolQuota) -> PoolQuota:
        """Set a quota or change it; leases that are held stay."""
        statement = insert(PoolQuotaRow).values(**quota.model_dump())
        place = ["tenant", "pool", "accelerator"]
        async with self._database.transaction(lock=lock_of(quota.tenant)) as session:
            await session.execute(statement.on_conflict_do_update(index_elements=place, set_={"slots_max": quota.slots_max}))
        return quota

    async def remove(self, tenant: str, pool: str, accelerator: str = "") -> None:
        """Remove a quota: the team's quota over all pools is what binds then. Raises NotFound."""
        place = (PoolQuotaRow.tenant == tenant, PoolQuotaRow.pool == pool, PoolQuotaRow.accelerator == accelerator)
        async with self._database.transaction() as session:
            gone = await session.scalar(delete(PoolQuotaRow).where(*place).returning(PoolQuotaRow.tenant))
        if gone is None:
            raise NotFound(f"Team {tenant} has no quota of its own in pool {pool}.", remedy="List them with GET /v1/quotas.")

    async def held(self, quota: PoolQuota, pool: Pool) -> int:
        """How many slots that count for a quota are held now."""
        query = select(LeaseRow).where(LeaseRow.tenant == quota.tenant, LeaseRow.pool == pool.name, LeaseRow.state.in_(HELD))
        async with self._database.transaction() as session:
            return counted(quota.accelerator, list(await session.scalars(query)), pool)

    async def list(self, tenant: str | None = None, limit: int = 100, offset: int = 0) -> Sequence[PoolQuota]:
        """Return the quotas of a team, or of all, by team and pool."""
        query = select(PoolQuotaRow).order_by(PoolQuotaRow.tenant, PoolQuotaRow.pool, PoolQuotaRow.accelerator)
        query = query.limit(limit).offset(offset)
        query = query if tenant is None else query.where(PoolQuotaRow.tenant == tenant)
        async with self._database.transaction() as session:
            return [PoolQuota.model_validate(row) for row in await session.scalars(query)]


def lock_of(tenant: str) -> str:
    """What one grant at a time may hold for a team. Whoever locks a pool as well locks the pool first."""
    return f"quota/{tenant}"


async def refuse_over_quotas(session: AsyncSession, tenant: str, pool: Pool, accelerator: str, slots: int) -> None:
    """Raise QuotaExceeded where a team would hold more than it may: over all pools, in this one, or of this accelerator in it.

    To be called in the transaction of the grant, which sees every row: from here to its end no other pool grants to the same team.
    """
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": lock_of(tenant)})
    held = list(await session.scalars(select(LeaseRow).where(LeaseRow.tenant == tenant, LeaseRow.state.in_(HELD))))
    total = await session.get(QuotaRow, tenant)
    check(tenant, "", sum(len(row.slots) for row in held), slots, total.slots_max if total else 0)
    here = [row for row in held if row.pool == pool.name]
    for quota in await session.scalars(select(PoolQuotaRow).where(PoolQuotaRow.tenant == tenant, PoolQuotaRow.pool == pool.name)):
        if quota.accelerator in ("", accelerator):
            used = counted(quota.accelerator, here, pool)
            of = f" of pool {pool.name}" + (f" with {quota.accelerator}" if quota.accelerator else "")
            check(tenant, of, used, slots, quota.slots_max)


def counted(accelerator: str, rows: Sequence[LeaseRow], pool: Pool) -> int:
    """How many slots of leases in a pool are of an accelerator, or all. A lease that named none has what its slots are."""
    models = {slot.index: slot.accelerator for slot in pool.slots}
    return sum(accelerator in ("", row.accelerator or models.get(index, "")) for row in rows for index in row.slots)


def check(tenant: str, of: str, used: int, more: int, quota: int) -> None:
    """Raise QuotaExceeded where so many more are not left."""
    if used + more > quota:
        raise QuotaExceeded(
            f"Team {tenant} holds {used} of its {quota} slots{of}; {more} more are not left.",
            remedy="Release a lease, ask for fewer, or have an administrator raise the quota.",
        )
