"""What is kept of endpoints, and of every action on one."""

from datetime import datetime

from sqlalchemy import ForeignKeyConstraint, Index, String, false
from sqlalchemy.orm import Mapped, mapped_column

from factory_infra.database import Base, utcnow


class EndpointRow(Base):
    """A name with the version that it serves now and the job that serves it."""

    __tablename__ = "endpoints"

    tenant: Mapped[str] = mapped_column(String(63), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    model_name: Mapped[str] = mapped_column(String(63))
    version: Mapped[int]
    previous: Mapped[list[str]]
    """The versions before, oldest first, as MODEL@VERSION: a rollback takes the last."""
    state: Mapped[str] = mapped_column(String(16))
    job_id: Mapped[str] = mapped_column(String(128))
    port: Mapped[int]
    pool: Mapped[str] = mapped_column(String(64), default="", server_default="")
    """Where its servers run; empty: on this host."""
    asleep: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Scaled to zero: the next question starts its server."""
    updated_at: Mapped[datetime] = mapped_column(default=utcnow)


class DeploymentAction(Base):
    """A deploy, rollback or retirement that was done; `key` is its idempotency key."""

    __tablename__ = "deployment_actions"
    __table_args__ = (
        ForeignKeyConstraint(["tenant", "name"], ["endpoints.tenant", "endpoints.name"], name="fk_deployment_actions_endpoint"),
        Index("ix_deployment_actions_endpoint", "tenant", "name", "created_at"),
    )

    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(63))
    name: Mapped[str] = mapped_column(String(63))
    kind: Mapped[str] = mapped_column(String(16))
    model_name: Mapped[str] = mapped_column(String(63))
    version: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
