"""What a lease is."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

from factory_infra.foundation.pools.spec import PriceClass

Topology = Literal["any", "node", "rack"]
"""Where its slots lie to each other: anywhere, in one machine, or in machines on one fast network."""


class LeaseState(StrEnum):
    """Where a lease is in its life.

    `queued`: it waits for its slots and holds none. `granting`: machines are being made for it. `refused`: it never began, and cost
    nothing.
    """

    QUEUED = "queued"
    GRANTING = "granting"
    ACTIVE = "active"
    RELEASED = "released"
    EXPIRED = "expired"
    RECLAIMED = "reclaimed"
    REFUSED = "refused"

    @property
    def held(self) -> bool:
        """Whether its slots are taken."""
        return self in {LeaseState.GRANTING, LeaseState.ACTIVE}

    @property
    def open(self) -> bool:
        """Whether it holds slots or waits for them: money is reserved for it."""
        return self.held or self is LeaseState.QUEUED


HELD = (LeaseState.GRANTING.value, LeaseState.ACTIVE.value)
OPEN = (LeaseState.QUEUED.value, *HELD)
LEASE_QUEUED = "lease_queued"
"""The code with which a job waits whose lease does."""
WAIT_SECONDS_MAX = 7 * 24 * 3600
PRIORITY_MAX = 100
QUEUE_PATTERN = r"^([a-z0-9][a-z0-9_.-]*(/[a-z0-9][a-z0-9_.-]*)*)?$"


class LeaseRequest(BaseModel):
    """What is asked for; the key makes the grant one, however often it is asked."""

    tenant: str
    slots: int
    purpose: str = ""
    seconds: int = 3600
    plan_id: str = ""
    key: str
    pool: str = Field(default="", description="The default one if empty.")
    or_pools: list[str] = Field(default=[], max_length=20, description="Others that will do, the preferred first.")
    accelerator: str = Field(default="", description="The type in the catalogue, such as H100; any if empty.")
    price_class: PriceClass | None = Field(default=None, description="Where machines are made: the pool's own if None.")
    topology: Topology = "any"
    wait_seconds: int = Field(default=0, ge=0, le=WAIT_SECONDS_MAX, description="Wait so long for what is not free; 0: be refused at once.")
    queue: str = Field(
        default="", max_length=200, pattern=QUEUE_PATTERN, description="Whose quota is charged, of the tree; the team's own if empty."
    )
    preemptible: bool = Field(default=False, description="It may be ended before its term, for one of a higher priority.")
    priority: int = Field(default=0, ge=-PRIORITY_MAX, le=PRIORITY_MAX)
    slots_min: int = Field(default=0, ge=0, description="It may begin with so few, and then has no more; 0: all or none.")
    deadline_at: datetime | None = Field(default=None, description="When what runs on it must be done: it is put in order by that.")
    expected_seconds: int = Field(default=0, ge=0, description="How long it will be held, where that is less than its term: an estimate.")
    project: str = Field(default="", max_length=64, description="The team's project that it is charged to; empty for none.")


class LeaseWait(BaseModel):
    """Why a lease waits, as the scheduler's last pass found."""

    binding: str = Field(description="The constraint that binds, such as capacity, quota or reservation.")
    reason: str
    since: datetime
    until: datetime | None = Field(default=None, description="It is not tried again before: machines of its type were out of stock.")
    reserved: bool = Field(default=False, description="Slots are kept free for it: what would delay it does not begin.")


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
    accelerator: str = ""
    price_class: str = "on_demand"
    devices: list[str] = Field(default=[], description="What a program calls its GPUs, where that is not their index.")
    machine: str = Field(default="", description="The type of the machines that were made for it.")
    machines: list[str] = Field(default=[], description="Those machines.")
    cluster_id: str = ""
    terms: list[int] = Field(default=[], description="Seconds of the first term, and of each renewal.")
    renewals: list[str] = Field(default=[], description="The renewals' names, in order: what each is reserved under in the ledger.")
    slots_wanted: int = Field(default=0, description="How many it asked for: where machines are made, every slot of them.")
    queue: str = ""
    asked_at: datetime | None = Field(default=None, description="When it began to wait; none for one that was granted at once.")
    give_up_at: datetime | None = Field(default=None, description="Until when it waits.")
    waiting: LeaseWait | None = None
    project: str = Field(default="", description="The team's project that it is charged to; empty for none.")

    @field_validator("waiting", mode="before")
    @classmethod
    def _nothing_is_none(cls, kept: JsonValue) -> JsonValue:
        """A row says `{}` where there is nothing to say; of one that has begun, only what was foretold of it."""
        return None if isinstance(kept, dict) and "binding" not in kept else kept

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
    pool: str = ""
