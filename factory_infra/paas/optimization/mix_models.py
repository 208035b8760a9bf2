"""What is asked of the twin about how machines are bought, and what it answers. Every number in an answer is simulated."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SLOTS_MAX = 4096
JOBS_MAX = 4000


class Load(BaseModel):
    """Work that is made up, where a pool has no past of its own: it comes by chance, as often by day as by night."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    jobs_an_hour: float = Field(gt=0, le=1000)
    slots: int = Field(default=1, ge=1, le=512, description="Of one job; half of them want so many, the others one.")
    hours: float = Field(default=2.0, gt=0, le=240, description="The median of their run times.")
    sigma: float = Field(default=0.8, ge=0, le=3, description="How far those spread (of a log-normal).")


class MixAsk(BaseModel):
    """How machines may be bought, and what goes wrong with them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pool: str = Field(default="", max_length=40, description="Whose past is run again; the default one if empty.")
    load: Load | None = Field(default=None, description="Made-up work in place of the past.")
    days: int = Field(default=7, ge=1, le=60, description="So much of the past is run again, or so much made-up work.")
    slots_a_machine: int = Field(default=8, ge=1, le=64)
    on_demand_hourly: float | None = Field(default=None, gt=0, le=10_000, description="Of one slot; by the price book where left out.")
    reserved_share: float = Field(default=0.6, gt=0, lt=1, description="A reserved hour's price over that of one on demand; used or not.")
    spot_share: float = Field(default=0.35, gt=0, lt=1, description="The mean of a spot hour's price over that of one on demand.")
    interruptions_hourly: float = Field(default=0.05, ge=0, le=10, description="How often a spot machine is taken back.")
    in_stock_hours: float = Field(default=48.0, ge=0, le=8760, description="The mean time with spot stock; 0: there always is.")
    out_of_stock_hours: float = Field(default=2.0, gt=0, le=8760)
    checkpoint_seconds: float = Field(default=900.0, ge=0, le=86_400, description="How much work an interruption costs at most; 0: all.")
    restart_seconds: float = Field(default=120.0, ge=0, le=86_400, description="What each start after the first costs.")
    slower_max: float = Field(default=0.2, ge=0, le=10, description="So much longer than on demand alone may work take on the mean.")
    seeds: int = Field(default=3, ge=1, le=20)


class MixLine(BaseModel):
    """One way to buy, on the mean of all seeds."""

    name: str
    reserved_slots: int
    spot: bool
    cost: float
    cost_low: float = Field(description="The cheapest seed.")
    cost_high: float
    saved_percent: float = Field(description="Against on demand alone.")
    completion_mean_seconds: float
    slower_percent: float
    queue_p95_seconds: float
    lost_slot_hours: float = Field(description="Work that was done and lost when machines were taken back.")
    interruptions: float
    finished_percent: float
    good_enough: bool = Field(description="It finished all that on demand alone did, and is not slower than may be.")


class MixAnswer(BaseModel):
    """Ways to buy machines for the same work, side by side, each decided by the product's own scheduler."""

    simulated: Literal[True] = True
    pool: str
    as_of: datetime
    work: str = Field(description="What was run.")
    jobs: float = Field(description="On the mean of the seeds.")
    seeds: int
    currency: str
    lines: list[MixLine]
    best: str = Field(description="The cheapest that is good enough.")
    words: str
