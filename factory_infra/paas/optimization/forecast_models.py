"""What is asked of a forecast and what it tells: plain values, so that they pass between processes."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Bucket = Literal["hour", "day"]


class Closed(BaseModel):
    """Closed to unknown fields."""

    model_config = ConfigDict(extra="forbid")


class Ask(Closed):
    """Series to go on with."""

    series: dict[str, list[float]] = Field(max_length=2000)
    season: int = Field(ge=1, le=1000)
    horizon: int = Field(ge=1, le=2000)
    level: float = Field(default=0.8, gt=0, lt=1, description="How much of the future the interval is to hold.")
    models: tuple[str, ...] = Field(default=(), description="Those that are tried; all of them if empty.")


class Backtest(Closed):
    """How well a series could have been foreseen in its past: windows in which nothing of what was foreseen had been seen."""

    windows: int = Field(description="On which models were compared, and more on which the chosen one was measured.")
    steps: int = Field(description="How far each window looks ahead.")
    error: float = Field(description="Mean absolute error of the chosen model, in the last windows, which did not choose it.")
    error_naive: float = Field(description="The same of the seasonal naive forecast: each value is that of one season before.")
    coverage: float = Field(description="How much of those windows lay in the interval.")

    @property
    def ratio(self) -> float | None:
        """The error against the naive one: below 1 is better. None where the naive one made none."""
        return self.error / self.error_naive if self.error_naive else None


class Line(Closed):
    """One series, gone on with."""

    model: str
    mean: list[float]
    low: list[float]
    high: list[float]
    backtest: Backtest | None = Field(default=None, description="None where there was too little of the past to hold any back.")


class Lines(Closed):
    """All series that were long enough."""

    lines: dict[str, Line]
    too_short: list[str] = []


class Point(BaseModel):
    """What is foreseen of one hour or day."""

    at: datetime
    mean: float
    low: float
    high: float


class Fills(BaseModel):
    """When a pool is full: the first bucket in which as much is asked for as stands there."""

    earliest: datetime | None = Field(description="By the upper end of the interval; None: not within the horizon.")
    expected: datetime | None
    latest: datetime | None = Field(description="By the lower end of the interval.")


class TeamLine(BaseModel):
    """What is foreseen of a team: its part of the pool's total."""

    team: str
    model: str
    now: float = Field(description="The mean of the last season.")
    points: list[Point]
    backtest: Backtest | None


class Reserving(BaseModel):
    """How many slots are best had as reserved ones: what is always in use is, and what seldom is, is not."""

    slots: int
    share_of_on_demand: float = Field(description="The price of a reserved slot-hour over that of one on demand.")
    hourly_cost: float = Field(description="With so many reserved and the rest on demand, on the mean.")
    hourly_cost_on_demand: float = Field(description="With none reserved.")
    hourly_cost_peak: float = Field(description="With as many reserved as the busiest hour asks for.")
    growth: float = Field(description="By which the past was multiplied: foreseen demand over that of the last four weeks.")


class CapacityReport(BaseModel):
    """What a pool will be asked for, and when it is full."""

    pool: str
    bucket: Bucket
    made_at: datetime
    as_of: datetime = Field(description="Up to when the past was looked at.")
    capacity: int = Field(description="Slots that stand there now.")
    history: int = Field(description="How many buckets of the past it was made from.")
    enough: bool = Field(description="Whether that is enough to foresee anything; without it there is no number.")
    words: str
    level: float
    total: list[Point] = []
    model: str = ""
    backtest: Backtest | None = None
    fills: Fills | None = None
    teams: list[TeamLine] = []
    others: Point | None = Field(default=None, description="For a team: the other teams' part on the mean, all together.")
    reserving: Reserving | None = None
