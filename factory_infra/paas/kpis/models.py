"""What a key figure is: a number with all that it was made of, or the reason why there is none."""

from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

Unit = Literal["share", "hours", "seconds"]


class Goal(BaseModel):
    """What is wanted of a figure."""

    model_config = ConfigDict(frozen=True)

    above: bool = Field(description="Whether it should be above the value, or else below.")
    value: float
    words: str

    def met_by(self, value: float) -> bool:
        """Whether a value is good enough."""
        return value > self.value if self.above else value < self.value


class Amount(BaseModel):
    """A numerator or a denominator, in words."""

    words: str
    value: float
    unit: str = ""


class Exclusion(BaseModel):
    """What was left out, and how much of it there was."""

    words: str
    amount: float


class Part(BaseModel):
    """The same figure of one pool, node, surface or the like."""

    name: str
    value: float | None
    numerator: float
    denominator: float
    note: str = ""


class Kpi(BaseModel):
    """One key figure over one window."""

    name: str
    title: str
    definition: str = Field(description="What is counted, and how.")
    unit: Unit
    goal: Goal
    value: float | None = Field(default=None, description="None where too little has happened: then the note says so.")
    met: bool | None = Field(default=None, description="None where it cannot be told.")
    lower: float | None = Field(default=None, description="Where the figure has a bound: it is at least this.")
    upper: float | None = None
    note: str = ""
    numerator: Amount
    denominator: Amount
    exclusions: list[Exclusion] = []
    parts: list[Part] = []
    source: str = Field(default="", description="Where a formula is from.")
    query: str = Field(default="", description="The statement that gives the same sums from the whole log.")


class Burn(BaseModel):
    """How quickly an objective's budget of errors is used up: 1 uses it up exactly within its period."""

    objective: str
    severity: Literal["page", "ticket"]
    long_seconds: int
    short_seconds: int
    factor: float = Field(description="Above this in both windows, an alert is raised.")
    long: float | None = Field(description="None with too few events.")
    short: float | None
    burning: bool


class Alert(BaseModel):
    """A time in which an objective was burnt too quickly."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    objective: str
    severity: str
    reason: str
    burn: float = Field(description="In the long window, when it was raised.")
    raised_at: datetime
    cleared_at: datetime | None


class KpiPage(BaseModel):
    """Every key figure over one window."""

    since: datetime
    until: datetime
    log_read_at: datetime = Field(description="The log was read into the sums until then.")
    log_events: int
    kpis: list[Kpi]
    milliseconds: float = Field(description="How long the control plane took.")


class NewCounterfactual(BaseModel):
    """What slots would cost otherwise. It is fixed once and cannot be changed: windows that begin later are compared with it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=80)
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    hourly: dict[str, float] = Field(
        min_length=1, max_length=200, description="The price of a slot's hour by what it is, as the price book names it: gpu:H100, cpu."
    )
    used_share: float = Field(default=1.0, gt=0, le=1, description="How much of what is paid for would be in use: dedicated machines idle.")
    basis: str = Field(default="", max_length=400, description="Where the prices and the share are from.")


class FixedCounterfactual(BaseModel):
    """One that was fixed."""

    digest: str
    fixed_at: AwareDatetime
    fixed_by: str
    document: dict[str, JsonValue]
