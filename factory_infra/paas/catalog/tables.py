"""The catalog's table."""

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from factory_infra.database import Base


class CatalogRow(Base):
    """One entry. A removed one stays until the index has forgotten it too, and nobody sees it meanwhile."""

    __tablename__ = "catalog_entries"
    __table_args__ = (Index("catalog_entries_tenant_kind_name", "tenant", "kind", "name"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    tenant: Mapped[str]
    name: Mapped[str]
    description: Mapped[str]
    facts: Mapped[dict[str, JsonValue]]
    url: Mapped[str]
    updated_at: Mapped[datetime]
    indexed_at: Mapped[datetime | None]
    removed_at: Mapped[datetime | None]
