"""Grants slots of the local pool to tenants: exact under concurrency, by one lock per pool."""

import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database, utcnow
from factory_infra.errors import CapacityExceeded, InvalidInput, NotFound, QuotaExceeded
from factory_infra.foundation.accelerators.interface import Accelerators
from factory_infra.foundation.accelerators.models import Pool
from factory_infra.iaas.leases.models import Lease, LeaseRequest, LeaseState, Usage
from factory_infra.iaas.leases.tables import LeaseRow, QuotaRow

LEASE_SECONDS_MAX = 7 * 24 * 3600


def lease_id(key: str) -> str:
    """The id of the lease that a key asks for: known before it is granted, so that money can be reserved under it."""
    return "lease-" + hashlib.sha256(key.encode()).hexdigest()[:16]


class Leases:
    """Leases over one pool, in PostgreSQL. Whoever holds a slot is one row; nothing else says so."""

    def __init__(self, database: Database, accelerators: Accelerators) -> None:
        self._database = database
        self._accelerators = accelerators

    async def acquire(self, request: LeaseRequest) -> Lease:
        """Grant slots. The same key returns the same lease.

        Raises InvalidInput for a count or a time that makes no sense, CapacityExceeded when the pool has too few or too few
        free, QuotaExceeded when the tenant would hold more than it may.
        """
        if request.slots < 1 or not 0 < request.seconds <= LEASE_SECONDS_MAX:
            raise InvalidInput(f"A lease of {request.slots} slots for {request.seconds} s cannot be.", remedy="Ask for at least one slot.")
        pool = await self._accelerators.pool()
        async with self._database.transaction(lock=f"pool/{pool.name}") as session:
            known = await session.scalar(select(LeaseRow).where(LeaseRow.key == request.key))
            if known is not None:
                return Lease.model_validate(known)
            free = await self._free(session, pool)
            await self._refuse_over_limits(session, request, pool, len(free))
            row = self._row(request, pool, free[: request.slots])
            session.add(row)
            await session.flush()
            return Lease.model_validate(row)

    async def _refuse_over_limits(self, session: AsyncSession, request: LeaseRequest, pool: Pool, free: int) -> None:
        total = len(pool.slots)
        if request.slots > total:
            raise CapacityExceeded(
                f"{request.slots} slots were asked for and this machine has {total}.", remedy=f"Ask for at most {total}."
            )
        quota, used = await self._quota(session, request.tenant), len(await self._held(session, request.tenant))
        if used + request.slots > quota:
            raise QuotaExceeded(
                f"Team {request.tenant} holds {used} of its {quota} slots; {request.slots} more are not left.",
                remedy="Release a lease, ask for fewer, or have an administrator raise the quota.",
            )
        if request.slots > free:
            raise CapacityExceeded(
                f"{free} of {total} slots are free and {request.slots} were asked for.", remedy="Wait for a lease to end or ask for fewer."
            )

    def _row(self, request: LeaseRequest, pool: Pool, slots: list[int]) -> LeaseRow:
        now = utcnow()
        return LeaseRow(
            id=lease_id(request.key),
            key=request.key,
            tenant=request.tenant,
            pool=pool.name,
            slot_kind=pool.kind,
            slots=slots,
            purpose=request.purpose[:200],
            plan_id=request.plan_id,
            state=LeaseState.ACTIVE.value,
            granted_at=now,
            expires_at=now + timedelta(seconds=request.seconds),
        )

    async def _free(self, session: AsyncSession, pool: Pool) -> list[int]:
        """Slots that nobody holds; what is overdue ends here."""
        now = utcnow()
        taken: set[int] = set()
        for row in await session.scalars(select(LeaseRow).where(LeaseRow.state == LeaseState.ACTIVE.value, LeaseRow.pool == pool.name)):
            if not self._end_if_overdue(row, now):
                taken.update(row.slots)
        return [slot.index for slot in pool.slots if slot.index not in taken]

    @staticmethod
    def _end_if_overdue(row: LeaseRow, now: datetime) -> bool:
        """A lease ends with its term, whenever that is noticed: it never costs more than was reserved for it."""
        if row.expires_at > now:
            return False
        row.state, row.ended_at = LeaseState.EXPIRED.value, row.expires_at
        return True

    async def _held(self, session: AsyncSession, tenant: str) -> list[int]:
        rows = await session.scalars(select(LeaseRow).where(LeaseRow.tenant == tenant, LeaseRow.state == LeaseState.ACTIVE.value))
        return [slot for row in rows for slot in row.slots]

    async def _quota(self, session: AsyncSession, tenant: str) -> int:
        row = await session.get(QuotaRow, tenant)
        return row.slots_max if row else 0

    async def release(self, tenant: str, lease: str) -> Lease:
        """End a lease; one that has ended stays as it ended. Raises NotFound."""
        async with self._database.transaction() as session:
            row = await session.get(LeaseRow, lease, with_for_update=True)
            if row is None or row.tenant != tenant:
                raise NotFound(f"There is no lease {lease}.", remedy="List the leases with GET /v1/leases.")
            now = utcnow()
            if row.state == LeaseState.ACTIVE.value and not self._end_if_overdue(row, now):
                row.state, row.ended_at = LeaseState.RELEASED.value, now
            return Lease.model_validate(row)

    async def get(self, tenant: str, lease: str) -> Lease:
        """Return a lease. Raises NotFound."""
        async with self._database.transaction() as session:
            row = await session.get(LeaseRow, lease)
        if row is None or row.tenant != tenant:
            raise NotFound(f"There is no lease {lease}.", remedy="List the leases with GET /v1/leases.")
        return Lease.model_validate(row)

    async def list(self, tenant: str | None = None, *, active: bool = True, limit: int = 100, offset: int = 0) -> list[Lease]:
        """Return leases, newest first: those of a tenant, or all."""
        query = select(LeaseRow).order_by(LeaseRow.granted_at.desc()).limit(min(limit, 500)).offset(offset)
        if tenant is not None:
            query = query.where(LeaseRow.tenant == tenant)
        if active:
            query = query.where(LeaseRow.state == LeaseState.ACTIVE.value)
        async with self._database.transaction() as session:
            return [Lease.model_validate(row) for row in await session.scalars(query)]

    async def held(self) -> set[str]:
        """Return the ids of all leases that are held now; what is overdue ends here."""
        pool = await self._accelerators.pool()
        async with self._database.transaction(lock=f"pool/{pool.name}") as session:
            await self._free(session, pool)
            return set(await session.scalars(select(LeaseRow.id).where(LeaseRow.state == LeaseState.ACTIVE.value)))

    async def ended(self, leases: Collection[str]) -> Sequence[Lease]:
        """Return those of the named leases that have ended."""
        query = select(LeaseRow).where(LeaseRow.id.in_(leases), LeaseRow.ended_at.is_not(None)).order_by(LeaseRow.id)
        async with self._database.transaction() as session:
            return [Lease.model_validate(row) for row in await session.scalars(query)]

    async def usage(self, tenant: str) -> Usage:
        """Tell what a tenant holds and what is left, now."""
        pool = await self._accelerators.pool()
        async with self._database.transaction(lock=f"pool/{pool.name}") as session:
            free = await self._free(session, pool)
            return Usage(
                tenant=tenant,
                slot_kind=pool.kind,
                slots_total=len(pool.slots),
                slots_free=len(free),
                quota_slots=await self._quota(session, tenant),
                quota_slots_used=len(await self._held(session, tenant)),
            )

    async def set_quota(self, tenant: str, slots_max: int) -> None:
        """Bound what a tenant may hold from now on; leases that are held stay."""
        statement = insert(QuotaRow).values(tenant=tenant, slots_max=slots_max)
        async with self._database.transaction() as session:
            await session.execute(statement.on_conflict_do_update(index_elements=["tenant"], set_={"slots_max": slots_max}))

    async def quota(self, tenant: str) -> int:
        """Return how many slots a tenant may hold."""
        async with self._database.transaction() as session:
            return await self._quota(session, tenant)
