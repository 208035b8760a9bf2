"""Reads what findings are made of: leases with their jobs and slots, endpoints with their askers, clusters, and what is free where."""

from collections.abc import Collection
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database, utcnow
from factory_infra.errors import LineshaftError
from factory_infra.foundation.accelerators.interface import AcceleratorPools
from factory_infra.foundation.clusters.models import ClusterState
from factory_infra.foundation.clusters.tables import ClusterRow
from factory_infra.iaas.jobs.models import Job
from factory_infra.iaas.jobs.tables import JobRow
from factory_infra.iaas.leases.models import HELD, LeaseState
from factory_infra.iaas.leases.tables import LeaseRow
from factory_infra.paas.deployments.models import EndpointState
from factory_infra.paas.deployments.rows import chats
from factory_infra.paas.deployments.tables import EndpointRow
from factory_infra.paas.deployments.traffic_tables import CountRow, ReplicaRow, ScalingRow
from factory_infra.paas.optimization.findings import ClusterFacts, EndpointFacts, Facts, LeaseFacts, RoomFacts, Thresholds
from factory_infra.paas.optimization.interface import Ledger
from factory_infra.paas.optimization.looking import GAP_SECONDS_MAX
from factory_infra.paas.optimization.tables import ActivityRow, CapacityRow
from factory_infra.second_wall import bounded

CLUSTER_STANDS = (ClusterState.READY.value, ClusterState.PARTIAL.value, ClusterState.BROKEN.value)


class FactReader:
    """Reads them in one transaction, for a team or for all. Free slots are counted over all teams."""

    def __init__(self, database: Database, ledger: Ledger, accelerators: AcceleratorPools) -> None:
        self._database = database
        self._ledger = ledger
        self._accelerators = accelerators

    async def read(self, team: str | None, limits: Thresholds) -> Facts:
        """Return all that is known now."""
        now, team = utcnow(), bounded(team)
        async with self._database.transaction(whole=True) as session:
            rows = await held_rows(session, now, team)
            jobs = await jobs_by_lease(session, [row.id for row in rows])
            leases = [self._lease(row, jobs.get(row.id, []), await busy_of(session, row, now, limits), now) for row in rows]
            endpoints = await endpoint_facts(session, team)
            rooms = await self._rooms(session, now)
            clusters = await cluster_rows(session, team)
            used = {row.id: await used_of(session, row) for row in clusters}
        return Facts(now, leases, endpoints, [await self._cluster(row, used[row.id], now) for row in clusters], rooms)

    def _lease(self, row: LeaseRow, jobs: list[Job], busy: dict[int, tuple[int, float]], now: datetime) -> LeaseFacts:
        ended = [job.finished_at for job in jobs if job.state.final and job.finished_at is not None]
        return LeaseFacts(
            id=row.id,
            team=row.tenant,
            project=row.project,
            pool=row.pool,
            slot_kind=row.slot_kind,
            accelerator=row.accelerator,
            price_class=row.price_class,
            slots=tuple(row.slots),
            purpose=row.purpose,
            granted_at=row.granted_at,
            expires_at=row.expires_at,
            hour_price=self._ledger.hour_price(row.slot_kind, row.accelerator, row.price_class, now),
            jobs_running=sum(not job.state.final for job in jobs),
            last_job_ended_at=max(ended, default=None),
            busy=busy,
            machines=bool(row.machine),
        )

    async def _rooms(self, session: AsyncSession, now: datetime) -> list[RoomFacts]:
        """What is free of what stood at the last look."""
        fresh = now - timedelta(seconds=GAP_SECONDS_MAX)
        stands = list(await session.scalars(select(CapacityRow).where(CapacityRow.seen_until > fresh).order_by(CapacityRow.id)))
        taken: dict[str, set[int]] = {}
        for pool, slots in (await session.execute(select(LeaseRow.pool, LeaseRow.slots).where(LeaseRow.state.in_(HELD)))).tuples():
            taken.setdefault(pool, set()).update(slots)
        newest = {(row.pool, row.slot_kind, row.accelerator): row for row in stands}
        return [
            RoomFacts(
                pool=row.pool,
                slot_kind=row.slot_kind,
                accelerator=row.accelerator,
                free=len(set(row.slots) - taken.get(row.pool, set())),
                hour_price=self._ledger.hour_price(row.slot_kind, row.accelerator, row.price_class, now),
            )
            for row in newest.values()
        ]

    async def _cluster(self, row: ClusterRow, used: tuple[bool, datetime | None], now: datetime) -> ClusterFacts:
        return ClusterFacts(
            id=row.id,
            team=row.tenant,
            pool=row.pool,
            machine=row.machine,
            count=row.count,
            asked_at=row.asked_at,
            expires_at=row.expires_at,
            hour_price=await self._machines_price(row, now),
            last_used_at=used[1],
            in_use=used[0],
        )

    async def _machines_price(self, row: ClusterRow, now: datetime) -> Decimal | None:
        """What the machines of a cluster cost an hour; None where their pool does not answer, or the book knows no price."""
        try:
            pool = await self._accelerators.pool(row.pool)
        except LineshaftError:
            return None
        machine = next((each for each in pool.machines if each.name == row.machine), None)
        if machine is None:
            return None
        price = self._ledger.hour_price(machine.kind, machine.accelerator, row.price_class, now)
        return None if price is None else price * machine.slots * row.count


async def held_rows(session: AsyncSession, now: datetime, team: str | None) -> list[LeaseRow]:
    """Leases that hold slots and whose term is not over."""
    query = select(LeaseRow).where(LeaseRow.state == LeaseState.ACTIVE.value, LeaseRow.expires_at > now)
    query = query if team is None else query.where(LeaseRow.tenant == team)
    return list(await session.scalars(query.order_by(LeaseRow.granted_at, LeaseRow.id)))


async def jobs_by_lease(session: AsyncSession, leases: Collection[str]) -> dict[str, list[Job]]:
    """The jobs of leases as they are known now."""
    found: dict[str, list[Job]] = {}
    for row in await session.scalars(select(JobRow).where(JobRow.lease_id.in_(list(leases)))):
        job = Job.model_validate(row.last)
        ended = job.finished_at or row.ended_at or row.asked_at
        found.setdefault(row.lease_id, []).append(job.model_copy(update={"finished_at": ended}) if job.state.final else job)
    return found


async def busy_of(session: AsyncSession, row: LeaseRow, now: datetime, limits: Thresholds) -> dict[int, tuple[int, float]]:
    """How busy each slot of a lease was since it was granted, in hours that were looked at wholly."""
    begin = max(row.granted_at, now - timedelta(hours=4 * limits.busy_hours_min))
    first = begin.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    query = (
        select(ActivityRow.slot, func.count(), func.sum(ActivityRow.busy_percent_sum) / func.sum(ActivityRow.looks))
        .where(ActivityRow.pool == row.pool, ActivityRow.slot.in_(row.slots), ActivityRow.hour >= first)
        .where(ActivityRow.hour < now.replace(minute=0, second=0, microsecond=0))
        .group_by(ActivityRow.slot)
    )
    return {slot: (int(hours), float(mean)) for slot, hours, mean in await session.execute(query)}


async def endpoint_facts(session: AsyncSession, team: str | None) -> list[EndpointFacts]:
    """Endpoints that are live, awake, may sleep, and do not yet when nobody asks."""
    query = select(EndpointRow).where(EndpointRow.state == EndpointState.LIVE.value, EndpointRow.asleep.is_(False))
    query = query if team is None else query.where(EndpointRow.tenant == team)
    rows = [row for row in await session.scalars(query.order_by(EndpointRow.tenant, EndpointRow.name)) if not chats(row)]
    return [facts for row in rows if (facts := await one_endpoint(session, row)) is not None]


async def one_endpoint(session: AsyncSession, row: EndpointRow) -> EndpointFacts | None:
    """One of them; None where it sleeps by itself."""
    scaling = await session.get(ScalingRow, (row.tenant, row.name))
    if scaling is not None and scaling.idle_seconds is not None:
        return None
    mine = (CountRow.tenant == row.tenant, CountRow.name == row.name, CountRow.requests > 0)
    replicas = select(func.count()).where(ReplicaRow.tenant == row.tenant, ReplicaRow.name == row.name, ReplicaRow.leaving_at.is_(None))
    return EndpointFacts(
        team=row.tenant,
        name=row.name,
        pool=row.pool,
        live_since=row.updated_at,
        last_asked_at=await session.scalar(select(func.max(CountRow.window_at)).where(*mine)),
        servers=1 + int(await session.scalar(replicas) or 0),
        servers_max=scaling.servers_max if scaling else 1,
        parallel_target=scaling.parallel_target if scaling else 4.0,
    )


async def cluster_rows(session: AsyncSession, team: str | None) -> list[ClusterRow]:
    """Clusters that stand by themselves: those of leases go with their leases."""
    query = select(ClusterRow).where(ClusterRow.ended_at.is_(None), ClusterRow.lease_id == "", ClusterRow.state.in_(CLUSTER_STANDS))
    query = query if team is None else query.where(ClusterRow.tenant == team)
    return list(await session.scalars(query.order_by(ClusterRow.asked_at, ClusterRow.id)))


async def used_of(session: AsyncSession, row: ClusterRow) -> tuple[bool, datetime | None]:
    """Whether the team has a job in the cluster's pool now, and when the last one ended."""
    mine = (JobRow.tenant == row.tenant, JobRow.pool == row.pool)
    running = await session.scalar(select(func.count()).where(*mine, JobRow.final.is_(False)))
    return bool(running), await session.scalar(select(func.max(JobRow.ended_at)).where(*mine))
