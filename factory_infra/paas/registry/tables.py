"""What we keep of each registered version: enough to answer without the registry's server."""

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from factory_infra.database import Base, utcnow


class RegistryVersion(Base):
    """One version of a model; `key` is the idempotency key of its registration."""

    __tablename__ = "registry_versions"
    __table_args__ = (
        UniqueConstraint("tenant", "model_name", "version", name="uq_registry_versions_version"),
        Index("ix_registry_versions_tenant_created_at", "tenant", "created_at"),
    )

    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(63))
    model_name: Mapped[str] = mapped_column(String(63))
    version: Mapped[int]
    run_id: Mapped[str] = mapped_column(String(64))
    run_url: Mapped[str] = mapped_column(String(512), default="")
    dataset: Mapped[str] = mapped_column(String(63))
    dataset_digest: Mapped[str] = mapped_column(String(64))
    algorithm: Mapped[str] = mapped_column(String(63))
    metrics: Mapped[dict[str, JsonValue]]
    archived: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
