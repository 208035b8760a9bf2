"""Tables of feature views, their newest values, their writes, training sets, and drift."""

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import JSON, ForeignKeyConstraint, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from factory_infra.database import Base, utcnow


class ViewRow(Base):
    """A version of a view's definition; it is never changed, only retired."""

    __tablename__ = "feature_views"
    __table_args__ = (Index("ix_feature_views_digest", "tenant", "name", "digest"),)

    tenant: Mapped[str] = mapped_column(String(63), primary_key=True)
    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    definition: Mapped[dict[str, JsonValue]]
    digest: Mapped[str] = mapped_column(String(64))
    provider: Mapped[str] = mapped_column(String(63))
    created_by: Mapped[str] = mapped_column(String(128))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    retired_at: Mapped[datetime | None]


class ValueRow(Base):
    """The newest that is known of one entity. As text, not JSONB: it is read whole and must come back to the last bit."""

    __tablename__ = "feature_values"

    tenant: Mapped[str] = mapped_column(String(63), primary_key=True)
    view: Mapped[str] = mapped_column(String(40), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    entity: Mapped[str] = mapped_column(String(1024), primary_key=True)
    features: Mapped[dict[str, JsonValue]] = mapped_column(JSON)
    event_at: Mapped[datetime]
    written_at: Mapped[datetime]


class BatchRow(Base):
    """One write; with this row it counts. `key` is its idempotency key."""

    __tablename__ = "feature_batches"
    __table_args__ = (
        ForeignKeyConstraint(["tenant", "view", "version"], ["feature_views.tenant", "feature_views.name", "feature_views.version"]),
        Index("ix_feature_batches_view", "tenant", "view", "version", "written_at"),
    )

    tenant: Mapped[str] = mapped_column(String(63), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    id: Mapped[str] = mapped_column(String(64))
    view: Mapped[str] = mapped_column(String(40))
    version: Mapped[int]
    rows: Mapped[int]
    first_event_at: Mapped[datetime]
    last_event_at: Mapped[datetime]
    written_at: Mapped[datetime]
    digest: Mapped[str] = mapped_column(String(64))
    part: Mapped[str] = mapped_column(String(255), default="")
    part_digest: Mapped[str] = mapped_column(String(64), default="")
    online: Mapped[bool] = mapped_column(default=True)


class TrainingSetRow(Base):
    """A training set; `key` is the idempotency key of its making."""

    __tablename__ = "feature_sets"
    __table_args__ = (Index("ix_feature_sets_tenant_created_at", "tenant", "created_at"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(63))
    key: Mapped[str] = mapped_column(String(255), unique=True)
    digest: Mapped[str] = mapped_column(String(64))
    rows: Mapped[int]
    features: Mapped[list[str]]
    label: Mapped[str] = mapped_column(String(128), default="")
    views: Mapped[list[str]]
    complete: Mapped[float]
    request: Mapped[dict[str, JsonValue]]
    path: Mapped[str] = mapped_column(String(512))
    created_by: Mapped[str] = mapped_column(String(128))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class MonitorRow(Base):
    """What is watched for drift, how often, and what follows. `revision` grows with each change."""

    __tablename__ = "drift_monitors"
    __table_args__ = (Index("ix_drift_monitors_due_at", "due_at"),)

    tenant: Mapped[str] = mapped_column(String(63), primary_key=True)
    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    definition: Mapped[dict[str, JsonValue]]
    revision: Mapped[int]
    enabled: Mapped[bool] = mapped_column(default=True)
    due_at: Mapped[datetime]
    checked_at: Mapped[datetime | None]
    verdict: Mapped[str] = mapped_column(String(16), default="")
    created_by: Mapped[str] = mapped_column(String(128))
    updated_at: Mapped[datetime] = mapped_column(default=utcnow)


class CheckRow(Base):
    """One comparison with what was found."""

    __tablename__ = "drift_checks"
    __table_args__ = (Index("ix_drift_checks_monitor", "tenant", "monitor", "at"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(63))
    monitor: Mapped[str] = mapped_column(String(40))
    at: Mapped[datetime] = mapped_column(default=utcnow)
    verdict: Mapped[str] = mapped_column(String(16))
    report: Mapped[dict[str, JsonValue]]


class AlertRow(Base):
    """Drift from its first finding until it is answered; of those that are open a monitor has one at most."""

    __tablename__ = "drift_alerts"
    __table_args__ = (
        Index("ix_drift_alerts_open", "tenant", "monitor", unique=True, postgresql_where=text("closed_at IS NULL")),
        Index("ix_drift_alerts_tenant_opened_at", "tenant", "opened_at"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(63))
    monitor: Mapped[str] = mapped_column(String(40))
    check_id: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(String(1000))
    plan_id: Mapped[str] = mapped_column(String(64), default="")
    opened_at: Mapped[datetime] = mapped_column(default=utcnow)
    closed_at: Mapped[datetime | None]
    closed_because: Mapped[str] = mapped_column(String(400), default="")
