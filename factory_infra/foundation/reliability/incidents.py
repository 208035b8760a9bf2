"""What follows from an event: a new incident, one that goes on or gets graver, or one that is over."""

import hashlib
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import utcnow
from factory_infra.foundation.reliability.health import Health, Trigger
from factory_infra.foundation.reliability.node_models import NodeEvent
from factory_infra.foundation.reliability.tables import IncidentRow, NodeRow
from factory_infra.foundation.reliability.taxonomy import GRAVITY, PLANNED, Failure


class Following(NamedTuple):
    """What an event means for its node."""

    trigger: Trigger | None
    reason: str
    incident_id: str


ORDER: dict[str, int] = {action: at for at, action in enumerate(GRAVITY)}
"""Which of two actions goes further, by what a row says."""
NOTHING = Following(None, "", "")


async def open_incident(session: AsyncSession, pool: str, node: str) -> IncidentRow | None:
    """The incident of a node that is not over, if there is one."""
    query = select(IncidentRow).where(IncidentRow.pool == pool, IncidentRow.node == node, IncidentRow.closed_at.is_(None))
    found: IncidentRow | None = await session.scalar(query)
    return found


async def follow(session: AsyncSession, row: NodeRow, event: NodeEvent, failure: Failure) -> Following:
    """Open, go on with or close the node's incident. A node that is retired has none."""
    incident = await open_incident(session, row.pool, row.name)
    if event.recovered:
        return recovered(incident, event)
    if not failure.doubtful or row.health == Health.RETIRED:
        return NOTHING
    reason = f"{failure.title}{where(event)} ({failure.code})."
    if incident is None:
        incident = IncidentRow(
            id=incident_id(row, event),
            pool=row.pool,
            node=row.name,
            code=failure.code,
            severity=failure.severity,
            action=failure.action,
            reason=reason[:400],
            opened_at=utcnow(),
            plan_id="",
        )
        session.add(incident)
    elif not incident.plan_id and ORDER[failure.action] > ORDER[incident.action]:
        incident.code, incident.severity, incident.action, incident.reason = failure.code, failure.severity, failure.action, reason[:400]
    await session.flush()
    return Following(Trigger.DOUBT, reason, incident.id)


def recovered(incident: IncidentRow | None, event: NodeEvent) -> Following:
    """An incident ends by itself when what began it is over, unless a plan is to mend it: then it is over when that says so."""
    if incident is None or incident.code != event.code:
        return NOTHING
    if incident.action in PLANNED:
        return Following(None, "", incident.id)
    close(incident, utcnow())
    return Following(Trigger.CLEAR, f"{event.code} is over.", incident.id)


def close(incident: IncidentRow, at: datetime) -> None:
    """End an incident."""
    incident.closed_at = at


def incident_id(row: NodeRow, event: NodeEvent) -> str:
    """The id of the incident that an event begins: the same event gives the same."""
    return "incident-" + hashlib.sha256(f"{row.pool}/{row.name}/{event.id}".encode()).hexdigest()[:16]


def where(event: NodeEvent) -> str:
    """On which accelerator."""
    return "" if event.accelerator is None else f" on accelerator {event.accelerator}"
