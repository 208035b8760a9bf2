"""The table of servers of tools."""

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from factory_infra.database import Base, utcnow


class ToolServerRow(Base):
    """A server that an operator added; its key is a file among the secrets and only named here."""

    __tablename__ = "tool_servers"

    name: Mapped[str] = mapped_column(String(20), primary_key=True)
    tenant: Mapped[str | None] = mapped_column(String(64), index=True)
    url: Mapped[str] = mapped_column(String(400))
    secret: Mapped[str] = mapped_column(String(64), default="")
    state: Mapped[str] = mapped_column(String(16))
    digest: Mapped[str] = mapped_column(String(64), default="")
    described: Mapped[dict[str, JsonValue]] = mapped_column(default=dict)
    approved_digest: Mapped[str] = mapped_column(String(64), default="")
    pinned: Mapped[dict[str, JsonValue]] = mapped_column(default=dict)
    effects: Mapped[dict[str, JsonValue]] = mapped_column(default=dict)
    added_by: Mapped[str] = mapped_column(String(128))
    approved_by: Mapped[str | None] = mapped_column(String(128))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    reviewed_at: Mapped[datetime | None]
    approved_at: Mapped[datetime | None]
