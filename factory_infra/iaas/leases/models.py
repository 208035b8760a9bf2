"""What a lease is."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from factory_infra.foundation.pools.spec import PriceClass

Topology = Literal["any", "node", "rack"]
"""Where its slots lie to each other: anywhere, in one machine, or in machines on one fast network."""


class LeaseState(StrEnum):
    """Where a lease is in its life. `granting`: machines are being made for it. `refused`: they could not be had; it cost nothing."""

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


HELD = (LeaseState.GRANTING.value, LeaseState.ACTIVE.value)


class LeaseRequest(BaseModel):
    """What is asked for; the key makes the grant one, however often it is asked."""

    tenant: str
    slots: int
    purpose: str = ""
    seconds: int = 3600
    plan_id: str = ""
    key: str
    pool: str = Field(default="", description="The default one if empty.")
    accelerator: str = Field(default="", description="The type in the catalogue, such as H100; any if empty.")
    price_class: PriceClass | None = Field(default=None, description="Where machines are made: the pool's own if None.")
    topology: Topology = "any"


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
