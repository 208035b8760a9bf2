"""Tables of the key figures: sums that are kept of the log, how far it was read, and what alerts stand."""

from datetime import datetime
from decimal import Decimal

from pydantic import JsonValue
from sqlalchemy import BigInteger, Numeric, SmallInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from factory_infra.database import Base, utcnow


class SumRow(Base):
    """What facts add to one series in one hour (level 0) or one day (level 1), UTC."""

    __tablename__ = "kpi_sums"

    level: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    series: Mapped[str] = mapped_column(String(40), primary_key=True)
    bucket: Mapped[datetime] = mapped_column(primary_key=True)
    dim: Mapped[str] = mapped_column(String(200), primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    """Of a distribution, where; else 0."""
    n: Mapped[Decimal] = mapped_column(Numeric(40, 0))
    off: Mapped[Decimal] = mapped_column(Numeric(60, 0))
    """Each addend times the microseconds from the bucket's beginning to it: what the area under a level needs."""


class ReadRow(Base):
    """How far the log was read into the sums: one row."""

    __tablename__ = "kpi_read"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    tx: Mapped[int] = mapped_column(BigInteger)
    event_id: Mapped[int] = mapped_column(BigInteger)
    rules: Mapped[str] = mapped_column(String(64))
    """The digest of the rules that the sums were made by: by others they are made anew."""
    events: Mapped[int] = mapped_column(BigInteger)
    """How many were read."""
    whole: Mapped[bool]
    """Whether the log was read to its end once since the sums were begun."""
    at: Mapped[datetime] = mapped_column(default=utcnow)


class PoolRow(Base):
    """How many slots a pool had when it was last looked at."""

    __tablename__ = "kpi_pools"

    pool: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(8))
    slots: Mapped[int]
    changes: Mapped[int] = mapped_column(default=0)


class AlertRow(Base):
    """One time in which an objective was burnt too quickly."""

    __tablename__ = "kpi_alerts"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    objective: Mapped[str] = mapped_column(String(80), index=True)
    severity: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(400))
    burn: Mapped[float]
    raised_at: Mapped[datetime] = mapped_column(default=utcnow, index=True)
    cleared_at: Mapped[datetime | None]


class ShownRow(Base):
    """What the worker measured last, for `/v1/metrics`: a scrape reads one row."""

    __tablename__ = "kpi_shown"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    document: Mapped[dict[str, JsonValue]]
