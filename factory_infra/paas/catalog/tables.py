"""The catalog's tables."""

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import Index, String, Text, text
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from factory_infra.database import Base, utcnow


class CatalogRow(Base):
    """One entry. A removed one stays until the index has forgotten it too, and nobody sees it meanwhile.

    `words` is what words are compared with; `organisation` follows the team's own, by a trigger.
    """

    __tablename__ = "catalog_entries"
    __table_args__ = (
        Index("catalog_entries_tenant_kind_name", "tenant", "kind", "name"),
        Index("catalog_entries_words", "words", postgresql_using="gin", postgresql_with={"fastupdate": "off"}),
        Index("catalog_entries_name_key", "name_key"),
        Index("catalog_entries_kind_name", "kind", "name", "id"),
        Index("catalog_entries_stale", "updated_at", postgresql_where=text("indexed_at IS NULL OR indexed_at < updated_at")),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    tenant: Mapped[str]
    name: Mapped[str]
    description: Mapped[str]
    version: Mapped[str] = mapped_column(default="", server_default="")
    owner: Mapped[str] = mapped_column(default="", server_default="")
    tags: Mapped[list[str]] = mapped_column(default=list, server_default="[]")
    badges: Mapped[list[JsonValue]] = mapped_column(JSONB, default=list, server_default="[]")
    facts: Mapped[dict[str, JsonValue]]
    url: Mapped[str]
    visibility: Mapped[str] = mapped_column(String(16), default="team", server_default="team")
    access: Mapped[str] = mapped_column(String(16), default="open", server_default="open")
    blueprint: Mapped[dict[str, JsonValue] | None] = mapped_column(JSONB(none_as_null=True))
    organisation: Mapped[str | None] = mapped_column(String(64))
    name_key: Mapped[str] = mapped_column(default="", server_default="")
    words: Mapped[str] = mapped_column(TSVECTOR, default="", server_default="", deferred=True)
    updated_at: Mapped[datetime]
    indexed_at: Mapped[datetime | None]
    indexed_in: Mapped[list[str]] = mapped_column(default=list, server_default="[]")
    removed_at: Mapped[datetime | None]


class DocumentRow(Base):
    """The text of an entry of kind document."""

    __tablename__ = "catalog_documents"

    entry_id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64), index=True)
    text: Mapped[str] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(String(64))
    written_at: Mapped[datetime] = mapped_column(default=utcnow)


class EdgeRow(Base):
    """One thing was made from another, or runs on it. `tenant` is the team whose history this is."""

    __tablename__ = "lineage_edges"
    __table_args__ = (Index("lineage_edges_target", "tenant", "target"),)

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    source: Mapped[str] = mapped_column(String(300), primary_key=True)
    target: Mapped[str] = mapped_column(String(300), primary_key=True)
    how: Mapped[str] = mapped_column(String(40))
    at: Mapped[datetime] = mapped_column(default=utcnow)


class AccessRow(Base):
    """A team's wish to use what another team's entry stands for, and what came of it. `tenant` is who wishes."""

    __tablename__ = "catalog_requests"
    __table_args__ = (
        Index("catalog_requests_tenant_at", "tenant", "asked_at"),
        Index("catalog_requests_owner_at", "owner_tenant", "asked_at"),
        Index("catalog_requests_entry", "entry_id", "tenant"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    owner_tenant: Mapped[str] = mapped_column(String(64))
    entry_id: Mapped[str] = mapped_column(String(300))
    entry_name: Mapped[str] = mapped_column(String(200))
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(1000))
    days: Mapped[int]
    asked_by: Mapped[str] = mapped_column(String(160))
    asked_at: Mapped[datetime]
    decide_by: Mapped[datetime]
    decided_by: Mapped[str] = mapped_column(String(160), default="")
    decided_at: Mapped[datetime | None]
    decision: Mapped[str] = mapped_column(String(1000), default="")
    expires_at: Mapped[datetime | None]
    reminders: Mapped[int] = mapped_column(default=0)
