"""What the ledger takes and tells."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

Unit = Literal["tokens", "slot_seconds", "characters", "audio_seconds"]
Breakdown = Literal["day", "agent", "model", "project", "key"]
Account = Literal["available", "reserved", "spent"]
Action = Literal["reserve", "settle", "release", "correct"]
Resource = Literal["money", "tokens", "requests", "parallel"]
Window = Literal["minute", "day", "month", "total", "now"]
Outcome = Literal["done", "failed", "disconnected", "cached", "recovered"]


def plain(number: Decimal) -> str:
    """A number as people write it: no exponent, no zeros at the end."""
    return f"{number.normalize():f}"


def _in_full(number: Decimal) -> str:
    return f"{number:f}"


Exact = Annotated[Decimal, PlainSerializer(_in_full, return_type=str, when_used="json")]
"""A quantity or an amount, which JSON tells in full: never with an exponent, as `3E-8` or `0E-12`."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one call of a model used, as the upstream reports it, or by our own count where it is `estimated`.

    `tokens_in` is the whole prompt, what came from a cache included; `tokens_out` the whole answer, reasoning included.
    """

    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    tokens_cache_written: int = 0
    tokens_reasoning: int = 0
    audio_seconds: float = 0.0
    characters: int = 0
    estimated: bool = False


class Charge(BaseModel):
    """What is reserved or settled: a quantity of a unit of a subject.

    For tokens `quantity` is what goes in, cached tokens included, and `quantity_out` what comes out, reasoning included;
    each direction has a price of its own, and so have cached tokens and those that a cache keeps.
    """

    unit: Unit
    subject: str = Field(description="The model, or the kind of slot.")
    quantity: Exact
    quantity_out: Exact = Decimal(0)
    quantity_cached: Exact = Field(default=Decimal(0), description="The part of `quantity` that came from a cache.")
    quantity_cache_written: Exact = Field(default=Decimal(0), description="The part of `quantity` that a cache kept.")
    quantity_reasoning: Exact = Field(default=Decimal(0), description="The part of `quantity_out` that is reasoning.")
    estimated: bool = False
    batch: bool = Field(default=False, description="Whether it was done in a batch, which some models do for less.")


class Attribution(BaseModel):
    """To whom and to what a charge belongs."""

    tenant: str
    project: str = ""
    key_id: str = ""
    plan_id: str = ""
    thread_id: str = ""
    agent: str = ""
    step: str = ""


@dataclass(frozen=True, slots=True)
class Transfer:
    """One movement of money between two accounts of a team: double entry by construction. `amount` is never negative."""

    at: datetime
    reservation: str
    action: str
    debit: Account
    credit: Account
    amount: Decimal
    charge: Charge
    whose: Attribution
    price_version: str
    backend: str = ""
    outcome: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Limit:
    """A hard cap on one resource in one window, for a team, one of its projects or one of its keys."""

    id: str
    resource: Resource
    window: Window
    cap: Decimal
    title: str
    """How the limit is named to the caller, such as `budget of team vision`."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How much of a limit is left, as far as this process knows without asking, for the headers of an answer."""

    limit: Limit
    remaining: Decimal
    reset_seconds: float


class Entry(BaseModel):
    """One transfer of the ledger."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    at: datetime
    tenant: str
    project: str
    key_id: str
    reservation: str
    action: str
    debit: str = Field(description="The account that the amount leaves: available, reserved or spent.")
    credit: str = Field(description="The account that the amount reaches.")
    amount: Exact
    unit: str
    quantity: Exact
    quantity_out: Exact
    quantity_cached: Exact
    quantity_reasoning: Exact
    subject: str
    backend: str
    plan_id: str
    thread_id: str
    agent: str
    step: str
    price_version: str
    outcome: str
    reason: str
    estimated: bool


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """Which entries are wanted, beyond those of a team and a plan. `since` is included, `until` is not."""

    key_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None
    """Entries with a smaller id only: the id of the last one of the page before."""


class CostLine(BaseModel):
    """What was spent on one subject."""

    unit: str
    subject: str
    quantity: Exact
    quantity_out: Exact
    amount: Exact


class Cost(BaseModel):
    """What was spent and is still reserved."""

    currency: str
    spent: Exact
    reserved: Exact
    lines: list[CostLine]


class UsageLine(BaseModel):
    """What was spent under one day, agent, model, project or key."""

    name: str = Field(description="A date (UTC), an agent, a model, a project or a key; empty where the charge names none.")
    amount: Exact
    slot_seconds: Exact = Decimal(0)
    tokens: Exact = Decimal(0)


class Reconciliation(BaseModel):
    """Whether the inventory equals the ledger."""

    leases_without_reservation: list[str]
    reservations_without_lease: list[str]
    settled_late: list[str] = Field(default=[], description="Reservations of ended leases that this check settled.")

    @property
    def equal(self) -> bool:
        """True when every held lease is reserved and nothing else is."""
        return not self.leases_without_reservation and not self.reservations_without_lease
