"""Tables of pipelines, their runs, steps, cache and triggers."""

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import JSON, ForeignKeyConstraint, Index, String, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from factory_infra.database import Base, utcnow


class VersionRow(Base):
    """A version of a pipeline. Rows are added; `approvals` grow, `retired_at` is set once."""

    __tablename__ = "pipeline_versions"

    tenant: Mapped[str] = mapped_column(String(63), primary_key=True)
    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    digest: Mapped[str] = mapped_column(String(64))
    document: Mapped[dict[str, JsonValue]] = mapped_column(JSON)
    text: Mapped[str] = mapped_column(Text)
    file: Mapped[str] = mapped_column(String(200))
    lines: Mapped[dict[str, JsonValue]]
    approvals: Mapped[list[JsonValue]] = mapped_column(JSONB)
    created_by: Mapped[str] = mapped_column(String(128))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    retired_at: Mapped[datetime | None]


class RunRow(Base):
    """A run of a version. `key` is what it was asked for by."""

    __tablename__ = "pipeline_runs"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant", "pipeline", "version"], ["pipeline_versions.tenant", "pipeline_versions.name", "pipeline_versions.version"]
        ),
        UniqueConstraint("tenant", "key"),
        Index("ix_pipeline_runs_asked_at", "tenant", "asked_at"),
        Index("ix_pipeline_runs_trigger", "trigger_id", "state"),
        Index("ix_pipeline_runs_state", "state"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(63))
    key: Mapped[str] = mapped_column(String(255))
    pipeline: Mapped[str] = mapped_column(String(40))
    version: Mapped[int]
    digest: Mapped[str] = mapped_column(String(64))
    parameters: Mapped[dict[str, JsonValue]]
    state: Mapped[str] = mapped_column(String(16))
    trigger: Mapped[str] = mapped_column(String(16))
    trigger_id: Mapped[str] = mapped_column(String(64))
    plan_id: Mapped[str] = mapped_column(String(64))
    cache: Mapped[bool]
    actor: Mapped[str] = mapped_column(String(128))
    role: Mapped[str] = mapped_column(String(16))
    thread_id: Mapped[str] = mapped_column(String(64))
    code: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(String(1000))
    remedy: Mapped[str] = mapped_column(String(500))
    card: Mapped[dict[str, JsonValue]] = mapped_column(JSON)
    asked_at: Mapped[datetime] = mapped_column(default=utcnow)
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class StepRow(Base):
    """A step of a run."""

    __tablename__ = "pipeline_steps"
    __table_args__ = (ForeignKeyConstraint(["run_id"], ["pipeline_runs.id"]), Index("ix_pipeline_steps_tenant", "tenant"))

    run_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    step: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(63))
    place: Mapped[int]
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    attempt: Mapped[int]
    job_id: Mapped[str] = mapped_column(String(128))
    lease_id: Mapped[str] = mapped_column(String(64))
    cache_key: Mapped[str] = mapped_column(String(64))
    cached_from: Mapped[str] = mapped_column(String(64))
    inputs: Mapped[dict[str, JsonValue]]
    outputs: Mapped[dict[str, JsonValue]]
    result: Mapped[dict[str, JsonValue]]
    card: Mapped[dict[str, JsonValue]] = mapped_column(JSON)
    code: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(String(1000))
    remedy: Mapped[str] = mapped_column(String(500))
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class CacheRow(Base):
    """What a step of this key left: used again while its files are there, byte for byte."""

    __tablename__ = "pipeline_cache"
    __table_args__ = (Index("ix_pipeline_cache_used_at", "used_at"),)

    tenant: Mapped[str] = mapped_column(String(63), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    outputs: Mapped[dict[str, JsonValue]]
    result: Mapped[dict[str, JsonValue]]
    run_id: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    used_at: Mapped[datetime] = mapped_column(default=utcnow)


class TriggerRow(Base):
    """What starts runs by itself. `scheduled` is the revision of it that the clock knows."""

    __tablename__ = "pipeline_triggers"
    __table_args__ = (UniqueConstraint("tenant", "pipeline", "name"), Index("ix_pipeline_triggers_kind", "kind", "enabled"))

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(63))
    pipeline: Mapped[str] = mapped_column(String(40))
    name: Mapped[str] = mapped_column(String(40))
    kind: Mapped[str] = mapped_column(String(16))
    definition: Mapped[dict[str, JsonValue]]
    enabled: Mapped[bool]
    generation: Mapped[int]
    revision: Mapped[int]
    scheduled: Mapped[int]
    cursor: Mapped[int]
    actor: Mapped[str] = mapped_column(String(128))
    role: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class FiringRow(Base):
    """One time that a trigger fired; the key makes it one, however often it is told."""

    __tablename__ = "pipeline_firings"
    __table_args__ = (ForeignKeyConstraint(["trigger_id"], ["pipeline_triggers.id"]), Index("ix_pipeline_firings_at", "trigger_id", "at"))

    trigger_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[str] = mapped_column(String(128), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(63))
    at: Mapped[datetime] = mapped_column(default=utcnow)
    outcome: Mapped[str] = mapped_column(String(16))
    run_id: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(String(500))
