"""Tables of clusters: what was asked for, and what comparing it with the places found."""

from datetime import datetime

from sqlalchemy import Float, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from factory_infra.database import Base


class ClusterRow(Base):
    """A cluster that was asked for. It is written before anything is made, so that what is half made has an owner."""

    __tablename__ = "clusters"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    pool: Mapped[str] = mapped_column(String(64), index=True)
    tenant: Mapped[str] = mapped_column(String(64), index=True)
    key: Mapped[str] = mapped_column(String(200))
    lease_id: Mapped[str] = mapped_column(String(64), default="")
    run_id: Mapped[str] = mapped_column(String(64), default="")
    form: Mapped[str] = mapped_column(String(16))
    machine: Mapped[str] = mapped_column(String(64))
    price_class: Mapped[str] = mapped_column(String(16))
    count: Mapped[int]
    state: Mapped[str] = mapped_column(String(16), index=True)
    count_max: Mapped[int]
    machines: Mapped[list[str]]
    machine_seconds: Mapped[float] = mapped_column(Float, default=0.0)
    counted_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    note: Mapped[str] = mapped_column(Text, default="")
    asked_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class FindingRow(Base):
    """What differs between what there is and what the ledger owns; one row as long as it does."""

    __tablename__ = "cluster_findings"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    pool: Mapped[str] = mapped_column(String(64), index=True)
    tenant: Mapped[str] = mapped_column(String(64), default="")
    cluster_id: Mapped[str] = mapped_column(String(64))
    lease_id: Mapped[str] = mapped_column(String(64), default="")
    kind: Mapped[str] = mapped_column(String(24))
    machines: Mapped[list[str]]
    words: Mapped[str] = mapped_column(Text)
    outcome: Mapped[str] = mapped_column(String(16))
    found_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]

    __table_args__ = (Index("ix_cluster_findings_open", "pool", "settled_at"),)
