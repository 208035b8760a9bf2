"""Table of the audits of the walls between tenants."""

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import Boolean, String
from sqlalchemy.orm import Mapped, mapped_column

from factory_infra.database import Base


class AuditRow(Base):
    """One audit of two tenants in one pool."""

    __tablename__ = "isolation_audits"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    pool: Mapped[str] = mapped_column(String(64), index=True)
    attacker: Mapped[str] = mapped_column(String(64), index=True)
    victim: Mapped[str] = mapped_column(String(64), index=True)
    at: Mapped[datetime] = mapped_column(index=True)
    holds: Mapped[bool] = mapped_column(Boolean)
    asked_by: Mapped[str] = mapped_column(String(128))
    report: Mapped[dict[str, JsonValue]]
