"""Reads from the tables of leases, jobs and looks when slots stood, when they were held, and when something ran on them."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.iaas.jobs.models import Job, JobState
from factory_infra.iaas.jobs.tables import JobRow
from factory_infra.iaas.leases.models import LeaseState
from factory_infra.iaas.leases.tables import LeaseRow
from factory_infra.paas.optimization.idle import Held, Span, Standing, micros, moment
from factory_infra.paas.optimization.tables import CapacityRow

NEVER_HELD = (LeaseState.QUEUED.value, LeaseState.GRANTING.value, LeaseState.REFUSED.value)


async def standing(session: AsyncSession, window: Span) -> list[Standing]:
    """What stood in which pool, as far as somebody looked."""
    begin, end = moment(window.begin), moment(window.end)
    query = select(CapacityRow).where(CapacityRow.seen_until > begin, CapacityRow.since < end).order_by(CapacityRow.id)
    return [
        Standing(
            row.pool,
            row.slot_kind,
            row.accelerator,
            row.price_class,
            frozenset(row.slots),
            Span(micros(row.since), micros(row.seen_until)),
        )
        for row in await session.scalars(query)
    ]


async def held(session: AsyncSession, window: Span, now: datetime, team: str | None = None) -> list[Held]:
    """What leases held. One that is held still ends now, or with its term."""
    begin, end = moment(window.begin), moment(window.end)
    query = select(LeaseRow).where(
        LeaseRow.state.not_in(NEVER_HELD), LeaseRow.granted_at < end, func.coalesce(LeaseRow.ended_at, LeaseRow.expires_at) > begin
    )
    if team is not None:
        query = query.where(LeaseRow.tenant == team)
    return [held_of(row, now) for row in await session.scalars(query.order_by(LeaseRow.granted_at, LeaseRow.id))]


def held_of(row: LeaseRow, now: datetime) -> Held:
    """A lease as the time that it held its slots."""
    end = row.ended_at or min(now, row.expires_at)
    active = row.state == LeaseState.ACTIVE.value and row.expires_at > now
    return Held(
        row.id, row.tenant, row.project, row.pool, subject_of(row), frozenset(row.slots), Span(micros(row.granted_at), micros(end)), active
    )


def subject_of(row: LeaseRow) -> str:
    """What a slot of it is called in the price book: its kind, its type, and how it is paid unless on demand."""
    named = f"{row.slot_kind}:{row.accelerator}" if row.accelerator else row.slot_kind
    return named if row.price_class == "on_demand" else f"{named}:{row.price_class}"


async def job_spans(session: AsyncSession, leases: Collection[str], now: datetime) -> dict[str, list[Span]]:
    """When jobs ran on leases: lease → spans. A job that has not begun has none."""
    query = select(JobRow).where(JobRow.lease_id.in_(list(leases)), or_(JobRow.held.is_(False), JobRow.final.is_(True)))
    found: dict[str, list[Span]] = {}
    for row in await session.scalars(query):
        job = Job.model_validate(row.last)
        if job.started_at is None and job.state is JobState.PENDING:
            continue
        begin, end = job.started_at or row.asked_at, job.finished_at or row.ended_at or now
        if end > begin:
            found.setdefault(row.lease_id, []).append(Span(micros(begin), micros(end)))
    return found
