"""Tables of what was learnt: lessons with their evidence and scores, and what people thought of plans."""

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from factory_infra.database import Base, utcnow


class LessonRow(Base):
    """One example or lesson of one team."""

    __tablename__ = "lessons"
    __table_args__ = (Index("ix_lessons_tenant_state", "tenant", "state"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    request: Mapped[str] = mapped_column(Text)
    anchor: Mapped[str] = mapped_column(Text)
    playbook: Mapped[str] = mapped_column(String(64))
    slots: Mapped[dict[str, JsonValue]]
    text: Mapped[str] = mapped_column(Text, default="")
    evidence: Mapped[dict[str, JsonValue]]
    scores: Mapped[dict[str, JsonValue]] = mapped_column(default=dict)
    reason: Mapped[str] = mapped_column(Text, default="")
    workflow_id: Mapped[str] = mapped_column(String(200), default="")
    by: Mapped[str] = mapped_column(String(128))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow)


class RatingRow(Base):
    """What one person thought of one plan; the latest word counts."""

    __tablename__ = "ratings"

    plan_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    actor: Mapped[str] = mapped_column(String(128), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64), index=True)
    thread_id: Mapped[str] = mapped_column(String(64))
    score: Mapped[int]
    comment: Mapped[str] = mapped_column(Text, default="")
    at: Mapped[datetime] = mapped_column(default=utcnow)
