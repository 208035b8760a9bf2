"""Tells the log what changes: listeners on rows, so that whatever changes one tells of it in its own transaction and none is forgotten."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pydantic import JsonValue
from sqlalchemy import Connection, event, inspect, select
from sqlalchemy.orm import Mapper

from factory_infra.database import Base, utcnow
from factory_infra.foundation.clusters.tables import ClusterRow
from factory_infra.foundation.reliability.tables import IncidentRow, NodeRow
from factory_infra.iaas.isolation.tables import AuditRow
from factory_infra.iaas.jobs.tables import JobRow
from factory_infra.iaas.leases.tables import LeaseRow
from factory_infra.paas.deployments.tables import DeploymentAction
from factory_infra.paas.deployments.traffic_tables import RolloutRow
from factory_infra.paas.tenants.tables import TenantRow
from factory_infra.records.control_tables import ApprovalRow
from factory_infra.records.happenings import Happening, statement, subject_of
from factory_infra.records.tables import EventRow, PlanRow

Payload = dict[str, JsonValue]
SAMPLE_SECONDS = 300
"""One of a node's reports in so long is kept as a sample of how busy it is."""
MILLISECOND = timedelta(milliseconds=1)
LEASE_ENDS = ("released", "expired", "reclaimed")
PLAN_ENDS = ("done", "gated", "failed", "cancelled", "refused", "expired", "escalated", "undone")


class Change(NamedTuple):
    """What a field was before this write, and what it is."""

    old: Any
    new: Any

    @property
    def made(self) -> bool:
        """Whether it changed."""
        return bool(self.old != self.new)


def change(row: Base, name: str) -> Change:
    """A field's change in this write; of a new row, from None."""
    attribute = inspect(row).attrs[name]
    history = attribute.history
    old = history.deleted[0] if history.deleted else (history.unchanged[0] if history.unchanged else None)
    return Change(old, attribute.value)


def tell(connection: Connection, kind: str, subject: str, tenant: str | None, payload: Payload, at: datetime | None = None) -> None:  # noqa: PLR0913 - what an event has
    """Write an event in the transaction of the change."""
    connection.execute(statement(Happening(kind=kind, subject=subject, tenant=tenant, payload=payload, at=at or utcnow())))


def milliseconds(since: datetime, until: datetime) -> int:
    """From one moment to another; never less than none."""
    return max((until - since) // MILLISECOND, 0)


def lease(mapper: Mapper[Any], connection: Connection, row: LeaseRow) -> None:
    """A lease that begins, ends, or never began."""
    state = change(row, "state")
    if not state.made:
        return
    payload: Payload = {
        "lease_id": row.id,
        "pool": row.pool,
        "kind": row.slot_kind,
        "accelerator": row.accelerator,
        "slots": len(row.slots),
        "plan_id": row.plan_id,
    }
    if state.new == "active":
        asked = asked_at(row)
        tell(connection, "lease.begun", row.id, row.tenant, payload | {"provision_ms": milliseconds(asked, row.granted_at)}, row.granted_at)
        if state.old == "granting":
            machines(connection, row)
    elif state.new in LEASE_ENDS:
        tell(connection, "lease.ended", row.id, row.tenant, payload | {"state": state.new}, row.ended_at)
    elif state.new == "refused":
        asked_for: Payload = {"slots": row.slots_wanted, "state": str(state.old or "")}
        tell(connection, "lease.refused", row.id, row.tenant, payload | asked_for)


def asked_at(row: LeaseRow) -> datetime:
    """When a lease was asked for: where it waited, before that; where machines were made for it, before that too."""
    asked, granted = change(row, "asked_at"), change(row, "granted_at")
    found: datetime = asked.new or asked.old or granted.old or row.granted_at
    return found


def machines(connection: Connection, row: LeaseRow) -> None:
    """The machines of a lease, which were made between its grant and its beginning."""
    granted = change(row, "granted_at")
    payload: Payload = {
        "pool": row.pool,
        "cluster_id": row.cluster_id,
        "machines": len(row.machines),
        "provision_ms": milliseconds(granted.old or row.granted_at, row.granted_at),
    }
    tell(connection, "cluster.ready", subject_of("cluster", row.id), row.tenant, payload, row.granted_at)


def job(mapper: Mapper[Any], connection: Connection, row: JobRow) -> None:
    """A job whose program begins, and one that ended."""
    last, final = change(row, "last"), change(row, "final")
    old, new = last.old if isinstance(last.old, dict) else {}, row.last
    subject = subject_of("job", row.tenant, row.id)
    begins = new.get("started_at") and (new["started_at"], new.get("attempt")) != (old.get("started_at"), old.get("attempt"))
    if not begins and not (final.made and row.final):
        return
    asked = connection.scalar(select(EventRow.payload).where(EventRow.key == f"{subject}/submitted")) or {}
    payload: Payload = {
        "job_id": row.id,
        "pool": row.pool,
        "lease_id": row.lease_id,
        "kind": asked.get("kind", "cpu"),
        "slots": asked.get("slots", 0),
        "attempt": new.get("attempt", 1),
    }
    run = f"{subject}-{new.get('attempt', 1)}"
    if begins:
        tell(connection, "job.started", run, row.tenant, payload, datetime.fromisoformat(str(new["started_at"])))
    if final.made and row.final:
        tell(connection, "job.ended", run, row.tenant, payload | {"state": str(new.get("state"))}, row.ended_at)


def node_made(mapper: Mapper[Any], connection: Connection, row: NodeRow) -> None:
    """A node that reports for the first time, or stands in for another."""
    tell(connection, "node.seen", subject_of("node", row.pool, row.name), None, {"pool": row.pool, "node": row.name}, row.first_seen_at)


def node(mapper: Mapper[Any], connection: Connection, row: NodeRow) -> None:
    """A node that is retired, and now and then how busy one is."""
    subject = subject_of("node", row.pool, row.name)
    health, beat = change(row, "health"), change(row, "heartbeat_at")
    if health.made and row.health == "retired":
        tell(connection, "node.retired", subject, None, {"pool": row.pool, "node": row.name}, row.health_since)
    if not beat.made or row.heartbeat_at is None:
        return
    number = int(row.heartbeat_at.timestamp()) // SAMPLE_SECONDS
    if beat.old is None or int(beat.old.timestamp()) // SAMPLE_SECONDS != number:
        sample(connection, row, f"{subject}-{number}")


def sample(connection: Connection, row: NodeRow, subject: str) -> None:
    """How busy the accelerators of a report are: those that tell it."""
    told = row.report.get("accelerators")
    busy = (
        [value for each in told if isinstance(each, dict) and isinstance(value := each.get("busy_percent"), int | float)]
        if isinstance(told, list)
        else []
    )
    if busy:
        payload: Payload = {"pool": row.pool, "node": row.name, "samples": len(busy), "busy": round(sum(busy) * 100)}
        tell(connection, "node.sampled", subject, None, payload, row.heartbeat_at)


def incident(mapper: Mapper[Any], connection: Connection, row: IncidentRow) -> None:
    """A failure of a node, and its end. A warning that becomes one fails from then on."""
    payload: Payload = {"pool": row.pool, "node": row.node, "code": row.code}
    severity, closed = change(row, "severity"), change(row, "closed_at")
    if row.severity == "failure" and severity.made:
        tell(connection, "node.failed", row.id, None, payload, row.opened_at if severity.old is None else utcnow())
    if row.severity == "failure" and closed.made and row.closed_at is not None:
        tell(connection, "node.mended", row.id, None, payload, row.closed_at)


def cluster(mapper: Mapper[Any], connection: Connection, row: ClusterRow) -> None:
    """A cluster whose machines are there, that was refused, or that is gone."""
    state, now = change(row, "state"), utcnow()
    payload: Payload = {"cluster_id": row.id, "pool": row.pool, "machines": len(row.machines)}
    there = row.state == "held" and len(row.machines) >= row.count
    if there and (state.made or len(change(row, "machines").old or []) < row.count):
        tell(connection, "cluster.ready", row.id, row.tenant, payload | {"provision_ms": milliseconds(row.asked_at, now)}, now)
    if state.made and row.state == "refused":
        tell(connection, "cluster.refused", f"{row.id}-{int(row.asked_at.timestamp())}", row.tenant, payload, now)
    if state.made and row.state == "ended":
        tell(connection, "cluster.released", row.id, row.tenant, payload, row.ended_at)


def deployed(mapper: Mapper[Any], connection: Connection, row: DeploymentAction) -> None:
    """A version that went live, or the one that was live and was rolled back."""
    payload: Payload = {"endpoint": row.name, "model_name": row.model_name, "version": row.version, "by": row.kind}
    if row.kind in {"deploy", "rollout"}:
        tell(connection, "deployment.live", subject_of("deployment", row.key), row.tenant, payload)
        first_live(connection, row)
    elif row.kind == "rollback" and (key := undone_by(connection, row)) is not None:
        tell(connection, "deployment.rolled_back", subject_of("deployment", key), row.tenant, payload)


def first_live(connection: Connection, row: DeploymentAction) -> None:
    """How long a version took from its training; told once, when it first answers."""
    subject, now = subject_of("model", row.tenant, row.model_name, str(row.version)), utcnow()
    registered = connection.scalar(select(EventRow.payload).where(EventRow.key == f"{subject}/registered")) or {}
    payload: Payload = {"model_name": row.model_name, "version": row.version, "endpoint": row.name}
    begun = registered.get("begun_ms")
    if isinstance(begun, int) and begun > 0:
        payload["cycle_seconds"] = max(int(now.timestamp() - begun / 1000), 0)
    tell(connection, "model.live", subject, row.tenant, payload, now)


def undone_by(connection: Connection, row: DeploymentAction) -> str | None:
    """The deployment that a rollback takes back: the newest of its endpoint that was not taken back before."""
    mine = (DeploymentAction.tenant == row.tenant, DeploymentAction.name == row.name, DeploymentAction.kind.in_(("deploy", "rollout")))
    keys = connection.scalars(select(DeploymentAction.key).where(*mine).order_by(DeploymentAction.created_at.desc()).limit(50))
    for key in keys:
        if connection.scalar(select(EventRow.id).where(EventRow.key == f"{subject_of('deployment', key)}/rolled_back")) is None:
            return str(key)
    return None


def rollout(mapper: Mapper[Any], connection: Connection, row: RolloutRow) -> None:
    """A roll-out that ended without its version going live."""
    state = change(row, "state")
    kind = {"rolled_back": "deployment.failed", "failed": "deployment.failed", "aborted": "deployment.aborted"}.get(row.state)
    if state.made and kind is not None:
        payload: Payload = {"endpoint": row.name, "model_name": row.model_name, "version": row.version, "code": row.code}
        tell(connection, kind, subject_of("deployment", row.key), row.tenant, payload, row.ended_at)


def plan(mapper: Mapper[Any], connection: Connection, row: PlanRow) -> None:
    """A plan that ended, and whose hands it went through."""
    if change(row, "state").made and row.state in PLAN_ENDS:
        payload: Payload = {"state": row.state, "hands": hands(connection, row)}
        tell(connection, "plan.closed", subject_of("plan", row.id), row.tenant, payload | {"plan": row.id})


def hands(connection: Connection, row: PlanRow) -> str:
    """`platform` where an administrator asked for it or decided, `policy` where nobody had to, else `team`."""
    decided = ApprovalRow.plan_id == row.id, ApprovalRow.role == "admin"
    if row.document.get("requester_role") == "admin" or connection.scalar(select(ApprovalRow.id).where(*decided).limit(1)) is not None:
        return "platform"
    return "policy" if (row.decided_by or "").startswith("policy ") else "team"


def audit(mapper: Mapper[Any], connection: Connection, row: AuditRow) -> None:
    """An audit of the walls between two teams."""
    found = row.report.get("attempts")
    attempts = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    payload: Payload = {
        "audit_id": row.id,
        "pool": row.pool,
        "holds": row.holds,
        "attempts": len(attempts),
        "refused": sum(each.get("refused") is True for each in attempts),
    }
    tell(connection, "isolation.audited", row.id, None, payload, row.at)


def team_made(mapper: Mapper[Any], connection: Connection, row: TenantRow) -> None:
    """A new team."""
    tell(connection, "team.made", f"team-{row.name}", row.name, {"team": row.name})


def team(mapper: Mapper[Any], connection: Connection, row: TenantRow) -> None:
    """A team that is closed."""
    if change(row, "closed_at").made and row.closed_at is not None:
        tell(connection, "team.closed", f"team-{row.name}", row.name, {"team": row.name}, row.closed_at)


LISTENERS = (
    (LeaseRow, ("after_insert", "after_update"), lease),
    (JobRow, ("after_update",), job),
    (NodeRow, ("after_insert",), node_made),
    (NodeRow, ("after_insert", "after_update"), node),
    (IncidentRow, ("after_insert", "after_update"), incident),
    (ClusterRow, ("after_update",), cluster),
    (DeploymentAction, ("after_insert",), deployed),
    (RolloutRow, ("after_update",), rollout),
    (PlanRow, ("after_update",), plan),
    (AuditRow, ("after_insert",), audit),
    (TenantRow, ("after_insert",), team_made),
    (TenantRow, ("after_update",), team),
)


def listen() -> None:
    """Have every row of this process told of. Again changes nothing."""
    for model, moments, listener in LISTENERS:
        for moment in moments:
            if not event.contains(model, moment, listener):
                event.listen(model, moment, listener)
