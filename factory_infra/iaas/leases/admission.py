"""How a lease that is asked for comes in: granted at once where nobody else waits and there is room, else in turn, else refused."""

from contextlib import suppress

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database, utcnow
from factory_infra.errors import CapacityExceeded, InvalidInput, LineshaftError, QuotaExceeded
from factory_infra.foundation.accelerators.interface import AcceleratorPools
from factory_infra.foundation.accelerators.models import Pool
from factory_infra.iaas.leases.choice import Choice, check_request, choose, quoted, short_of
from factory_infra.iaas.leases.granting import LOCK, Granting, Ground, guard, refusal
from factory_infra.iaas.leases.models import HELD, Lease, LeaseRequest, LeaseState
from factory_infra.iaas.leases.pool_quotas import check, refuse_over_quotas
from factory_infra.iaas.leases.rows import end_if_overdue, grant, pools_of, queued_row
from factory_infra.iaas.leases.tables import LeaseRow, QuotaRow
from factory_infra.iaas.scheduling.rules import queue_of


class Admission:
    """Takes requests in.

    Args:
        database: where the rows lie.
        accelerators: the pools and their slots.
        granting: who decides where several ask.
    """

    def __init__(self, database: Database, accelerators: AcceleratorPools, granting: Granting) -> None:
        self._database = database
        self._accelerators = accelerators
        self._granting = granting

    async def grant(self, request: LeaseRequest) -> Lease:
        """Grant what is asked for, or let it wait; under its key, once. Raises what refuses it."""
        row = await self.asked_row(request)
        ground = await self._granting.ground({*pools_of(row), *await self.crowded()})
        async with self._database.transaction(lock=LOCK, whole=True) as session:
            again = await session.scalar(select(LeaseRow).where(LeaseRow.key == request.key))
            if again is not None:
                return Lease.model_validate(again)
            await self._admit(session, ground, row, request)
            return Lease.model_validate(row)

    async def asked_row(self, request: LeaseRequest) -> LeaseRow:
        """The row of a lease as it is asked for, written nowhere yet. Raises what refuses it for ever."""
        check_request(request)
        pool = await self._accelerators.pool(request.pool)
        queue = queue_of(request.tenant, request.queue, self._granting.rules.quotas())
        self._granting.rules.policy(pool.name)
        row = queued_row(request, pool, quoted(request, pool), queue)
        for name in request.or_pools:
            self._alike(row, await self._accelerators.pool(name), request)
        check(request.tenant, "", 0, row.slots_wanted, await self._quota(request.tenant))
        return row

    def _alike(self, row: LeaseRow, other: Pool, request: LeaseRequest) -> None:
        """Raise InvalidInput `pools_differ` for a pool that cannot stand in for the first one."""
        found, rules = quoted(request, other), self._granting.rules
        if (found.slots, found.slot_kind) != (row.slots_wanted, row.slot_kind) or rules.policy(other.name) != rules.policy(row.pool):
            raise InvalidInput(
                f"Pool '{other.name}' cannot stand in for '{row.pool}': it would give {found.slots} {found.slot_kind} slots in place of "
                f"{row.slots_wanted} {row.slot_kind}, or has another scheduling policy.",
                remedy="Name pools that are alike, or ask for one.",
                code="pools_differ",
            )

    async def crowded(self) -> set[str]:
        """The pools for which somebody waits."""
        async with self._database.transaction(whole=True) as session:
            query = select(LeaseRow.pool, LeaseRow.wanted["or_pools"]).where(LeaseRow.state == LeaseState.QUEUED.value)
            return {name for pool, others in await session.execute(query.distinct()) for name in (pool, *(others or []))}

    async def _admit(self, session: AsyncSession, ground: Ground, row: LeaseRow, request: LeaseRequest) -> None:
        """Grant at once where nobody else waits and there is room; else by a pass, in which it takes its turn. Raises what refuses."""
        await guard(session)
        await self._end_overdue(session)
        others = await session.scalar(select(LeaseRow.id).where(LeaseRow.state == LeaseState.QUEUED.value).limit(1))
        alone = others is None and not self._granting.rules.quotas().queues
        if alone and not request.wait_seconds and not request.slots_min:
            await self._grant_alone(session, ground, row, request)
        elif alone:
            with suppress(CapacityExceeded, QuotaExceeded):
                await self._grant_alone(session, ground, row, request)
        session.add(row)
        await session.flush()
        if row.state == LeaseState.QUEUED.value:
            await self._granting.run(session, ground)
            if row.state == LeaseState.QUEUED.value and not request.wait_seconds:
                raise await self._refused(session, ground, row)
        if row.state != LeaseState.QUEUED.value:
            row.asked_at = row.give_up_at = None  # it did not wait
        await session.flush()

    async def _end_overdue(self, session: AsyncSession) -> None:
        now = utcnow()
        overdue = select(LeaseRow).where(LeaseRow.state == LeaseState.ACTIVE.value, LeaseRow.expires_at <= now)
        for row in await session.scalars(overdue.order_by(LeaseRow.id).with_for_update()):
            end_if_overdue(row, now)

    async def _grant_alone(self, session: AsyncSession, ground: Ground, row: LeaseRow, request: LeaseRequest) -> None:
        pool, chosen = await self._choose(session, ground, row, request)
        await refuse_over_quotas(session, row.tenant, pool, chosen.slots[0].accelerator, len(chosen.slots))
        grant(row, chosen, pool)

    async def _choose(self, session: AsyncSession, ground: Ground, row: LeaseRow, request: LeaseRequest) -> tuple[Pool, Choice]:
        """The first of the pools that has room now. Raises for the preferred one where none has."""
        layouts = [ground.layout(name, []) for name in pools_of(row)]
        refused: CapacityExceeded | None = None
        for layout in layouts:
            try:
                return layout.pool, choose(request, layout.pool, await taken_of(session, layout.pool.name), layout.unfit)
            except CapacityExceeded as error:
                refused = refused or error
        # who has no quota left is told that first: waiting would not help
        await refuse_over_quotas(session, row.tenant, layouts[0].pool, row.accelerator, row.slots_wanted)
        raise refused or short_of(row.slots_wanted, 0, 0, some_unfit=False)

    async def _refused(self, session: AsyncSession, ground: Ground, row: LeaseRow) -> LineshaftError:
        layout, taken = ground.layout(row.pool, []), await taken_of(session, row.pool)
        free = sum(slot.index not in taken and slot.node not in layout.unfit for slot in layout.pool.slots)
        return refusal(row, layout.pool, free)

    async def _quota(self, tenant: str) -> int:
        async with self._database.transaction() as session:
            row = await session.get(QuotaRow, tenant)
        return row.slots_max if row else 0


async def taken_of(session: AsyncSession, pool: str) -> set[int]:
    """Slots of a pool that somebody holds."""
    rows = await session.scalars(select(LeaseRow.slots).where(*standing(), LeaseRow.pool == pool))
    return {slot for slots in rows for slot in slots}


def standing() -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """What says of a row that its slots are taken: it is held, and its term is not over. A grant's term begins when it is made."""
    return LeaseRow.state.in_(HELD), (LeaseRow.expires_at > utcnow()) | (LeaseRow.state == LeaseState.GRANTING.value)
