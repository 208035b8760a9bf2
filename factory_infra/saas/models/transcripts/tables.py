"""What a team asked to have kept of its calls, and for how long."""

from datetime import datetime

from sqlalchemy import Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from factory_infra.database import Base, utcnow


class RetentionRow(Base):
    """A team that has its prompts and answers kept. No row: nothing is kept."""

    __tablename__ = "model_retention"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    days: Mapped[int]
    set_by: Mapped[str] = mapped_column(String(128))
    set_at: Mapped[datetime] = mapped_column(default=utcnow)


class TranscriptRow(Base):
    """One call's prompt and answer, sealed: only who, when and which model can be read without the installation's key."""

    __tablename__ = "model_transcripts"
    __table_args__ = (Index("ix_model_transcripts_tenant_at", "tenant", "at"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    key_id: Mapped[str] = mapped_column(String(24))
    model: Mapped[str] = mapped_column(String(128))
    at: Mapped[datetime] = mapped_column(default=utcnow)
    expires_at: Mapped[datetime] = mapped_column(index=True)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
