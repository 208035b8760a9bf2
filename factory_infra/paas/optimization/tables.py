"""Tables of optimization: what stood where and for how long, how busy it was, what was decided about findings, and forecasts."""

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import BigInteger, Float, Identity, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from factory_infra.database import Base, utcnow


class CapacityRow(Base):
    """Slots of one kind that stood in a pool from one look to another. Between two rows nobody looked."""

    __tablename__ = "pool_capacity"
    __table_args__ = (Index("ix_pool_capacity_pool", "pool", "seen_until"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    pool: Mapped[str] = mapped_column(String(64))
    slot_kind: Mapped[str] = mapped_column(String(8))
    accelerator: Mapped[str] = mapped_column(String(64), default="")
    price_class: Mapped[str] = mapped_column(String(16), default="on_demand")
    slots: Mapped[list[int]]
    since: Mapped[datetime]
    seen_until: Mapped[datetime]


class ActivityRow(Base):
    """How busy one slot was in one hour, summed over the looks at it."""

    __tablename__ = "slot_activity"

    pool: Mapped[str] = mapped_column(String(64), primary_key=True)
    slot: Mapped[int] = mapped_column(primary_key=True)
    hour: Mapped[datetime] = mapped_column(primary_key=True)
    looks: Mapped[int]
    busy_percent_sum: Mapped[float] = mapped_column(Float)
    busy_percent_max: Mapped[float] = mapped_column(Float)


class FindingRow(Base):
    """What was decided about a finding. Without a row it is open."""

    __tablename__ = "finding_decisions"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64), index=True)
    kind: Mapped[str] = mapped_column(String(32))
    subject: Mapped[str] = mapped_column(String(200))
    decision: Mapped[str] = mapped_column(String(16))
    """fixing or dismissed."""
    plan_id: Mapped[str] = mapped_column(String(64), default="")
    attempts: Mapped[int] = mapped_column(default=0)
    """How many plans were proposed for it: the next one has another id."""
    reason: Mapped[str] = mapped_column(String(400), default="")
    decided_by: Mapped[str] = mapped_column(String(160))
    decided_at: Mapped[datetime] = mapped_column(default=utcnow)
    until: Mapped[datetime | None]
    """Dismissed until then; None for good."""


class ForecastRow(Base):
    """The newest forecast of a pool for one question."""

    __tablename__ = "capacity_forecasts"

    pool: Mapped[str] = mapped_column(String(64), primary_key=True)
    question: Mapped[str] = mapped_column(String(64), primary_key=True)
    made_at: Mapped[datetime]
    report: Mapped[dict[str, JsonValue]]
