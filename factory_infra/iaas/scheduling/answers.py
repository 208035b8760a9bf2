"""What people are told of the scheduler: why something waits, when it should begin, and what would let it begin sooner."""

from datetime import datetime

from pydantic import BaseModel, Field, JsonValue

from factory_infra.iaas.scheduling.models import Binding


class Change(BaseModel):
    """A change to what was asked for that was tried in a copy of the scheduler, and began when it says."""

    words: str
    arguments: dict[str, JsonValue] = Field(description="Of leases.acquire: what to ask for in place of what was asked.")
    starts_at: datetime
    cost_more: float = Field(description="What it is expected to cost more, in the price book's currency; less where it is negative.")


class Why(BaseModel):
    """Why a lease, or a job, does not run yet."""

    lease_id: str = ""
    job_id: str = ""
    state: str
    binding: Binding | None = Field(default=None, description="The constraint that binds; none where it waits for nothing.")
    reason: str
    starts_at: datetime | None = Field(default=None, description="When it should begin; none where nothing that is known would let it.")
    starts_earliest: datetime | None = Field(default=None, description="It begins between this and the latest with a probability of 80 %.")
    starts_latest: datetime | None = None
    gives_up_at: datetime | None = None
    reserved: bool = Field(default=False, description="Slots are kept free for it: what would delay it does not begin.")
    changes: list[Change] = []


class Foreseen(BaseModel):
    """What would become of a lease if it were asked for now."""

    at_once: bool
    binding: Binding | None = None
    reason: str
    starts_at: datetime | None = None
    starts_in_seconds: float | None = None
    starts_earliest: datetime | None = None
    starts_latest: datetime | None = None
    slots: int
    cost: float = Field(description="What it is expected to cost, for as long as it is expected to be held.")
    cost_low: float
    cost_high: float
    changes: list[Change] = []
