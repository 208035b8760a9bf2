"""Bodies of the routes over teams and browser sessions."""

from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, Field

from api.schemas.chat import Body
from api.schemas.structure import Revision
from factory_infra.paas.tenants.models import Role
from factory_infra.paas.tenants.structure import Name, Title


class NewTenant(Body):
    """A team with its limits."""

    name: str
    quota_slots: int = Field(ge=0, le=1_000_000)
    budget: Decimal = Field(default=Decimal(20), ge=0, le=Decimal(1_000_000_000))
    title: Title = Field(default="", description="What people call it, in any script.")
    organisation: Name | None = None


class TenantChange(Body):
    """New limits; what is left out stays."""

    quota_slots: int | None = Field(default=None, ge=0, le=1_000_000)
    budget: Decimal | None = Field(default=None, ge=0)
    title: Title | None = None
    organisation: Name | Literal[""] | None = Field(default=None, description="Empty: none any more.")
    revision: Revision = None


class SignIn(Body):
    """The key that a browser session stands for."""

    key: str


class Me(BaseModel):
    """Who the caller is."""

    name: str
    role: Role
    tenant: str | None
    permissions: list[str] | None = Field(default=None, description="Of a role of one's own: all that it may.")
    manages: list[str] = Field(default=[], description="The organisations and teams that a person administers.")
    teams: list[str] = Field(default=[], description="The teams that a person may act in; empty for a key.")
    project: str = ""
