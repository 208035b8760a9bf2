"""What a lease is."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class LeaseState(StrEnum):
    """Where a lease is in its life."""

    ACTIVE = "active"
    RELEASED = "released"
    EXPIRED = "expired"


class LeaseRequest(BaseModel):
    """What is asked for; the key makes the grant one, however often it is asked."""

    tenant: str
    slots: int
    purpose: str = ""
    seconds: int = 3600
    plan_id: str = ""
    key: str


class Lease(BaseModel):
    """Slots that belong to a tenant for a time."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    tenant: str
    pool: str
    slot_kind: str
    slots: list[int] = Field(description="Indices within the pool.")
    purpose: str
    plan_id: str
    state: LeaseState
    granted_at: datetime
    expires_at: datetime
    ended_at: datetime | None

    @property
    def slot_seconds(self) -> float:
        """What an ended lease used: slots times seconds from grant to end."""
        if self.ended_at is None:
            return 0.0
        return len(self.slots) * (self.ended_at - self.granted_at).total_seconds()


class Usage(BaseModel):
    """How many slots are held, against what there is."""

    tenant: str
    slot_kind: str
    slots_total: int
    slots_free: int
    quota_slots: int
    quota_slots_used: int
