"""What stands of an endpoint beside its live server: the roll-out that is open, replicas, and servers that still drain."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import utcnow
from factory_infra.errors import Conflict
from factory_infra.paas.deployments.rollout_models import RolloutState
from factory_infra.paas.deployments.serving import Server, base_of
from factory_infra.paas.deployments.tables import EndpointRow
from factory_infra.paas.deployments.traffic_tables import ReplicaRow, RolloutMove, RolloutRow, ScalingRow


class CandidateServer(Server):
    """A candidate's server that takes all of an endpoint's calls."""

    model_name: str
    version: int


async def open_rollout(session: AsyncSession, tenant: str, name: str) -> RolloutRow | None:
    """The endpoint's roll-out that has not ended."""
    query = select(RolloutRow).where(RolloutRow.tenant == tenant, RolloutRow.name == name, RolloutRow.ended_at.is_(None))
    found: RolloutRow | None = await session.scalar(query)
    return found


async def refuse_open(session: AsyncSession, tenant: str, name: str) -> None:
    """Raise Conflict `rollout_open` while a roll-out decides what the endpoint answers with."""
    found = await open_rollout(session, tenant, name)
    if found is not None:
        raise Conflict(
            f"Endpoint {name} is in roll-out {found.id} of {found.model_name} version {found.version}.",
            remedy="Wait for its end, or abort it.",
            code="rollout_open",
        )


async def end_open(session: AsyncSession, tenant: str, name: str, reason: str) -> None:
    """End the open roll-out, if there is one: another action decides."""
    found = await open_rollout(session, tenant, name)
    if found is not None:
        found.share, found.ended_at = 0.0, utcnow()
        move(session, found, RolloutState.ABORTED, "superseded", reason)


def move(session: AsyncSession, row: RolloutRow, state: RolloutState, code: str, reason: str) -> None:
    """Write a roll-out's new state and remember the move."""
    row.state, row.code, row.reason = state.value, code, reason
    row.moves += 1
    session.add(
        RolloutMove(
            rollout_id=row.id,
            number=row.moves,
            tenant=row.tenant,
            at=utcnow(),
            state=state.value,
            step=row.step,
            share=row.share,
            code=code,
            reason=reason,
        )
    )


async def candidate_of(session: AsyncSession, row: EndpointRow) -> CandidateServer | None:
    """The candidate that answers all calls in place of the live version."""
    found = await open_rollout(session, row.tenant, row.name)
    if found is None or found.share < 1 or found.state == RolloutState.PREPARING:
        return None
    return CandidateServer(job_id=found.job_id, port=found.port, model_name=found.model_name, version=found.version)


async def kept(session: AsyncSession, row: EndpointRow) -> frozenset[str]:
    """Bases of the ids of servers that must stay beside the live one; those of a retired endpoint all go."""
    if row.state == "retired":
        return frozenset()
    mine = (RolloutRow.tenant == row.tenant, RolloutRow.name == row.name)
    rollouts = await session.scalars(select(RolloutRow).where(*mine, ~RolloutRow.tidied))
    bases = {base_of(job) for each in rollouts for job in (each.job_id, each.old_job_id)}
    replicas = await session.scalars(select(ReplicaRow).where(ReplicaRow.tenant == row.tenant, ReplicaRow.name == row.name))
    return frozenset((bases | {base_of(each.job_id) for each in replicas}) - {base_of(row.job_id)})


async def woken(session: AsyncSession, row: EndpointRow) -> None:
    """An endpoint that was just started is not idle, though nobody's request has been counted yet."""
    settings = await session.get(ScalingRow, (row.tenant, row.name))
    if settings is not None:
        settings.moved_at = utcnow()
