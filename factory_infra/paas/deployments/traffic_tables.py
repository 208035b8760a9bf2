"""What is kept of roll-outs and of the traffic of endpoints."""

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import ARRAY, ForeignKey, ForeignKeyConstraint, Index, Integer, LargeBinary, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from factory_infra.database import Base, utcnow


class RolloutRow(Base):
    """The way of one version into an endpoint. At most one of an endpoint is open: the index says so."""

    __tablename__ = "rollouts"
    __table_args__ = (
        ForeignKeyConstraint(["tenant", "name"], ["endpoints.tenant", "endpoints.name"], name="fk_rollouts_endpoint"),
        Index("uq_rollouts_open", "tenant", "name", unique=True, postgresql_where=text("ended_at IS NULL")),
        Index("ix_rollouts_endpoint", "tenant", "name", "created_at"),
        Index("ix_rollouts_untidy", "id", postgresql_where=text("NOT tidied")),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), unique=True)
    tenant: Mapped[str] = mapped_column(String(63))
    name: Mapped[str] = mapped_column(String(63))
    model_name: Mapped[str] = mapped_column(String(63))
    version: Mapped[int]
    old_model_name: Mapped[str] = mapped_column(String(63))
    old_version: Mapped[int]
    old_job_id: Mapped[str] = mapped_column(String(128))
    plan: Mapped[dict[str, JsonValue]]
    state: Mapped[str] = mapped_column(String(16))
    step: Mapped[int] = mapped_column(default=0)
    share: Mapped[float] = mapped_column(default=0.0)
    code: Mapped[str] = mapped_column(String(64), default="")
    reason: Mapped[str] = mapped_column(Text, default="")
    asked_by: Mapped[str] = mapped_column(String(128))
    thread_id: Mapped[str] = mapped_column(String(64), default="")
    job_id: Mapped[str] = mapped_column(String(128))
    """The job of the candidate's server; named before it is started, so that nobody takes it for a stray."""
    port: Mapped[int] = mapped_column(default=0)
    moves: Mapped[int] = mapped_column(default=0)
    told: Mapped[int] = mapped_column(default=0)
    """How many of its moves were told to its thread."""
    tidied: Mapped[bool] = mapped_column(default=False)
    """Whether the server that lost has been drained and stopped."""
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    step_at: Mapped[datetime] = mapped_column(default=utcnow)
    ended_at: Mapped[datetime | None]


class RolloutMove(Base):
    """One change of a roll-out, written in the transaction that made it."""

    __tablename__ = "rollout_moves"

    rollout_id: Mapped[str] = mapped_column(ForeignKey("rollouts.id", name="fk_rollout_moves_rollout"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    tenant: Mapped[str] = mapped_column(String(63))
    at: Mapped[datetime] = mapped_column(default=utcnow)
    state: Mapped[str] = mapped_column(String(16))
    step: Mapped[int]
    share: Mapped[float]
    code: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(Text)


class CountRow(Base):
    """What was counted of one side's answers in ten seconds; processes add to it."""

    __tablename__ = "endpoint_counts"
    __table_args__ = (Index("ix_endpoint_counts_rollout", "rollout_id", "step"), Index("ix_endpoint_counts_window", "window_at"))

    tenant: Mapped[str] = mapped_column(String(63), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    window_at: Mapped[datetime] = mapped_column(primary_key=True)
    side: Mapped[str] = mapped_column(String(16), primary_key=True)
    rollout_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    """Empty where none is open."""
    step: Mapped[int] = mapped_column(primary_key=True)
    requests: Mapped[int]
    errors: Mapped[int]
    busy_ms: Mapped[float]
    compared: Mapped[int]
    agreed: Mapped[int]
    labelled: Mapped[int]
    right: Mapped[int]
    latencies: Mapped[list[int]] = mapped_column(ARRAY(Integer))


class ReplicaRow(Base):
    """One more server of an endpoint's live version."""

    __tablename__ = "endpoint_replicas"
    __table_args__ = (
        ForeignKeyConstraint(["tenant", "name"], ["endpoints.tenant", "endpoints.name"], name="fk_endpoint_replicas_endpoint"),
        Index("ix_endpoint_replicas_endpoint", "tenant", "name"),
    )

    job_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(63))
    name: Mapped[str] = mapped_column(String(63))
    model_name: Mapped[str] = mapped_column(String(63))
    version: Mapped[int]
    port: Mapped[int] = mapped_column(default=0)
    ready: Mapped[bool] = mapped_column(default=False)
    """Whether it has proved itself and may be asked."""
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    leaving_at: Mapped[datetime | None]
    """From when on it is asked no more; it is stopped a little later."""


class ScalingRow(Base):
    """How an endpoint's servers grow and shrink. No row: one server, always."""

    __tablename__ = "endpoint_scaling"
    __table_args__ = (
        ForeignKeyConstraint(["tenant", "name"], ["endpoints.tenant", "endpoints.name"], name="fk_endpoint_scaling_endpoint"),
    )

    tenant: Mapped[str] = mapped_column(String(63), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    servers_max: Mapped[int]
    parallel_target: Mapped[float]
    idle_seconds: Mapped[float | None]
    key: Mapped[str] = mapped_column(String(255))
    set_by: Mapped[str] = mapped_column(String(128))
    set_at: Mapped[datetime] = mapped_column(default=utcnow)
    moved_at: Mapped[datetime] = mapped_column(default=utcnow)


class ConsentRow(Base):
    """An endpoint whose requests a team asked to have kept. No row: nothing is kept."""

    __tablename__ = "request_consents"
    __table_args__ = (
        ForeignKeyConstraint(["tenant", "name"], ["endpoints.tenant", "endpoints.name"], name="fk_request_consents_endpoint"),
    )

    tenant: Mapped[str] = mapped_column(String(63), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    days: Mapped[int]
    share: Mapped[float]
    set_by: Mapped[str] = mapped_column(String(128))
    set_at: Mapped[datetime] = mapped_column(default=utcnow)


class RequestRow(Base):
    """One request and its answer, sealed: only when, of which endpoint and by which version can be read without the installation's key."""

    __tablename__ = "request_log"
    __table_args__ = (Index("ix_request_log_endpoint", "tenant", "name", "at"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(63))
    name: Mapped[str] = mapped_column(String(63))
    model_name: Mapped[str] = mapped_column(String(63))
    version: Mapped[int]
    at: Mapped[datetime] = mapped_column(default=utcnow)
    expires_at: Mapped[datetime] = mapped_column(index=True)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
