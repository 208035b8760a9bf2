"""Tables of leases and of the quotas that bound them."""

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import Boolean, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from factory_infra.database import Base


class LeaseRow(Base):
    """Slots that belong to a tenant for a time."""

    __tablename__ = "leases"
    __table_args__ = (Index("ix_leases_project", "tenant", "project"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[str] = mapped_column(String(200), unique=True)
    tenant: Mapped[str] = mapped_column(String(64), index=True)
    pool: Mapped[str] = mapped_column(String(64), index=True)
    slot_kind: Mapped[str] = mapped_column(String(8))
    slots: Mapped[list[int]]
    purpose: Mapped[str] = mapped_column(String(200))
    plan_id: Mapped[str] = mapped_column(String(64), index=True)
    state: Mapped[str] = mapped_column(String(16), index=True)
    granted_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    accelerator: Mapped[str] = mapped_column(String(64), default="")
    price_class: Mapped[str] = mapped_column(String(16), default="on_demand")
    topology: Mapped[str] = mapped_column(String(8), default="any")
    devices: Mapped[list[str]] = mapped_column(default=list)
    machine: Mapped[str] = mapped_column(String(64), default="")
    machines: Mapped[list[str]] = mapped_column(default=list)
    cluster_id: Mapped[str] = mapped_column(String(64), default="")
    cluster_gone: Mapped[bool] = mapped_column(Boolean, default=True, index=True)
    terms: Mapped[list[int]] = mapped_column(default=list)
    renewals: Mapped[list[str]] = mapped_column(default=list)
    queue: Mapped[str] = mapped_column(String(200), default="")
    slots_wanted: Mapped[int] = mapped_column(default=0)
    wanted: Mapped[dict[str, JsonValue]] = mapped_column(default=dict)
    asked_at: Mapped[datetime | None]
    give_up_at: Mapped[datetime | None]
    waiting: Mapped[dict[str, JsonValue]] = mapped_column(default=dict)
    project: Mapped[str] = mapped_column(String(64), default="", server_default="")


class QuotaRow(Base):
    """How many slots a tenant may hold at one time."""

    __tablename__ = "slot_quotas"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    slots_max: Mapped[int]
