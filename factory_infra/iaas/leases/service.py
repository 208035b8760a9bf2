"""Grants slots of the pools to tenants: exact under concurrency, by one lock per pool."""

import builtins
import hashlib
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database, utcnow
from factory_infra.errors import Conflict, InvalidInput, LineshaftError, NotFound, QuotaExceeded
from factory_infra.foundation.accelerators.interface import AcceleratorPools
from factory_infra.foundation.accelerators.models import Pool
from factory_infra.foundation.clusters.models import Cluster, ClusterSpec
from factory_infra.foundation.clusters.naming import cluster_id
from factory_infra.iaas.leases.choice import LEASE_SECONDS_MAX, Choice, Quote, check_request, choose, quoted
from factory_infra.iaas.leases.interface import Fitness, MachineMakers, NoMachines, unfit_nodes
from factory_infra.iaas.leases.models import HELD, Lease, LeaseRequest, LeaseState, Usage
from factory_infra.iaas.leases.tables import LeaseRow, QuotaRow

PAGE_MAX = 500
TERMS_MAX = 100


def lease_id(key: str) -> str:
    """The id of the lease that a key asks for: known before it is granted, so that money can be reserved under it."""
    return "lease-" + hashlib.sha256(key.encode()).hexdigest()[:16]


def renewal_id(key: str) -> str:
    """The name of the renewal that a key asks for, known before it is granted."""
    return hashlib.sha256(key.encode()).hexdigest()[:12]


class Leases:
    """Leases over the pools, in PostgreSQL. Whoever holds a slot is one row; nothing else says so.

    Args:
        database: where the rows lie.
        accelerators: the pools and their slots.
        makers: what makes machines, for pools where that is how a lease comes about.
        fitness: who says which nodes must not be handed out.
    """

    def __init__(
        self,
        database: Database,
        accelerators: AcceleratorPools,
        makers: MachineMakers | None = None,
        fitness: Sequence[Fitness] = (),
    ) -> None:
        self._database = database
        self._accelerators = accelerators
        self._makers = makers or NoMachines()
        self._fitness = tuple(fitness)

    async def acquire(self, request: LeaseRequest) -> Lease:
        """Grant slots. The same key returns the same lease, and goes on where an earlier try was cut off.

        Raises InvalidInput for a count, a time or a type that makes no sense, NotFound for a pool that is not there, CapacityExceeded when
        it has too few or too few free, QuotaExceeded when the tenant would hold more than it may, and Unavailable (retryable, with the
        same key) when machines are being made and their maker does not answer.
        """
        check_request(request)
        known = await self._known(request.key)
        if known is None:
            known = await self._grant(request)
        if known.state is LeaseState.REFUSED:
            raise Conflict(f"Lease {known.id} was refused before.", remedy="Ask again: it is another lease then.", code="lease_refused")
        return known if known.state is not LeaseState.GRANTING else await self._make(known)

    async def quote(self, request: LeaseRequest) -> Quote:
        """Tell how many slots a grant would hold, and of what: where machines are made, every slot of them. Raises as `acquire` would."""
        check_request(request)
        known = await self._known(request.key)
        if known is not None:
            return Quote(len(known.slots), known.slot_kind, known.accelerator, known.machine)
        return quoted(request, await self._accelerators.pool(request.pool))

    async def _known(self, key: str) -> Lease | None:
        async with self._database.transaction() as session:
            row = await session.scalar(select(LeaseRow).where(LeaseRow.key == key))
        return None if row is None else Lease.model_validate(row)

    async def _grant(self, request: LeaseRequest) -> Lease:
        pool = await self._accelerators.pool(request.pool)
        quote = quoted(request, pool)
        unfit = await unfit_nodes(self._fitness, pool.name)
        async with self._database.transaction(lock=f"pool/{pool.name}") as session:
            again = await session.scalar(select(LeaseRow).where(LeaseRow.key == request.key))
            if again is not None:
                return Lease.model_validate(again)
            taken = await self._taken(session, pool.name)
            await self._refuse_over_quota(session, request.tenant, quote.slots)
            row = new_row(request, pool, choose(request, pool, taken, unfit))
            session.add(row)
            await session.flush()
            return Lease.model_validate(row)

    async def _refuse_over_quota(self, session: AsyncSession, tenant: str, slots: int) -> None:
        quota, used = await self._quota(session, tenant), len(await self._held(session, tenant))
        if used + slots > quota:
            raise QuotaExceeded(
                f"Team {tenant} holds {used} of its {quota} slots; {slots} more are not left.",
                remedy="Release a lease, ask for fewer, or have an administrator raise the quota.",
            )

    async def _make(self, lease: Lease) -> Lease:
        """Have the machines made, under the lease's id. What cannot be had ends the lease: it never began, and costs nothing."""
        try:
            cluster = await self._makers.of(lease.pool).provision(await self._cluster_spec(lease))
        except LineshaftError as error:
            if not error.retryable:
                await self._end(lease.tenant, lease.id, LeaseState.REFUSED)
            raise
        return await self._made(lease, cluster)

    async def _cluster_spec(self, lease: Lease) -> ClusterSpec:
        pool = await self._accelerators.pool(lease.pool)
        machine = next((each for each in pool.machines if each.name == lease.machine), None)
        if machine is None:
            reason = f"Pool '{lease.pool}' does not make a {lease.machine} any more."
            raise InvalidInput(reason, remedy="Plan again with what it makes now.", code="machine_unknown")
        others = [each.name for each in pool.machines if each.accelerator == machine.accelerator and each.slots == machine.slots]
        async with self._database.transaction() as session:
            row = await session.get_one(LeaseRow, lease.id)
        return ClusterSpec(
            key=lease.id,
            tenant=lease.tenant,
            lease_id=lease.id,
            run_id=lease.plan_id,
            machine=machine.name,
            alternatives=tuple(name for name in others if name != machine.name),
            count=len(lease.slots) // machine.slots,
            price_class=row.price_class,
            topology="rack" if row.topology == "rack" else "any",
        )

    async def _made(self, lease: Lease, cluster: Cluster) -> Lease:
        """Begin the term now that the machines are there; where the lease was ended meanwhile, they go at once."""
        async with self._database.transaction() as session:
            row = await session.get_one(LeaseRow, lease.id, with_for_update=True)
            row.cluster_id, row.machines = cluster.id, [machine.id for machine in cluster.machines]
            if row.state == LeaseState.GRANTING.value:
                row.state, row.granted_at = LeaseState.ACTIVE.value, utcnow()
                row.expires_at = row.granted_at + timedelta(seconds=row.terms[0])
            found = Lease.model_validate(row)
        if not found.state.held:
            await self._remove_machines(found)
            raise Conflict(f"Lease {found.id} was ended while it was granted.", remedy="Ask again.", code="lease_refused")
        return found

    async def _taken(self, session: AsyncSession, pool: str) -> set[int]:
        """Slots that somebody holds; what is overdue ends here."""
        now, taken = utcnow(), set[int]()
        for row in await session.scalars(select(LeaseRow).where(LeaseRow.state.in_(HELD), LeaseRow.pool == pool)):
            if not end_if_overdue(row, now):
                taken.update(row.slots)
        return taken

    async def _held(self, session: AsyncSession, tenant: str) -> builtins.list[int]:
        rows = await session.scalars(select(LeaseRow).where(LeaseRow.tenant == tenant, LeaseRow.state.in_(HELD)))
        return [slot for row in rows for slot in row.slots]

    async def _quota(self, session: AsyncSession, tenant: str) -> int:
        row = await session.get(QuotaRow, tenant)
        return row.slots_max if row else 0

    async def release(self, tenant: str, lease: str) -> Lease:
        """End a lease and remove what was made for it; one that has ended stays as it ended.

        Raises NotFound, and Unavailable (retryable) where the maker of its machines does not answer: it costs nothing more by then.
        """
        ended = await self._end(tenant, lease, LeaseState.RELEASED)
        await self._remove_machines(ended)
        return ended

    async def reclaim(self, tenant: str, lease: str) -> Lease:
        """End a lease on which nothing ran, as its pool's policy says."""
        ended = await self._end(tenant, lease, LeaseState.RECLAIMED)
        await self._remove_machines(ended)
        return ended

    async def _end(self, tenant: str, lease: str, state: LeaseState) -> Lease:
        async with self._database.transaction() as session:
            row = await session.get(LeaseRow, lease, with_for_update=True)
            if row is None or row.tenant != tenant:
                raise not_there(lease)
            now = utcnow()
            if row.state == LeaseState.GRANTING.value:
                row.state, row.ended_at = LeaseState.REFUSED.value, row.granted_at
            elif row.state == LeaseState.ACTIVE.value and not end_if_overdue(row, now):
                row.state, row.ended_at = state.value, now
            return Lease.model_validate(row)

    async def note_machines(self, lease: str, machines: builtins.list[str]) -> None:
        """Keep which machines a lease has now, after one was replaced. One that has ended stays as it is."""
        async with self._database.transaction() as session:
            row = await session.get(LeaseRow, lease, with_for_update=True)
            if row is not None and row.state in HELD:
                row.machines = machines

    async def _remove_machines(self, lease: Lease) -> None:
        """Have the machines of an ended lease removed, also those of a grant that was cut off before it could tell of them."""
        async with self._database.transaction() as session:
            row = await session.get_one(LeaseRow, lease.id)
        if row.cluster_gone:
            return
        maker = self._makers.of(lease.pool)
        with suppress(NotFound):  # by its name, which is known before it is there: a list may not show yet what was made just now
            await maker.release(cluster_id(lease.id), lease.tenant)
        async with self._database.transaction() as session:
            (await session.get_one(LeaseRow, lease.id, with_for_update=True)).cluster_gone = True

    async def renew(self, tenant: str, lease: str, seconds: int, key: str) -> Lease:
        """Lengthen a lease that is held, once for each key. Raises NotFound, Conflict for one that has ended, InvalidInput."""
        if not 0 < seconds <= LEASE_SECONDS_MAX:
            raise InvalidInput(f"A renewal by {seconds} s cannot be.", remedy=f"Ask for 1 to {LEASE_SECONDS_MAX} s.")
        async with self._database.transaction() as session:
            row = await session.get(LeaseRow, lease, with_for_update=True)
            if row is None or row.tenant != tenant:
                raise not_there(lease)
            name = renewal_id(key)
            if name not in row.renewals:
                if row.state != LeaseState.ACTIVE.value or end_if_overdue(row, utcnow()):
                    raise Conflict(f"Lease {lease} is {row.state}.", remedy="Ask for a new one.", code="lease_ended")
                if len(row.terms) >= TERMS_MAX:
                    raise Conflict(f"Lease {lease} was renewed {TERMS_MAX - 1} times.", remedy="Ask for a new one.", code="lease_ended")
                row.terms, row.renewals = [*row.terms, seconds], [*row.renewals, name]
                row.expires_at += timedelta(seconds=seconds)
            return Lease.model_validate(row)

    async def get(self, tenant: str, lease: str) -> Lease:
        """Return a lease. Raises NotFound."""
        async with self._database.transaction() as session:
            row = await session.get(LeaseRow, lease)
        if row is None or row.tenant != tenant:
            raise not_there(lease)
        return Lease.model_validate(row)

    async def of(self, lease: str, tenant: str | None) -> Lease:
        """Return a lease as a caller may see it: a team its own, an administrator (None) any. Raises NotFound."""
        async with self._database.transaction() as session:
            row = await session.get(LeaseRow, lease)
        if row is None or tenant not in (None, row.tenant):
            raise not_there(lease)
        return Lease.model_validate(row)

    async def list(
        self, tenant: str | None = None, *, active: bool = True, pool: str = "", limit: int = 100, offset: int = 0
    ) -> builtins.list[Lease]:
        """Return leases, newest first: those of a tenant, or all; with a pool, only those in it."""
        query = select(LeaseRow).order_by(LeaseRow.granted_at.desc(), LeaseRow.id).limit(min(limit, PAGE_MAX)).offset(offset)
        if tenant is not None:
            query = query.where(LeaseRow.tenant == tenant)
        if active:
            query = query.where(LeaseRow.state.in_(HELD))
        if pool:
            query = query.where(LeaseRow.pool == pool)
        async with self._database.transaction() as session:
            return [Lease.model_validate(row) for row in await session.scalars(query)]

    async def held(self) -> set[str]:
        """Return the ids of all leases that are held now, in every pool; what is overdue ends here."""
        now = utcnow()
        async with self._database.transaction() as session:
            rows = list(await session.scalars(select(LeaseRow).where(LeaseRow.state.in_(HELD)).with_for_update()))
            return {row.id for row in rows if not end_if_overdue(row, now)}

    async def ended(self, leases: Collection[str]) -> Sequence[Lease]:
        """Return those of the named leases that have ended."""
        query = select(LeaseRow).where(LeaseRow.id.in_(leases), LeaseRow.ended_at.is_not(None)).order_by(LeaseRow.id)
        async with self._database.transaction() as session:
            return [Lease.model_validate(row) for row in await session.scalars(query)]

    async def sweep(self, granting_seconds_max: int) -> Sequence[Lease]:
        """End grants that were left in the middle, and have the machines of every ended lease removed; return those that had any."""
        before = utcnow() - timedelta(seconds=granting_seconds_max)
        query = select(LeaseRow).where(LeaseRow.cluster_gone.is_(False)).order_by(LeaseRow.granted_at)
        async with self._database.transaction() as session:
            rows = [Lease.model_validate(row) for row in await session.scalars(query)]
        for lease in [each for each in rows if each.state is LeaseState.GRANTING and each.granted_at < before]:
            await self._end(lease.tenant, lease.id, LeaseState.REFUSED)
        left = [each for each in rows if not (await self.get(each.tenant, each.id)).state.held]
        for lease in left:
            await self._remove_machines(lease)
        return left

    async def usage(self, tenant: str, pool: str = "") -> Usage:
        """Tell what a tenant holds and what is left in a pool, now."""
        found = await self._accelerators.pool(pool)
        unfit = await unfit_nodes(self._fitness, found.name)
        async with self._database.transaction(lock=f"pool/{found.name}") as session:
            taken = await self._taken(session, found.name)
            return Usage(
                tenant=tenant,
                pool=found.name,
                slot_kind=found.kind,
                slots_total=len(found.slots),
                slots_free=sum(slot.index not in taken and slot.node not in unfit for slot in found.slots),
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


def new_row(request: LeaseRequest, pool: Pool, chosen: Choice) -> LeaseRow:
    """The row of a grant: held from now on. Where machines must be made, its term begins when they are there."""
    now, made = utcnow(), bool(chosen.machine)
    return LeaseRow(
        id=lease_id(request.key),
        key=request.key,
        tenant=request.tenant,
        pool=pool.name,
        slot_kind=chosen.slots[0].kind,
        slots=[slot.index for slot in chosen.slots],
        purpose=request.purpose[:200],
        plan_id=request.plan_id,
        state=(LeaseState.GRANTING if made else LeaseState.ACTIVE).value,
        granted_at=now,
        expires_at=now + timedelta(seconds=request.seconds),
        accelerator=chosen.slots[0].accelerator if made or request.accelerator else "",
        price_class=request.price_class or "on_demand",
        topology=request.topology,
        devices=[slot.device for slot in chosen.slots if slot.device],
        machine=chosen.machine,
        machines=[],
        cluster_id="",
        cluster_gone=not made,
        terms=[request.seconds],
        renewals=[],
    )


def end_if_overdue(row: LeaseRow, now: datetime) -> bool:
    """A lease ends with its term, whenever that is noticed: it never costs more than was reserved for it."""
    if row.expires_at > now or row.state == LeaseState.GRANTING.value:
        return False
    row.state, row.ended_at = LeaseState.EXPIRED.value, row.expires_at
    return True


def not_there(lease: str) -> NotFound:
    """Absent, or another team's."""
    return NotFound(f"There is no lease {lease}.", remedy="List the leases with GET /v1/leases.")
