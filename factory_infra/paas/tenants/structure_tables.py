"""Tables of what teams belong to and what belongs to them: organisations, projects, members, roles of one's own, service accounts."""

from datetime import datetime

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from factory_infra.database import Base, utcnow


class OrganisationRow(Base):
    """What groups teams."""

    __tablename__ = "organisations"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    title: Mapped[str] = mapped_column(String(200), default="")
    revision: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class ProjectRow(Base):
    """A part of a team's work that use is charged to."""

    __tablename__ = "projects"

    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.name"), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    title: Mapped[str] = mapped_column(String(200), default="")
    revision: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class CustomRoleRow(Base):
    """A named set of permissions, of an organisation or of one team in it."""

    __tablename__ = "custom_roles"
    __table_args__ = (UniqueConstraint("organisation", "tenant", "name", name="uq_custom_roles_name", postgresql_nulls_not_distinct=True),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    organisation: Mapped[str | None] = mapped_column(ForeignKey("organisations.name"))
    tenant: Mapped[str | None] = mapped_column(ForeignKey("tenants.name"), index=True)
    name: Mapped[str] = mapped_column(String(64))
    title: Mapped[str] = mapped_column(String(200), default="")
    counts_as: Mapped[str] = mapped_column(String(16))
    permissions: Mapped[list[str]]
    revision: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class MemberRow(Base):
    """A role that a person has in an organisation, a team or a project."""

    __tablename__ = "members"
    __table_args__ = (
        UniqueConstraint(
            *("subject", "organisation", "tenant", "project", "source"), name="uq_members_place", postgresql_nulls_not_distinct=True
        ),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    subject: Mapped[str] = mapped_column(String(300), index=True)
    title: Mapped[str] = mapped_column(String(200), default="")
    organisation: Mapped[str | None] = mapped_column(ForeignKey("organisations.name"), index=True)
    tenant: Mapped[str | None] = mapped_column(ForeignKey("tenants.name"), index=True)
    project: Mapped[str] = mapped_column(String(64), default="")
    role: Mapped[str] = mapped_column(String(64))
    source: Mapped[str] = mapped_column(String(8), default="hand")
    added_by: Mapped[str] = mapped_column(String(160))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class AccountRow(Base):
    """A program of a team: what its keys are made for, and end with."""

    __tablename__ = "service_accounts"

    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.name"), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    title: Mapped[str] = mapped_column(String(200), default="")
    role: Mapped[str] = mapped_column(String(64))
    project: Mapped[str] = mapped_column(String(64), default="")
    created_by: Mapped[str] = mapped_column(String(160))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    disabled_at: Mapped[datetime | None]
