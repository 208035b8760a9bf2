"""Grants slots of the pools to tenants: exact under concurrency, by one lock for all grants."""

import builtins
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database, utcnow
from factory_infra.errors import CapacityExceeded, Conflict, InvalidInput, LineshaftError, NotFound
from factory_infra.foundation.accelerators.interface import AcceleratorPools
from factory_infra.foundation.clusters.models import Cluster, ClusterSpec
from factory_infra.foundation.clusters.naming import cluster_id
from factory_infra.iaas.leases.admission import Admission, standing, taken_of
from factory_infra.iaas.leases.choice import LEASE_SECONDS_MAX, Quote, check_request, quoted
from factory_infra.iaas.leases.granting import LOCK, Granting
from factory_infra.iaas.leases.interface import Fitness, MachineMakers, NoMachines, unfit_nodes
from factory_infra.iaas.leases.models import HELD, OPEN, Lease, LeaseRequest, LeaseState, Usage
from factory_infra.iaas.leases.rows import (
    back_in_line,
    cluster_spec,
    end_if_overdue,
    not_there,
    renewal_id,
    withdraw,
)
from factory_infra.iaas.leases.tables import LeaseRow, QuotaRow
from factory_infra.iaas.scheduling.rules import SchedulingRules

PAGE_MAX = 500
TERMS_MAX = 100


class Granted(NamedTuple):
    """What a pass granted, and what must give way before more can be."""

    leases: list[Lease]
    to_preempt: list[str]


class Leases:
    """Leases over the pools, in PostgreSQL. Whoever holds a slot is one row; nothing else says so.

    Args:
        database: where the rows lie.
        accelerators: the pools and their slots.
        makers: what makes machines, for pools where that is how a lease comes about.
        fitness: who says which nodes must not be handed out.
        rules: how pools decide who comes first, and the tree of quotas; without them, fair shares and no tree.
    """

    def __init__(
        self,
        database: Database,
        accelerators: AcceleratorPools,
        makers: MachineMakers | None = None,
        fitness: Sequence[Fitness] = (),
        rules: SchedulingRules | None = None,
    ) -> None:
        self._database = database
        self._accelerators = accelerators
        self._makers = makers or NoMachines()
        self._fitness = tuple(fitness)
        self.granting = Granting(accelerators, fitness, rules or SchedulingRules())
        self.admission = Admission(database, accelerators, self.granting)

    async def acquire(self, request: LeaseRequest) -> Lease:
        """Grant slots, or let the request wait for them as long as it asks to: then the lease is `queued`, and passes grant it.

        The same key returns the same lease, and goes on where an earlier try was cut off. Raises InvalidInput for a count, a time, a type
        or a queue that makes no sense, NotFound for a pool that is not there, CapacityExceeded when it has too few, and for one that does
        not wait, when too few are free or others come first; QuotaExceeded when the tenant would hold more than it may, and Unavailable
        (retryable, with the same key) when machines are being made and their maker does not answer.
        """
        check_request(request)
        known = await self._known(request.key)
        if known is None:
            known = await self.admission.grant(request)
        if known.state is LeaseState.REFUSED:
            raise Conflict(f"Lease {known.id} was refused before.", remedy="Ask again: it is another lease then.", code="lease_refused")
        return known if known.state is not LeaseState.GRANTING else await self._make(known)

    async def quote(self, request: LeaseRequest) -> Quote:
        """Tell how many slots a grant would hold, and of what: where machines are made, every slot of them. Raises as `acquire` would."""
        check_request(request)
        known = await self._known(request.key)
        if known is not None:
            price_class = request.price_class or known.price_class
            return Quote(known.slots_wanted or len(known.slots), known.slot_kind, known.accelerator, known.machine, price_class)
        return quoted(request, await self._accelerators.pool(request.pool))

    async def quotes(self, request: LeaseRequest) -> Sequence[Quote]:
        """Tell what a grant would hold in each of the pools that will do: it may cost what the dearest does. Raises as `quote`."""
        others = [await self.quote(request.model_copy(update={"pool": name})) for name in request.or_pools]
        return [await self.quote(request), *others]

    async def _known(self, key: str) -> Lease | None:
        async with self._database.transaction() as session:
            row = await session.scalar(select(LeaseRow).where(LeaseRow.key == key))
        return None if row is None else Lease.model_validate(row)

    async def crowded(self) -> bool:
        """Whether a request takes its turn among others, or under a tree of quotas: then only the scheduler knows when it begins."""
        return bool(self.granting.rules.quotas().queues) or bool(await self.admission.crowded())

    async def grant_waiting(self) -> Granted:
        """Do one pass: grant what waits and may begin now, in the order of the pools' policies. Any process may do one at any time.

        Where it is cut off, it did all or nothing. What it names as to be preempted holds its slots until it is reclaimed.
        """
        pools = await self.admission.crowded()
        if not pools:
            return Granted([], [])
        ground = await self.granting.ground(pools)
        async with self._database.transaction(lock=LOCK, whole=True) as session:
            passed = await self.granting.run(session, ground)
            await session.flush()
            return Granted([Lease.model_validate(row) for row in passed.granted], passed.to_preempt)

    async def unmade(self) -> Sequence[Lease]:
        """Return leases that waited, were granted, and whose machines are not there yet: whoever finds them has them made."""
        query = select(LeaseRow).where(LeaseRow.state == LeaseState.GRANTING.value, LeaseRow.asked_at.is_not(None))
        async with self._database.transaction(whole=True) as session:
            return [Lease.model_validate(row) for row in await session.scalars(query)]

    async def make(self, lease: Lease) -> Lease:
        """Have the machines of a granted lease made. Raises as `acquire`."""
        return await self._make(lease)

    async def _make(self, lease: Lease) -> Lease:
        """Have the machines made, under the lease's id.

        What cannot be had ends the lease: it never began, and costs nothing. One that may wait does, and they are asked for again later.
        """
        try:
            cluster = await self._makers.of(lease.pool).provision(await self._cluster_spec(lease))
        except LineshaftError as error:
            if isinstance(error, CapacityExceeded) and (queued := await self._back_in_line(lease.id, error.reason)) is not None:
                return queued
            if not error.retryable:
                await self._end(lease.tenant, lease.id, LeaseState.REFUSED)
            raise
        return await self._made(lease, cluster)

    async def _back_in_line(self, lease: str, reason: str) -> Lease | None:
        async with self._database.transaction() as session:
            row = await session.get_one(LeaseRow, lease, with_for_update=True)
            return Lease.model_validate(row) if back_in_line(row, reason) else None

    async def _cluster_spec(self, lease: Lease) -> ClusterSpec:
        pool = await self._accelerators.pool(lease.pool)
        async with self._database.transaction() as session:
            return cluster_spec(await session.get_one(LeaseRow, lease.id), pool)

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

    async def _held(self, session: AsyncSession, tenant: str) -> int:
        """How many slots a tenant holds, in all pools."""
        rows = await session.scalars(select(LeaseRow).where(*standing(), LeaseRow.tenant == tenant))
        return sum(len(row.slots) for row in rows)

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
            if row.state in {LeaseState.QUEUED.value, LeaseState.GRANTING.value}:
                withdraw(row)
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

    async def list(  # noqa: PLR0913 - each is a filter of its own
        self, tenant: str | None = None, *, active: bool = True, pool: str = "", project: str = "", limit: int = 100, offset: int = 0
    ) -> builtins.list[Lease]:
        """Return leases, newest first: of a tenant, or all; of a pool or a project where it is named.

        Active ones hold slots or wait for them.
        """
        query = select(LeaseRow).order_by(LeaseRow.granted_at.desc(), LeaseRow.id).limit(min(limit, PAGE_MAX)).offset(offset)
        if tenant is not None:
            query = query.where(LeaseRow.tenant == tenant)
        if active:
            query = query.where(LeaseRow.state.in_(OPEN))
        if pool:
            query = query.where(LeaseRow.pool == pool)
        if project:
            query = query.where(LeaseRow.project == project)
        async with self._database.transaction() as session:
            return [Lease.model_validate(row) for row in await session.scalars(query)]

    async def held(self) -> set[str]:
        """Return the ids of all leases that are held or waited for now, in every pool; what is overdue ends here."""
        now = utcnow()
        async with self._database.transaction() as session:
            rows = list(await session.scalars(select(LeaseRow).where(LeaseRow.state.in_(OPEN)).order_by(LeaseRow.id).with_for_update()))
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
        async with self._database.transaction(whole=True) as session:
            taken = await taken_of(session, found.name)
            return Usage(
                tenant=tenant,
                pool=found.name,
                slot_kind=found.kind,
                slots_total=len(found.slots),
                slots_free=sum(slot.index not in taken and slot.node not in unfit for slot in found.slots),
                quota_slots=await self._quota(session, tenant),
                quota_slots_used=await self._held(session, tenant),
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
