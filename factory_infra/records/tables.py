"""Tables of what happened: threads, plans, events and the journal of effects. Rows are added, seldom changed, never removed."""

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import BigInteger, Identity, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from factory_infra.database import Base, utcnow


class ThreadRow(Base):
    """A conversation."""

    __tablename__ = "threads"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str | None] = mapped_column(String(64), index=True)
    project: Mapped[str] = mapped_column(String(64), default="", server_default="")
    created_by: Mapped[str] = mapped_column(String(128))
    title: Mapped[str] = mapped_column(String(200), default="")
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class PlanRow(Base):
    """A plan with where it is in its life."""

    __tablename__ = "plans"
    __table_args__ = (Index("ix_plans_project", "tenant", "project"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64), index=True)
    project: Mapped[str] = mapped_column(String(64), default="", server_default="")
    thread_id: Mapped[str] = mapped_column(String(64), index=True)
    digest: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16), index=True)
    document: Mapped[dict[str, JsonValue]]
    outcome: Mapped[dict[str, JsonValue]] = mapped_column(default=dict)
    decided_by: Mapped[str | None] = mapped_column(String(128))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow)


class EventRow(Base):
    """One thing that happened: the ledger's companion, the audit trail, and what the console streams."""

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_thread", "thread_id", "id"),
        Index("ix_events_plan", "plan_id", "id"),
        Index("ix_events_run", "run_id", "id"),
        Index("ix_events_tx", "tx", "id"),
        Index("ix_events_kind", "kind", "at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    key: Mapped[str] = mapped_column(String(200), unique=True)
    tenant: Mapped[str | None] = mapped_column(String(64), index=True)
    thread_id: Mapped[str] = mapped_column(String(64))
    plan_id: Mapped[str] = mapped_column(String(64), default="")
    run_id: Mapped[str] = mapped_column(String(64), default="", server_default="")
    kind: Mapped[str] = mapped_column(String(40))
    payload: Mapped[dict[str, JsonValue]]
    at: Mapped[datetime] = mapped_column(default=utcnow)
    tx: Mapped[int] = mapped_column(BigInteger, server_default=text("((pg_current_xact_id())::text)::bigint"))
    """The transaction that wrote it: what was committed before is told from what may still come."""


class EffectRow(Base):
    """The result of an effect that was done under a key: asked again, it is told, not repeated."""

    __tablename__ = "effects"
    __table_args__ = (Index("ix_effects_tenant", "tenant", "at"),)

    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    tool: Mapped[str] = mapped_column(String(64))
    tenant: Mapped[str] = mapped_column(String(64))
    result: Mapped[dict[str, JsonValue]]
    at: Mapped[datetime] = mapped_column(default=utcnow)
