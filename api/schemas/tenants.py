"""Bodies of the routes over teams and browser sessions."""

from decimal import Decimal

from pydantic import BaseModel, Field

from api.schemas.chat import Body
from factory_infra.paas.tenants.models import Role


class NewTenant(Body):
    """A team with its limits."""

    name: str
    quota_slots: int = Field(ge=0, le=1_000_000)
    budget: Decimal = Field(default=Decimal(20), ge=0, le=Decimal(1_000_000_000))


class TenantChange(Body):
    """New limits; what is left out stays."""

    quota_slots: int | None = Field(default=None, ge=0, le=1_000_000)
    budget: Decimal | None = Field(default=None, ge=0)


class SignIn(Body):
    """The key that a browser session stands for."""

    key: str


class Me(BaseModel):
    """Who the caller is."""

    name: str
    role: Role
    tenant: str | None
