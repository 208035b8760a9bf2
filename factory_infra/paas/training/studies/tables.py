"""The tables of studies and their trials. Optuna keeps nothing: what it needs to know is told to it from here."""

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import JSON, ForeignKeyConstraint, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from factory_infra.database import Base


class StudyRow(Base):
    """A study; `key` is the idempotency key of its start."""

    __tablename__ = "studies"
    __table_args__ = (
        UniqueConstraint("key", name="uq_studies_key"),
        Index("ix_studies_tenant_created_at", "tenant", "created_at"),
        Index("ix_studies_state", "state"),
    )

    tenant: Mapped[str] = mapped_column(String(63), primary_key=True)
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[str] = mapped_column(String(255))
    name: Mapped[str] = mapped_column(String(63))
    spec: Mapped[dict[str, JsonValue]]
    state: Mapped[str] = mapped_column(String(16))
    lease_id: Mapped[str] = mapped_column(String(64), index=True)
    plan_id: Mapped[str] = mapped_column(String(64))
    run_id: Mapped[str] = mapped_column(String(64), default="")
    run_url: Mapped[str] = mapped_column(String(512), default="")
    best_number: Mapped[int | None]
    best_value: Mapped[float | None]
    code: Mapped[str] = mapped_column(String(64), default="")
    reason: Mapped[str] = mapped_column(String(1000), default="")
    created_by: Mapped[str] = mapped_column(String(128))
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class TrialRow(Base):
    """A trial of a study. Its parameters are written before its job starts, and never changed."""

    __tablename__ = "study_trials"
    __table_args__ = (ForeignKeyConstraint(["tenant", "study_id"], ["studies.tenant", "studies.id"], ondelete="CASCADE"),)

    tenant: Mapped[str] = mapped_column(String(63), primary_key=True)
    study_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    state: Mapped[str] = mapped_column(String(16))
    # As text: JSONB would put the names into an order of its own.
    parameters: Mapped[dict[str, JsonValue]] = mapped_column(JSON)
    value: Mapped[float | None]
    reports: Mapped[list[JsonValue]] = mapped_column(JSON)
    rungs: Mapped[dict[str, JsonValue]] = mapped_column(JSON)
    job_id: Mapped[str] = mapped_column(String(128))
    slots: Mapped[list[int]]
    run_id: Mapped[str] = mapped_column(String(64), default="")
    starts: Mapped[int]
    code: Mapped[str] = mapped_column(String(64), default="")
    reason: Mapped[str] = mapped_column(String(1000), default="")
    asked_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
