"""The table of jobs: where each one runs, so that it is found again, and how it ended, so that no engine need remember."""

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import Boolean, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from factory_infra.database import Base


class JobRow(Base):
    """A job that was asked for. Its id is unique within its team only."""

    __tablename__ = "jobs"
    __table_args__ = (Index("ix_jobs_project", "tenant", "project"),)

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    pool: Mapped[str] = mapped_column(String(64), index=True)
    lease_id: Mapped[str] = mapped_column(String(64), index=True)
    name: Mapped[str] = mapped_column(String(200))
    final: Mapped[bool] = mapped_column(Boolean, index=True)
    asked_at: Mapped[datetime] = mapped_column(index=True)
    ended_at: Mapped[datetime | None]
    last: Mapped[dict[str, JsonValue]]
    held: Mapped[bool] = mapped_column(Boolean, default=False)
    project: Mapped[str] = mapped_column(String(64), default="", server_default="")
