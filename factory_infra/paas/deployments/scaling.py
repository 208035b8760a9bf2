"""An endpoint's servers grow with its load and shrink to none; a question to one that sleeps waits until its server is up."""

import math
import secrets
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database, utcnow
from factory_infra.errors import EffectFailed, NotFound
from factory_infra.paas.deployments.counts import Counts
from factory_infra.paas.deployments.models import EndpointState
from factory_infra.paas.deployments.providers.local import LocalDeployments
from factory_infra.paas.deployments.rollout_models import SideReport
from factory_infra.paas.deployments.routes import DRAIN_SECONDS
from factory_infra.paas.deployments.rows import chats, find, lock_of, rows_only, server_of
from factory_infra.paas.deployments.serving import Server
from factory_infra.paas.deployments.standing import open_rollout
from factory_infra.paas.deployments.tables import EndpointRow
from factory_infra.paas.deployments.tally import WINDOW_SECONDS, last_asked, recent, window_of
from factory_infra.paas.deployments.traffic_tables import ReplicaRow, ScalingRow

LOOK_BACK_SECONDS = 20.0
COOL_SECONDS = 60.0
"""So long the load must be low before a server is taken away: starting one again costs a second."""
SERVERS_MAX = 16


class NewScaling(BaseModel):
    """How an endpoint's servers grow and shrink."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    servers_max: int = Field(default=1, ge=1, le=SERVERS_MAX)
    parallel_target: float = Field(default=4.0, gt=0, le=1000, description="So many requests at one time are one server's.")
    idle_seconds: float | None = Field(
        default=None, ge=10, le=30 * 86_400, description="Unasked for so long it sleeps; never where left out."
    )


class Scaling(BaseModel):
    """How an endpoint's servers grow and shrink, and how many there are."""

    tenant: str
    endpoint: str
    servers_max: int = 1
    parallel_target: float = 4.0
    idle_seconds: float | None = None
    servers: int
    """Of the live version: none while it sleeps."""
    asleep: bool
    set_by: str = ""
    set_at: datetime | None = None


class ServerHealth(BaseModel):
    """One server, asked now."""

    job_id: str
    role: str
    """live, replica or candidate."""
    up: bool


class EndpointHealth(BaseModel):
    """How an endpoint does."""

    tenant: str
    endpoint: str
    state: str
    """healthy, degraded (a server is down), down, or asleep."""
    servers: list[ServerHealth]
    parallel: float
    """Requests at one time, over the last moments."""
    minute: SideReport
    """What the live version answered within the last minute."""


class Scaler:
    """Settings of endpoints' servers, and the turn that follows them. Any number of processes may take turns at once."""

    def __init__(self, database: Database, deployments: LocalDeployments) -> None:
        self._database = database
        self._deployments = deployments

    async def set(self, tenant: str, name: str, wanted: NewScaling, key: str, by: str = "") -> Scaling:
        """Have an endpoint scaled so from now on; the same key again changes nothing. Raises NotFound, InvalidInput `endpoint_chats`."""
        async with self._database.transaction(lock=lock_of(tenant, name)) as session:
            rows_only(await self._live(session, tenant, name))
            known = await session.get(ScalingRow, (tenant, name))
            if known is None or known.key != key:
                set_to = {**wanted.model_dump(), "key": key, "set_by": by, "set_at": utcnow(), "moved_at": utcnow()}
                values = insert(ScalingRow).values(tenant=tenant, name=name, **set_to)
                await session.execute(values.on_conflict_do_update(index_elements=[ScalingRow.tenant, ScalingRow.name], set_=set_to))
        return await self.get(tenant, name)

    async def get(self, tenant: str, name: str) -> Scaling:
        """How an endpoint is scaled. Raises NotFound."""
        async with self._database.transaction() as session:
            row = await self._live(session, tenant, name)
            known = await session.get(ScalingRow, (tenant, name), populate_existing=True)
            ready = len([each for each in await replicas(session, row) if each.ready and each.leaving_at is None])
        told = {"tenant": tenant, "endpoint": name, "servers": 0 if row.asleep else 1 + ready, "asleep": row.asleep}
        fields = ("servers_max", "parallel_target", "idle_seconds", "set_by", "set_at")
        return Scaling.model_validate({**told, **({field: getattr(known, field) for field in fields} if known is not None else {})})

    async def health(self, tenant: str, name: str) -> EndpointHealth:
        """Ask every server of an endpoint whether it is up. Raises NotFound."""
        async with self._database.transaction() as session:
            row = await self._live(session, tenant, name)
            found = [("live", server_of(row))] if not row.asleep else []
            found += [("replica", Server(job_id=each.job_id, port=each.port)) for each in await replicas(session, row) if each.ready]
            rollout = await open_rollout(session, tenant, name)
            if rollout is not None and rollout.state != "preparing":
                found.append(("candidate", Server(job_id=rollout.job_id, port=rollout.port)))
        serving = self._deployments.serving(row.pool)
        servers = [ServerHealth(job_id=each.job_id, role=role, up=await serving.answers(tenant, each)) for role, each in found]
        return EndpointHealth(
            tenant=tenant,
            endpoint=name,
            state=state_of(row, servers),
            servers=servers,
            parallel=round(parallel_of(await recent(self._database, tenant, name, LOOK_BACK_SECONDS)), 3),
            minute=(await recent(self._database, tenant, name, 60.0)).report(),
        )

    async def places(self) -> list[tuple[str, str]]:
        """Endpoints at which there is something to do."""
        queries = (select(ScalingRow.tenant, ScalingRow.name), select(ReplicaRow.tenant, ReplicaRow.name).distinct())
        async with self._database.transaction() as session:
            return sorted({(tenant, name) for query in queries for tenant, name in (await session.execute(query)).tuples()})

    async def turn(self, tenant: str, name: str) -> None:
        """Bring the servers nearer to what the load asks for: at most one more, or one less. Raises EffectFailed, Unavailable."""
        async with self._database.transaction(lock=f"scaling:{tenant}/{name}") as session:
            row = await find(session, tenant, name)
            settings = await session.get(ScalingRow, (tenant, name))
            have = await replicas(session, row)
        await self._clear(row, have)
        if row.state != EndpointState.LIVE or row.asleep or settings is None or chats(row):
            return
        if await self._may_sleep(row, settings) and await self._sleep(row):
            return
        mine = [each for each in have if fits(each, row) and each.leaving_at is None]
        load = parallel_of(await recent(self._database, tenant, name, LOOK_BACK_SECONDS))
        wanted = min(max(math.ceil(load / settings.parallel_target), 1), settings.servers_max)
        for each in mine:
            if not each.ready:
                await self._start(row, each.job_id)
        if wanted > 1 + len(mine):
            await self._grow(row)
        elif wanted < 1 + len(mine) and utcnow() - settings.moved_at > timedelta(seconds=COOL_SECONDS):
            await self._shrink(row, mine[-1].job_id)

    async def _live(self, session: AsyncSession, tenant: str, name: str) -> EndpointRow:
        row = await find(session, tenant, name)
        if row.state != EndpointState.LIVE:
            raise NotFound(f"Endpoint {name} is retired.", remedy="Deploy a version to it.", code="endpoint_retired")
        return row

    async def _clear(self, row: EndpointRow, have: list[ReplicaRow]) -> None:
        """Take away what is asked no more: servers of another version, of an endpoint that sleeps or is retired, dead and drained ones."""
        for each in have:
            stays = row.state == EndpointState.LIVE and not row.asleep and fits(each, row)
            dead = each.ready and not await self._deployments.serving(row.pool).answers(row.tenant, server(each))
            if each.leaving_at is None and (not stays or dead):
                await self._leave(row, each.job_id)
            elif each.leaving_at is not None and utcnow() - each.leaving_at > timedelta(seconds=DRAIN_SECONDS):
                await self._remove(row, each.job_id)

    async def _leave(self, row: EndpointRow, job_id: str) -> None:
        async with self._database.transaction(lock=lock_of(row.tenant, row.name)) as session:
            found = await session.get(ReplicaRow, job_id)
            if found is not None and found.leaving_at is None:
                found.leaving_at = utcnow()
        self._deployments.traffic.routes.forget(row.tenant, row.name)

    async def _remove(self, row: EndpointRow, job_id: str) -> None:
        async with self._database.transaction(lock=lock_of(row.tenant, row.name)) as session:
            found = await session.get(ReplicaRow, job_id)
            if found is not None:
                await session.delete(found)
        await self._deployments.tidy(row.tenant, row.name)

    async def _may_sleep(self, row: EndpointRow, settings: ScalingRow) -> bool:
        if settings.idle_seconds is None:
            return False
        asked = await last_asked(self._database, row.tenant, row.name)
        since = max(moment for moment in (asked, row.updated_at, settings.set_at, settings.moved_at) if moment is not None)
        return utcnow() - since > timedelta(seconds=settings.idle_seconds)

    async def _sleep(self, row: EndpointRow) -> bool:
        """Let no server stand, unless a roll-out is open. Whoever asks from now on wakes it, and waits for that."""
        async with self._database.transaction(lock=lock_of(row.tenant, row.name)) as session:
            found = await find(session, row.tenant, row.name)
            if found.state != EndpointState.LIVE or await open_rollout(session, row.tenant, row.name) is not None:
                return False
            found.asleep = True
            for each in await replicas(session, found):
                await session.delete(each)
        await self._deployments.tidy(row.tenant, row.name)
        return True

    async def _grow(self, row: EndpointRow) -> None:
        async with self._database.transaction(lock=lock_of(row.tenant, row.name)) as session:
            found = await find(session, row.tenant, row.name)
            if (found.model_name, found.version, found.state) != (row.model_name, row.version, EndpointState.LIVE):
                return
            version = await self._deployments.registered(row.tenant, row.model_name, row.version)
            job_id = self._deployments.first_job_id(version, row.name, f"replica/{secrets.token_hex(8)}", row.pool)
            session.add(ReplicaRow(job_id=job_id, tenant=row.tenant, name=row.name, model_name=row.model_name, version=row.version))
        await self._start(row, job_id)

    async def _start(self, row: EndpointRow, job_id: str) -> None:
        """Start a replica whose row is written; it is asked once it has proved itself."""
        version = await self._deployments.registered(row.tenant, row.model_name, row.version)
        try:
            started = await self._deployments.serving(row.pool).start(row.name, version, job_id)
        except EffectFailed:
            await self._remove(row, job_id)
            raise
        async with self._database.transaction(lock=lock_of(row.tenant, row.name)) as session:
            found = await session.get(ReplicaRow, job_id)
            if found is not None:
                await session.delete(found)
                await session.flush()
                fields = {"tenant": row.tenant, "name": row.name, "model_name": row.model_name, "version": row.version}
                session.add(ReplicaRow(job_id=started.job_id, port=started.port, ready=True, **fields))
                await self._moved(session, row)
        self._deployments.traffic.routes.forget(row.tenant, row.name)

    async def _shrink(self, row: EndpointRow, job_id: str) -> None:
        await self._leave(row, job_id)
        async with self._database.transaction() as session:
            await self._moved(session, row)

    async def _moved(self, session: AsyncSession, row: EndpointRow) -> None:
        settings = await session.get(ScalingRow, (row.tenant, row.name))
        if settings is not None:
            settings.moved_at = utcnow()


def state_of(row: EndpointRow, servers: list[ServerHealth]) -> str:
    """An endpoint's health in a word."""
    if row.asleep:
        return "asleep"
    live = [each.up for each in servers if each.role != "candidate"]
    return "healthy" if all(live) else "degraded" if any(live) else "down"


def fits(replica: ReplicaRow, row: EndpointRow) -> bool:
    """Whether a replica serves the version that is live."""
    return (replica.model_name, replica.version) == (row.model_name, row.version)


def server(replica: ReplicaRow) -> Server:
    """A replica's server."""
    return Server(job_id=replica.job_id, port=replica.port)


def parallel_of(counts: Counts) -> float:
    """Requests at one time (Little's law: time spent on them by time passed), over the windows that `recent` looks at."""
    now = utcnow()
    passed = (now - window_of(now - timedelta(seconds=LOOK_BACK_SECONDS))).total_seconds()
    return counts.busy_ms / 1000 / max(passed, WINDOW_SECONDS)


async def replicas(session: AsyncSession, row: EndpointRow) -> list[ReplicaRow]:
    """An endpoint's replicas, oldest first."""
    query = select(ReplicaRow).where(ReplicaRow.tenant == row.tenant, ReplicaRow.name == row.name)
    return list(await session.scalars(query.order_by(ReplicaRow.created_at, ReplicaRow.job_id)))
