"""What routes over pools answer."""

from pydantic import BaseModel, Field

from factory_infra.foundation.accelerators.models import Placement
from factory_infra.foundation.pools.spec import ProviderName


class PoolCard(BaseModel):
    """A pool as a team sees it: what it is, what it has, and what of it is free now."""

    name: str
    title: str = ""
    provider: ProviderName
    default: bool
    reachable: bool
    placement: Placement | None = None
    slot_kind: str = ""
    slots_total: int = 0
    slots_free: int = 0
    accelerators: dict[str, int] = Field(default={}, description="Slots by type of accelerator.")
    machines: list[str] = Field(default=[], description="What may be made there.")
    note: str = Field(default="", description="What is missing and why; where it is not reachable, what would help.")
