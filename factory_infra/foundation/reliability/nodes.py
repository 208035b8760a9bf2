"""Nodes and their health, in PostgreSQL: what they report, what happened to them, and which of them may be handed out."""

import builtins
import hashlib
import socket
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database, utcnow
from factory_infra.errors import Conflict, NotFound
from factory_infra.foundation.reliability.figures import figures
from factory_infra.foundation.reliability.health import Health, Trigger, next_health
from factory_infra.foundation.reliability.incidents import close, follow, open_incident
from factory_infra.foundation.reliability.node_models import (
    Figures,
    Incident,
    KnownEvent,
    Node,
    NodeEvent,
    NodeFilter,
    NodeHistory,
    NodeMove,
    NodeReport,
)
from factory_infra.foundation.reliability.tables import EventRow, IncidentRow, MoveRow, NodeRow
from factory_infra.foundation.reliability.taxonomy import PLANNED, failure_of

SILENT_SECONDS = 90.0
"""Nine heartbeats: a node that was not heard of for so long is in doubt."""
SILENCE = "heartbeat_lost"
HISTORY_MAX = 100
EVENT_DAYS = 90
WATCH = "node watch"
"""Who acts where no person does."""
EVERY_NODE = NodeFilter()


class Nodes:
    """The nodes of all pools. One transaction a node at a time: two events of one node never pass each other.

    Args:
        database: where the rows lie.
        host: what this host's own agent calls it. The slots of a pool that is this host have no node's name.
    """

    def __init__(self, database: Database, host: str | None = None) -> None:
        self._database = database
        self._host = host or socket.gethostname()

    async def report(self, pool: str, name: str, told: NodeReport) -> Node:
        """Keep what a node tells of itself; the first report registers it as healthy. One that was silent is cleared of that."""
        now = utcnow()
        async with self._database.transaction(lock=lock_of(pool, name)) as session:
            row = await session.get(NodeRow, (pool, name))
            if row is None:
                row = new_node(pool, name)
                session.add(row)
            row.report, row.heartbeat_at = told.model_dump(mode="json"), now
            row.machine_id, row.cluster_id = told.machine_id or row.machine_id, told.cluster_id or row.cluster_id
            await session.flush()
            if (silence := await open_incident(session, pool, name)) is not None and silence.code == SILENCE:
                close(silence, now)
                await moved(session, row, Trigger.CLEAR, "It reports again.", WATCH)
            return node_of(row)

    async def record(self, pool: str, name: str, events: Sequence[NodeEvent]) -> int:
        """Keep events of a node, each once under its id, and draw what follows for its health. Returns how many were new.

        Raises NotFound for a node that never reported.
        """
        new = 0
        async with self._database.transaction(lock=lock_of(pool, name)) as session:
            row = await found(session, pool, name)
            for event in events:
                new += await self._recorded(session, row, event)
        return new

    async def _recorded(self, session: AsyncSession, row: NodeRow, event: NodeEvent) -> bool:
        failure = failure_of(event.code)
        values = {**event.model_dump(), "pool": row.pool, "node": row.name, "received_at": utcnow(), "incident_id": ""}
        values |= {"severity": failure.severity, "action": failure.action}
        kept = await session.scalar(insert(EventRow).values(values).on_conflict_do_nothing().returning(EventRow.id))
        if kept is None:
            return False
        step = await follow(session, row, event, failure)
        if step.trigger is not None:
            await moved(session, row, step.trigger, step.reason, WATCH)
        if step.incident_id:
            await session.execute(update(EventRow).where(EventRow.id == event.id).values(incident_id=step.incident_id))
        return True

    async def list(self, wanted: NodeFilter = EVERY_NODE, limit: int = 100, offset: int = 0) -> list[Node]:
        """Return nodes by pool and name."""
        query = select(NodeRow).order_by(NodeRow.pool, NodeRow.name).limit(limit).offset(offset)
        query = query.where(NodeRow.pool == wanted.pool) if wanted.pool is not None else query
        query = query.where(NodeRow.health == wanted.health.value) if wanted.health is not None else query
        async with self._database.transaction() as session:
            return [node_of(row) for row in await session.scalars(query)]

    async def get(self, pool: str, name: str) -> Node:
        """Return a node. Raises NotFound."""
        async with self._database.transaction() as session:
            return node_of(await found(session, pool, name))

    async def history(self, pool: str, name: str) -> NodeHistory:
        """Return a node with its last incidents, events and moves. Raises NotFound."""
        async with self._database.transaction() as session:
            node = node_of(await found(session, pool, name))
            own = (IncidentRow.pool == pool, IncidentRow.node == name)
            incidents = await session.scalars(select(IncidentRow).where(*own).order_by(IncidentRow.opened_at.desc()).limit(HISTORY_MAX))
            told = (EventRow.pool == pool, EventRow.node == name)
            events = await session.scalars(select(EventRow).where(*told).order_by(EventRow.received_at.desc()).limit(HISTORY_MAX))
            moves = await session.scalars(
                select(MoveRow).where(MoveRow.pool == pool, MoveRow.node == name).order_by(MoveRow.id.desc()).limit(HISTORY_MAX)
            )
            return NodeHistory(
                node=node,
                incidents=[Incident.model_validate(each) for each in incidents],
                events=[KnownEvent.model_validate(each) for each in events],
                moves=[NodeMove.model_validate(each) for each in moves],
            )

    async def move(self, pool: str, name: str, trigger: Trigger, reason: str, actor: str) -> Node:
        """Move a node's health, and close its incident where it is good again or gone. The same again changes nothing.

        Raises NotFound, Conflict for a move that cannot be.
        """
        async with self._database.transaction(lock=lock_of(pool, name)) as session:
            row = await found(session, pool, name)
            await moved(session, row, trigger, reason, actor)
            if trigger in {Trigger.RESUME, Trigger.RETIRE} and (incident := await open_incident(session, pool, name)) is not None:
                close(incident, utcnow())
            return node_of(row)

    async def undrain(self, pool: str, name: str, reason: str, actor: str) -> Node:
        """Take a drain back: a node on which something failed is in doubt again, any other is good. Raises NotFound."""
        async with self._database.transaction(lock=lock_of(pool, name)) as session:
            row = await found(session, pool, name)
            if row.health != Health.DRAINING:
                return node_of(row)
            await moved(session, row, Trigger.RESUME, reason, actor)
            if await open_incident(session, pool, name) is not None:
                await moved(session, row, Trigger.DOUBT, "What failed is not mended.", actor)
            return node_of(row)

    async def succeed(self, pool: str, name: str, successor: str, actor: str) -> Node:
        """Retire a node in favour of another, which is registered as in repair until it is found good. Again changes nothing.

        Raises NotFound, and Conflict where another one stands in its place already.
        """
        async with self._database.transaction(lock=lock_of(pool, name)) as session:
            row = await found(session, pool, name)
            if row.replaced_by not in {"", successor}:
                raise Conflict(f"Node {name} was replaced by {row.replaced_by} already.", remedy=f"Look at {row.replaced_by}.")
            row.replaced_by = successor
            await moved(session, row, Trigger.RETIRE, f"Replaced by {successor}.", actor)
            if (incident := await open_incident(session, pool, name)) is not None:
                close(incident, utcnow())
            if await session.get(NodeRow, (pool, successor)) is None:
                fresh = new_node(pool, successor, Health.REPAIRING, f"It stands in for {name}, and is not validated yet.")
                fresh.machine_id, fresh.cluster_id = successor, row.cluster_id
                session.add(fresh)
            return node_of(row)

    async def leaving(self, pool: str, name: str, cluster_id: str, machines: Sequence[str]) -> tuple[Node, set[str]]:
        """Keep, before a node's machine is replaced, which cluster it is in and which machines were there. What was kept first stays:
        when the replacement is asked for again, the new machine may be among them already. Raises NotFound.
        """
        async with self._database.transaction(lock=lock_of(pool, name)) as session:
            row = await found(session, pool, name)
            if not row.beside:
                row.cluster_id, row.beside = cluster_id, [*machines]
            return node_of(row), set(row.beside)

    async def machines(self, pool: str) -> set[str]:
        """Return what the machines of a pool's nodes are called, those of retired ones too."""
        async with self._database.transaction() as session:
            rows = await session.execute(select(NodeRow.name, NodeRow.machine_id).where(NodeRow.pool == pool))
            return {each for name, machine in rows for each in (name, machine) if each}

    async def standing_for(self, pool: str, name: str) -> Node:
        """Return the node of this name, or the one that stands in its place. Raises NotFound."""
        node = await self.get(pool, name)
        while node.replaced_by and node.replaced_by != node.name:
            node = await self.get(pool, node.replaced_by)
        return node

    async def unfit(self, pool: str) -> set[str]:
        """Return the names of the nodes of a pool that must not be handed out; this host's slots are those of no node."""
        query = select(NodeRow.name).where(NodeRow.pool == pool, NodeRow.health != Health.HEALTHY.value)
        async with self._database.transaction() as session:
            names = set(await session.scalars(query))
        return names | {""} if self._host in names else names

    async def planless(self) -> builtins.list[Incident]:
        """Return the open incidents that a plan should mend and that have none yet, oldest first."""
        query = select(IncidentRow).where(IncidentRow.closed_at.is_(None), IncidentRow.plan_id == "", IncidentRow.action.in_(PLANNED))
        async with self._database.transaction() as session:
            rows = await session.scalars(query.order_by(IncidentRow.opened_at).limit(HISTORY_MAX))
            return [Incident.model_validate(row) for row in rows]

    async def planned(self, incident_id: str, plan_id: str) -> None:
        """Keep which plan mends an incident; the first one stays."""
        query = update(IncidentRow).where(IncidentRow.id == incident_id, IncidentRow.plan_id == "").values(plan_id=plan_id)
        async with self._database.transaction() as session:
            await session.execute(query)

    async def sweep(self, silent_seconds: float = SILENT_SECONDS) -> builtins.list[str]:
        """Doubt the nodes that were not heard of for so long; each silence is one event. Returns their names."""
        limit = utcnow() - timedelta(seconds=silent_seconds)
        handed_out = NodeRow.health.in_([Health.HEALTHY.value, Health.SUSPECT.value])
        query = select(NodeRow.pool, NodeRow.name, NodeRow.heartbeat_at).where(NodeRow.heartbeat_at < limit, handed_out)
        async with self._database.transaction() as session:
            silent = [(pool, name, at) for pool, name, at in await session.execute(query) if at is not None]
        told = []
        for pool, name, at in silent:
            words = f"Nothing was heard of it since {at.isoformat(timespec='seconds')}."
            event = NodeEvent(id=silence_id(pool, name, at), code=SILENCE, words=words, at=utcnow())
            if await self.record(pool, name, [event]):
                told.append(name)
        return told

    async def forget(self, days: int = EVENT_DAYS) -> int:
        """Remove events that are so old and belong to no incident; incidents and moves stay. Returns how many."""
        old = (EventRow.received_at < utcnow() - timedelta(days=days), EventRow.incident_id == "")
        async with self._database.transaction() as session:
            gone = await session.scalars(delete(EventRow).where(*old).returning(EventRow.id))
            return len(gone.all())

    async def figures(
        self, pool: str | None = None, name: str | None = None, cluster_id: str | None = None, *, confidence: float = 0.9
    ) -> Figures:
        """Return time between failures and to repair: of a node, a cluster, a pool, or everything. Raises NotFound for an unknown node."""
        if pool is not None and name is not None:
            await self.get(pool, name)
        nodes, incidents = select(NodeRow), select(IncidentRow)
        if cluster_id is not None:
            nodes = nodes.where(NodeRow.cluster_id == cluster_id)
        if pool is not None:
            nodes, incidents = nodes.where(NodeRow.pool == pool), incidents.where(IncidentRow.pool == pool)
        if name is not None:
            nodes, incidents = nodes.where(NodeRow.name == name), incidents.where(IncidentRow.node == name)
        async with self._database.transaction() as session:
            known = [node_of(row) for row in await session.scalars(nodes)]
            failures = [Incident.model_validate(row) for row in await session.scalars(incidents)]
        subject = (
            f"node {name} of pool {pool}" if name else f"cluster {cluster_id}" if cluster_id else f"pool {pool}" if pool else "all pools"
        )
        return figures(subject, known, failures, utcnow(), confidence)


def lock_of(pool: str, name: str) -> str:
    """The name of a node's lock."""
    return f"node/{pool}/{name}"


def silence_id(pool: str, name: str, heard_at: datetime) -> str:
    """The id of one silence: the same last heartbeat gives the same."""
    return "silence-" + hashlib.sha256(f"{pool}/{name}/{heard_at.timestamp()}".encode()).hexdigest()[:24]


def new_node(pool: str, name: str, health: Health = Health.HEALTHY, reason: str = "It was never in doubt.") -> NodeRow:
    """A node of which nothing is known yet."""
    now = utcnow()
    return NodeRow(
        pool=pool,
        name=name,
        health=health.value,
        health_since=now,
        reason=reason,
        report=NodeReport().model_dump(mode="json"),
        machine_id="",
        cluster_id="",
        beside=[],
        replaced_by="",
        first_seen_at=now,
    )


async def found(session: AsyncSession, pool: str, name: str) -> NodeRow:
    """The row of a node. Raises NotFound."""
    row = await session.get(NodeRow, (pool, name))
    if row is None:
        remedy = "List the nodes with 'lineshaft nodes list'; one registers by its first report."
        raise NotFound(f"There is no node '{name[:60]}' in pool '{pool[:40]}'.", code="node_unknown", remedy=remedy)
    return row


async def moved(session: AsyncSession, row: NodeRow, trigger: Trigger, reason: str, actor: str) -> None:
    """Move a node's health and keep that it was. Raises Conflict for a move that cannot be."""
    was = Health(row.health)
    now = next_health(was, trigger)
    if now is was:
        return
    row.health, row.health_since, row.reason = now.value, utcnow(), reason[:400]
    session.add(
        MoveRow(pool=row.pool, node=row.name, was=was.value, now=now.value, trigger=trigger.value, reason=reason[:400], actor=actor[:128])
    )
    await session.flush()


def node_of(row: NodeRow) -> Node:
    """A node as it is shown."""
    report = NodeReport.model_validate(row.report)
    return Node(
        pool=row.pool,
        name=row.name,
        health=Health(row.health),
        health_since=row.health_since,
        reason=row.reason,
        accelerator=report.accelerator,
        accelerators=len(report.accelerators),
        accelerators_ok=sum(each.state == "ok" for each in report.accelerators),
        driver=report.driver,
        versions=report.versions,
        gauges=report.accelerators,
        cores=report.cores,
        memory_gib=report.memory_gib,
        machine_id=row.machine_id,
        cluster_id=row.cluster_id,
        replaced_by=row.replaced_by,
        first_seen_at=row.first_seen_at,
        heartbeat_at=row.heartbeat_at,
    )
