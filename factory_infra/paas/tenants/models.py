"""What a team, a role and a key are."""

from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field

NAME_PATTERN = r"^[a-z0-9][a-z0-9-]{0,40}$"

PLATFORM = "platform"
"""The administrators' own team: what they ask without naming a team is charged to it. It is never planned for."""

Scope = Literal["gateway", "manage", "nodes"]
"""What a key opens: the gateway's models, the rest of the API, or only the door at which nodes report."""
SCOPES: frozenset[Scope] = frozenset({"gateway", "manage"})
"""What a key opens where nothing is said. A node's key is made for nothing else: of an administrator, with the one scope `nodes`."""


class Role(StrEnum):
    """What a key may do; each role may do what the one before it may."""

    VIEWER = "viewer"
    USER = "user"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"

    def reaches(self, needed: "Role") -> bool:
        """Whether this role may do what the needed one may."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


class KeyState(StrEnum):
    """Whether a key still opens anything."""

    ACTIVE = "active"
    REVOKED = "revoked"
    EXPIRED = "expired"


class Tenant(BaseModel):
    """A team: what it may use."""

    name: str
    budget: Decimal = Field(description="Money that may be spent and reserved in all, in the price book's currency.")
    quota_slots: int
    created_at: datetime
    title: str = Field(default="", description="What people call it, in any script.")
    organisation: str | None = None
    revision: int = Field(default=1, description="How often it was changed: name it in a change, and nobody's is overwritten.")
    closed_at: datetime | None = Field(default=None, description="When it was closed: its keys ended then, its records remain.")
    note: str = Field(default="", description="What a change leaves to know, such as a quota below what is held.")


class KeyTerms(BaseModel):
    """What a key is bound to beside its role."""

    model_config = ConfigDict(frozen=True)

    project: str = Field(default="", description="The project that its use is charged to; empty for none.")
    models: frozenset[str] | None = Field(default=None, description="The models that it may call; None for all of its team's.")
    scopes: frozenset[Scope] = SCOPES
    custom_role: str = ""
    account: str = ""


EVERY_TERM = KeyTerms()


class KeyFilter(BaseModel):
    """Which keys of a list are wanted; None for all."""

    model_config = ConfigDict(frozen=True)

    project: str | None = None
    state: KeyState | None = None


EVERY_KEY = KeyFilter()


class ApiKey(BaseModel):
    """A key without its secret."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    tenant: str | None
    name: str
    role: Role
    custom_role: str = Field(default="", description="A role of the team's or its organisation's own; empty for none.")
    account: str = Field(default="", description="The service account that it was made for.")
    project: str = ""
    models: list[str] | None = Field(default=None, description="The models that it may call; null for all of its team's.")
    scopes: list[Scope] = Field(
        default=sorted(SCOPES), description="gateway: may call models; manage: may use the rest of the API; nodes: may report as a node."
    )
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    old_until: datetime | None = Field(default=None, description="Until when the secret from before the last rotation is good as well.")

    @computed_field  # type: ignore[prop-decorator]  # the plugin knows it only on plain functions
    @property
    def state(self) -> KeyState:
        """Whether it still opens anything, now."""
        if self.revoked_at is not None:
            return KeyState.REVOKED
        return KeyState.EXPIRED if self.expires_at is not None and self.expires_at <= datetime.now(UTC) else KeyState.ACTIVE


class Principal(BaseModel):
    """Who asks: what a key stands for once it was checked."""

    key_id: str
    name: str
    role: Role
    tenant: str | None = Field(description="None for an administrator, who sees every team.")
    permissions: frozenset[str] | None = Field(
        default=None, description="Of a role of one's own: all that it may; None where the role says it."
    )
    manages: frozenset[str] = Field(default=frozenset(), description="The organisations and teams that a person administers: KIND/NAME.")
    custom_role: str = Field(default="", description="The role of one's own that it has; empty for none.")
    project: str = Field(default="", description="The only project that it acts in; empty for none.")

    @property
    def actor(self) -> str:
        """How this principal appears in approvals, events and the ledger."""
        return f"{self.name} ({self.key_id})"


class Reporter(BaseModel):
    """Who reports of nodes. A node's key with a project speaks for the nodes of the pool of that name only."""

    actor: str
    pool: str | None = Field(description="The only pool that it may speak for; None for any.")
