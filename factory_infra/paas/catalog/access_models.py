"""What a request for access is, and how it may go on."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

DAYS_MAX = 365
DECIDE_DAYS = 14
"""A request that nobody decided by then lapses."""


class AccessState(StrEnum):
    """Where a request stands."""

    ASKED = "asked"
    GRANTED = "granted"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    LAPSED = "lapsed"
    REVOKED = "revoked"
    EXPIRED = "expired"


OPEN_STATES = (AccessState.ASKED, AccessState.GRANTED)


class NewAccess(BaseModel):
    """What a team wishes to use."""

    model_config = ConfigDict(extra="forbid")

    entry_id: str = Field(min_length=1, max_length=300)
    reason: str = Field(min_length=1, max_length=1000, description="What for: whoever decides reads it.")
    days: int = Field(default=30, ge=1, le=DAYS_MAX, description="For how long.")


class AccessRequest(BaseModel):
    """A team's wish to use what an entry stands for, and what came of it."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    tenant: str = Field(description="Who wishes.")
    owner_tenant: str = Field(description="Whose it is: this team decides.")
    entry_id: str
    entry_name: str
    state: AccessState
    reason: str
    days: int
    asked_by: str
    asked_at: datetime
    decide_by: datetime
    decided_by: str
    decided_at: datetime | None
    decision: str = Field(description="Why, in the words of whoever decided.")
    expires_at: datetime | None
    reminders: int
