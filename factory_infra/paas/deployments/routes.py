"""Where an endpoint's requests go now: read from the database, remembered for half a second."""

import asyncio
import time
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database
from factory_infra.errors import NotFound
from factory_infra.paas.deployments.models import EndpointState
from factory_infra.paas.deployments.rollout_models import RolloutPlan, RolloutState, Strategy
from factory_infra.paas.deployments.rows import find, server_of
from factory_infra.paas.deployments.serving import Server
from factory_infra.paas.deployments.tables import EndpointRow
from factory_infra.paas.deployments.traffic_tables import ConsentRow, ReplicaRow, RolloutRow

FRESH_SECONDS = 0.5
"""So long a route is believed: servers that lost their traffic answer for longer than that."""
DRAIN_SECONDS = 3.0
"""So long a server that lost its traffic still answers, for processes that have not heard of it."""
ROUTES_MAX = 10_000


@dataclass(frozen=True)
class Candidate:
    """The version that is coming in."""

    rollout_id: str
    step: int
    share: float
    shadow: bool
    compares: bool
    model_name: str
    version: int
    server: Server


@dataclass(frozen=True)
class Route:
    """Where requests go."""

    row: EndpointRow
    live: tuple[Server, ...]
    """Servers of the live version; none while the endpoint sleeps."""
    candidate: Candidate | None
    keep_share: float
    """Of the requests, how many are kept in the log: none without the team's consent."""


class Routes:
    """Routes of the endpoints that this process asks. One read at a time for all callers of an endpoint."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[tuple[str, str], tuple[float, Route]] = {}
        self._reading: dict[tuple[str, str], asyncio.Task[Route]] = {}

    async def get(self, tenant: str, name: str, *, anew: bool = False) -> Route:
        """Return the route of a live endpoint. Raises NotFound."""
        at, route = self._known.get((tenant, name), (0.0, None))
        if route is not None and not anew and time.monotonic() - at < FRESH_SECONDS:
            return route
        reading = self._reading.get((tenant, name))
        if reading is None:
            reading = asyncio.create_task(self._read(tenant, name))
            self._reading[tenant, name] = reading
            reading.add_done_callback(lambda task: self._read_ended(tenant, name, task))
        return await asyncio.shield(reading)

    def forget(self, tenant: str, name: str) -> None:
        """Read it anew at the next question: something changed."""
        self._known.pop((tenant, name), None)
        self._reading.pop((tenant, name), None)

    def _read_ended(self, tenant: str, name: str, task: "asyncio.Task[Route]") -> None:
        if self._reading.get((tenant, name)) is task:
            del self._reading[tenant, name]
            if not task.cancelled() and task.exception() is None:
                if len(self._known) >= ROUTES_MAX:
                    self._known.clear()
                self._known[tenant, name] = (time.monotonic(), task.result())
        elif not task.cancelled():
            task.exception()

    async def _read(self, tenant: str, name: str) -> Route:
        async with self._database.transaction() as session:
            row = await find(session, tenant, name)
            if row.state != EndpointState.LIVE:
                raise NotFound(f"Endpoint {name} is retired.", remedy="Deploy a version to it.", code="endpoint_retired")
            return Route(
                row=row,
                live=await _live(session, row),
                candidate=await _candidate(session, row),
                keep_share=await _keep_share(session, row),
            )


async def _live(session: AsyncSession, row: EndpointRow) -> tuple[Server, ...]:
    if row.asleep:
        return ()
    query = select(ReplicaRow).where(ReplicaRow.tenant == row.tenant, ReplicaRow.name == row.name)
    query = query.where(ReplicaRow.model_name == row.model_name, ReplicaRow.version == row.version, ReplicaRow.leaving_at.is_(None))
    more = [Server(job_id=each.job_id, port=each.port) for each in await session.scalars(query.where(ReplicaRow.ready))]
    return (server_of(row), *more)


async def _candidate(session: AsyncSession, row: EndpointRow) -> Candidate | None:
    taking = (RolloutState.RUNNING, RolloutState.PAUSED)
    query = select(RolloutRow).where(RolloutRow.tenant == row.tenant, RolloutRow.name == row.name, RolloutRow.ended_at.is_(None))
    found = await session.scalar(query.where(RolloutRow.state.in_(taking)))
    if found is None:
        return None
    plan = RolloutPlan.model_validate(found.plan)
    return Candidate(
        rollout_id=found.id,
        step=found.step,
        share=found.share,
        shadow=plan.strategy is Strategy.SHADOW,
        compares=plan.gates.compares,
        model_name=found.model_name,
        version=found.version,
        server=Server(job_id=found.job_id, port=found.port),
    )


async def _keep_share(session: AsyncSession, row: EndpointRow) -> float:
    consent = await session.get(ConsentRow, (row.tenant, row.name))
    return consent.share if consent is not None else 0.0
