"""What a team, a role and a key are."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

NAME_PATTERN = r"^[a-z0-9][a-z0-9-]{0,40}$"

PLATFORM = "platform"
"""The administrators' own team: what they ask without naming a team is charged to it. It is never planned for."""


class Role(StrEnum):
    """What a key may do; each role may do what the one before it may."""

    VIEWER = "viewer"
    USER = "user"
    APPROVER = "approver"
    ADMIN = "admin"

    def reaches(self, needed: "Role") -> bool:
        """Whether this role may do what the needed one may."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


class Tenant(BaseModel):
    """A team: what it may use."""

    name: str
    budget: Decimal = Field(description="Money that may be spent and reserved in all, in the price book's currency.")
    quota_slots: int
    created_at: datetime


class ApiKey(BaseModel):
    """A key without its secret."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    tenant: str | None
    name: str
    role: Role
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class Principal(BaseModel):
    """Who asks: what a key stands for once it was checked."""

    key_id: str
    name: str
    role: Role
    tenant: str | None = Field(description="None for an administrator, who sees every team.")

    @property
    def actor(self) -> str:
        """How this principal appears in approvals, events and the ledger."""
        return f"{self.name} ({self.key_id})"
