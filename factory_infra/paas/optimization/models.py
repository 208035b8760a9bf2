"""What money was spent on and by whom, what stood idle, and how that is shared out."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Annotated, Literal, NamedTuple, Protocol

from pydantic import BaseModel, Field, PlainSerializer

Dimension = Literal["organisation", "team", "project", "plan", "model", "pool", "agent", "key", "day"]
DIMENSIONS: tuple[Dimension, ...] = ("organisation", "team", "project", "plan", "model", "pool", "agent", "key", "day")
BY_DEFAULT: tuple[Dimension, ...] = ("organisation", "team", "project", "pool", "model")
IdleRule = Literal["platform", "use", "quota"]
PriceBasis = Literal["list", "mean", "none"]
SMALLEST = Decimal("0.000000000001")
"""The smallest amount that the ledger keeps; what is shared out is shared in whole ones of it."""


def _in_full(number: Decimal) -> str:
    return f"{number:f}"


Money = Annotated[Decimal, PlainSerializer(_in_full, return_type=str, when_used="json")]
"""An amount or a quantity, which JSON tells in full: never with an exponent."""


def midnight(day: date) -> datetime:
    """When a day begins, in UTC."""
    return datetime.combine(day, time.min, tzinfo=UTC)


class Days(Protocol):
    """Days of UTC: `since` is in it, `until` is not."""

    @property
    def since(self) -> date:
        """The first day."""
        ...

    @property
    def until(self) -> date:
        """The first day that is no longer in it."""
        ...


class AllocationLine(BaseModel):
    """What was charged under one value of each dimension that was asked for; the others are None."""

    organisation: str | None = Field(default=None, description="The one that the team belongs to now; empty for none.")
    team: str | None = None
    project: str | None = None
    plan: str | None = None
    model: str | None = Field(default=None, description="A model, or the kind of slot.")
    pool: str | None = Field(default=None, description="Where the slots lay; empty for calls of models.")
    agent: str | None = None
    key: str | None = None
    day: date | None = None
    unit: str
    charges: int = Field(description="How many settlements it is the sum of.")
    quantity: Money
    quantity_out: Money
    amount: Money


class Allocation(BaseModel):
    """Everything that was charged over some days, each amount in exactly one line."""

    since: date
    until: date = Field(description="The first day that is no longer in it.")
    team: str | None = Field(description="None: every team.")
    currency: str
    by: list[Dimension]
    lines: list[AllocationLine]
    total: Money = Field(description="The sum of the lines.")
    ledger_total: Money = Field(description="What the ledger's sums by day say of the same days, read at the same moment.")

    @property
    def exact(self) -> bool:
        """Whether nothing was lost and nothing counted twice."""
        return self.total == self.ledger_total


@dataclass(frozen=True, slots=True)
class Charge:
    """What was charged on one day under one price, for one thing and one owner: the row of an export."""

    day: date
    organisation: str
    team: str
    team_title: str
    project: str
    key: str
    agent: str
    plan: str
    subject: str
    unit: str
    meter: str
    """What of the subject is counted: `input`, `output`, `cached`, `slots`, … ; `blended` where one price cannot say it."""
    pool: str
    resource: str
    """The lease, the cluster or the backend."""
    resource_kind: str
    price_version: str
    consumed: Decimal
    """In the ledger's unit; 0 for what is a correction."""
    priced: Decimal
    """In the unit that the price is of."""
    unit_price: Decimal | None
    """None for a correction: it has a reason, and no price."""
    basis: PriceBasis
    amount: Decimal
    charges: int
    corrects: Literal["", "same period", "earlier period"] = ""


class Taken(NamedTuple):
    """What the ledger says of one team."""

    team: str
    budget: Decimal
    taken: Decimal
    spent: Decimal
    lately: Decimal
    """Spent in the last seven days."""


class IdleLine(BaseModel):
    """What stood unleased in a pool over some days: paid for by whoever owns it, charged to nobody."""

    pool: str
    accelerator: str = ""
    slot_kind: str
    price_class: str
    slot_seconds: Money = Field(description="That stood there, as far as it was observed.")
    leased_slot_seconds: Money
    idle_slot_seconds: Money
    amount: Money = Field(description="What the idle time would have cost by the price book.")


class UnusedLine(BaseModel):
    """A lease's time in which no job ran on it: charged to the team already, and used for nothing."""

    lease_id: str
    team: str
    project: str = ""
    pool: str
    subject: str
    slots: int
    leased_slot_seconds: Money
    unused_slot_seconds: Money
    amount: Money = Field(description="The part of the charge that is for that time, by the price book of now where it runs still.")
    active: bool = Field(description="Whether it is held still.")


class ShareLine(BaseModel):
    """What a team is shown of a pool's idle cost, by the rule."""

    team: str
    pool: str
    weight: Money = Field(description="Slot-seconds that it held, or slots of its quota: whatever the rule goes by.")
    amount: Money


class IdleReport(BaseModel):
    """What was paid for in vain, and who is shown it."""

    since: date
    until: date
    as_of: datetime
    team: str | None = Field(description="None: every team.")
    currency: str
    rule: IdleRule
    rule_in_words: str
    unleased: list[IdleLine] = Field(description="By pool; for administrators.")
    shares: list[ShareLine] = Field(description="By team, of the amounts above: each pool's shares are its amount, to the last digit.")
    unused: list[UnusedLine] = Field(description="By lease, dearest first: within what was charged already.")
    unleased_total: Money
    shares_total: Money
    unused_total: Money
    observed_hours: float = Field(description="For how much of these days pools were observed: what was not is not counted as idle.")
    period_hours: float


RULES: dict[IdleRule, str] = {
    "platform": "Nobody but the platform: administrators see it, no team is shown any of it.",
    "use": "Teams in proportion to the slot-seconds that they held in the pool over these days; where nobody held any, the platform.",
    "quota": "Teams in proportion to the slots that their quotas let them hold in the pool; where none has a quota, the platform.",
}
