"""Tables of burn-ins and of what they say about each node."""

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import Boolean, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from factory_infra.database import Base


class BurnInRow(Base):
    """One burn-in of one node."""

    __tablename__ = "validation_burn_ins"
    __table_args__ = (Index("ix_validation_burn_ins_pool_node_at", "pool", "node", "at"),)

    job_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    rank: Mapped[int] = mapped_column(primary_key=True)
    pool: Mapped[str] = mapped_column(String(64))
    node: Mapped[str] = mapped_column(String(255))
    machine_type: Mapped[str] = mapped_column(String(255), index=True)
    counts: Mapped[bool] = mapped_column(Boolean)
    at: Mapped[datetime]
    found: Mapped[dict[str, JsonValue]]


class NodeVerdictRow(Base):
    """What is thought of a node now."""

    __tablename__ = "validation_nodes"

    pool: Mapped[str] = mapped_column(String(64), primary_key=True)
    node: Mapped[str] = mapped_column(String(255), primary_key=True)
    fitness: Mapped[str] = mapped_column(String(16), index=True)
    judged_at: Mapped[datetime]
    verdict: Mapped[dict[str, JsonValue]]
