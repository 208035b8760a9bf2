"""Tables of teams and their keys."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import ForeignKey, Index, Numeric, String
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from factory_infra.database import Base, utcnow
from factory_infra.paas.tenants.models import SCOPES


class TenantRow(Base):
    """A team."""

    __tablename__ = "tenants"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    budget: Mapped[Decimal] = mapped_column(Numeric(18, 6))
    title: Mapped[str] = mapped_column(String(200), default="", server_default="")
    organisation: Mapped[str | None] = mapped_column(ForeignKey("organisations.name"), index=True)
    revision: Mapped[int] = mapped_column(default=1, server_default="1")
    closed_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class KeyRow(Base):
    """A key: only the digest of its secret is kept. Without a tenant it is an administrator's.

    While a rotation overlaps, `digest_old` is the digest of the secret before, which is good until `old_until`.
    """

    __tablename__ = "api_keys"
    __table_args__ = (Index("ix_api_keys_created_at", "created_at", "id"),)

    id: Mapped[str] = mapped_column(String(24), primary_key=True)
    tenant: Mapped[str | None] = mapped_column(ForeignKey("tenants.name"), index=True)
    name: Mapped[str] = mapped_column(String(64))
    role: Mapped[str] = mapped_column(String(16))
    custom_role: Mapped[str] = mapped_column(String(64), default="", server_default="")
    account: Mapped[str] = mapped_column(String(64), default="", server_default="")
    project: Mapped[str] = mapped_column(String(64), default="")
    models: Mapped[list[str] | None] = mapped_column(JSONB(none_as_null=True))
    scopes: Mapped[list[str]] = mapped_column(default=lambda: sorted(SCOPES))
    digest: Mapped[str] = mapped_column(String(64))
    digest_old: Mapped[str | None] = mapped_column(String(64))
    old_until: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
