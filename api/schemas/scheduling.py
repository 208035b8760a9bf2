"""What is asked about leases that are not asked for yet."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from factory_infra.foundation.pools.spec import PriceClass
from factory_infra.iaas.leases.models import PRIORITY_MAX, QUEUE_PATTERN
from factory_infra.iaas.scheduling.answers import Foreseen


class ForeseeQuestion(BaseModel):
    """The lease that would be asked for."""

    model_config = ConfigDict(extra="forbid")

    slots: int = Field(ge=1, le=100_000)
    tenant: str | None = Field(default=None, max_length=64, description="The team; of the key if left out.")
    seconds: int = Field(default=3600, ge=60, le=604_800)
    pool: str = Field(default="", max_length=40)
    or_pools: list[str] = Field(default=[], max_length=20, description="Others that will do, the preferred first.")
    accelerator: str = Field(default="", max_length=64)
    price_class: PriceClass | None = None
    topology: Literal["any", "node", "rack"] = "any"
    queue: str = Field(default="", max_length=200, pattern=QUEUE_PATTERN)
    priority: int = Field(default=0, ge=-PRIORITY_MAX, le=PRIORITY_MAX)
    slots_min: int = Field(default=0, ge=0, le=100_000)
    expected_seconds: int = Field(default=0, ge=0, le=604_800)


class ForeseenLease(Foreseen):
    """What would become of it."""

    currency: str
