"""Tables of control: who approved what, which runs there are and how far they went, and the switch that stops every effect."""

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import BigInteger, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from factory_infra.database import Base, utcnow


class ApprovalRow(Base):
    """One person's word on one revision of a plan. Rows are added; `used_at` is set once."""

    __tablename__ = "approvals"
    __table_args__ = (UniqueConstraint("plan_id", "digest", "actor"), Index("ix_approvals_tenant", "tenant", "at"))

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    plan_id: Mapped[str] = mapped_column(String(64), index=True)
    tenant: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(64))
    revision: Mapped[int]
    actor: Mapped[str] = mapped_column(String(128))
    role: Mapped[str] = mapped_column(String(16))
    approve: Mapped[bool]
    reason: Mapped[str] = mapped_column(String(500), default="")
    at: Mapped[datetime] = mapped_column(default=utcnow)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class RunRow(Base):
    """One request with all that came of it: a projection of its events, kept in the transaction that writes them."""

    __tablename__ = "runs"
    __table_args__ = (Index("ix_runs_tenant", "tenant", "started_at"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str | None] = mapped_column(String(64))
    thread_id: Mapped[str] = mapped_column(String(64), index=True)
    actor: Mapped[str] = mapped_column(String(128), default="")
    title: Mapped[str] = mapped_column(String(200), default="")
    state: Mapped[str] = mapped_column(String(16), index=True)
    model_calls: Mapped[int] = mapped_column(default=0)
    tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    tool_calls: Mapped[int] = mapped_column(default=0)
    steps_done: Mapped[int] = mapped_column(default=0)
    code: Mapped[str] = mapped_column(String(64), default="")
    reason: Mapped[str] = mapped_column(String(500), default="")
    started_at: Mapped[datetime] = mapped_column(default=utcnow)
    ended_at: Mapped[datetime | None]
    bounds: Mapped[dict[str, JsonValue]] = mapped_column(default=dict)


class SwitchRow(Base):
    """Whether effects are stopped: one row for the installation."""

    __tablename__ = "switch"

    scope: Mapped[str] = mapped_column(String(64), primary_key=True)
    stopped: Mapped[bool]
    reason: Mapped[str] = mapped_column(String(500), default="")
    actor: Mapped[str] = mapped_column(String(128))
    at: Mapped[datetime] = mapped_column(default=utcnow)
