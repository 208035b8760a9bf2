"""Tables of nodes, their events, their health's history and their incidents."""

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import ForeignKeyConstraint, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from factory_infra.database import Base, utcnow


class NodeRow(Base):
    """A node. What it told last lies in `report`; `beside` are the machines of its cluster when its replacement began."""

    __tablename__ = "nodes"

    pool: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    health: Mapped[str] = mapped_column(String(16), index=True)
    health_since: Mapped[datetime] = mapped_column(default=utcnow)
    reason: Mapped[str] = mapped_column(String(400), default="")
    report: Mapped[dict[str, JsonValue]]
    machine_id: Mapped[str] = mapped_column(String(120), default="")
    cluster_id: Mapped[str] = mapped_column(String(120), default="")
    beside: Mapped[list[str]] = mapped_column(default=list)
    replaced_by: Mapped[str] = mapped_column(String(128), default="")
    first_seen_at: Mapped[datetime] = mapped_column(default=utcnow)
    heartbeat_at: Mapped[datetime | None] = mapped_column(index=True)


class EventRow(Base):
    """Something that happened on a node, once under its id."""

    __tablename__ = "node_events"
    __table_args__ = (
        ForeignKeyConstraint(["pool", "node"], ["nodes.pool", "nodes.name"]),
        Index("ix_node_events_node", "pool", "node", "received_at"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    pool: Mapped[str] = mapped_column(String(40))
    node: Mapped[str] = mapped_column(String(128))
    code: Mapped[str] = mapped_column(String(40))
    recovered: Mapped[bool]
    severity: Mapped[str] = mapped_column(String(16))
    action: Mapped[str] = mapped_column(String(16))
    accelerator: Mapped[int | None]
    uuid: Mapped[str] = mapped_column(String(120))
    words: Mapped[str] = mapped_column(String(400))
    at: Mapped[datetime]
    received_at: Mapped[datetime] = mapped_column(default=utcnow)
    incident_id: Mapped[str] = mapped_column(String(64), default="")


class MoveRow(Base):
    """One change of a node's health."""

    __tablename__ = "node_moves"
    __table_args__ = (
        ForeignKeyConstraint(["pool", "node"], ["nodes.pool", "nodes.name"]),
        Index("ix_node_moves_node", "pool", "node", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    pool: Mapped[str] = mapped_column(String(40))
    node: Mapped[str] = mapped_column(String(128))
    was: Mapped[str] = mapped_column(String(16))
    now: Mapped[str] = mapped_column(String(16))
    trigger: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(400))
    actor: Mapped[str] = mapped_column(String(128))
    at: Mapped[datetime] = mapped_column(default=utcnow)


class IncidentRow(Base):
    """One failure of a node; of those that are open a node has one at most."""

    __tablename__ = "node_incidents"
    __table_args__ = (
        ForeignKeyConstraint(["pool", "node"], ["nodes.pool", "nodes.name"]),
        Index("ix_node_incidents_open", "pool", "node", unique=True, postgresql_where=text("closed_at IS NULL")),
        Index("ix_node_incidents_node", "pool", "node", "opened_at"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    pool: Mapped[str] = mapped_column(String(40))
    node: Mapped[str] = mapped_column(String(128))
    code: Mapped[str] = mapped_column(String(40))
    severity: Mapped[str] = mapped_column(String(16))
    action: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(400))
    opened_at: Mapped[datetime] = mapped_column(default=utcnow)
    closed_at: Mapped[datetime | None]
    plan_id: Mapped[str] = mapped_column(String(64), default="")
