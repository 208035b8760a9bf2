"""What the ledger takes and tells."""

from datetime import datetime
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Unit = Literal["tokens", "slot_seconds"]
Breakdown = Literal["day", "agent", "model"]


class Charge(BaseModel):
    """What is reserved or settled: a quantity of a unit of a subject.

    For tokens `quantity` is what goes in and `quantity_out` what comes out; the two have prices of their own.
    """

    unit: Unit
    subject: str = Field(description="The model, or the kind of slot.")
    quantity: Decimal
    quantity_out: Decimal = Decimal(0)
    estimated: bool = False


class Attribution(BaseModel):
    """To whom and to what a charge belongs."""

    tenant: str
    plan_id: str = ""
    thread_id: str = ""
    agent: str = ""


class Entry(BaseModel):
    """One posting of the ledger."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    at: datetime
    tenant: str
    reservation: str
    action: str
    account: str
    amount: Decimal
    unit: str
    quantity: Decimal
    quantity_out: Decimal
    subject: str
    plan_id: str
    thread_id: str
    agent: str
    price_version: str
    estimated: bool


class CostLine(BaseModel):
    """What was spent on one subject."""

    unit: str
    subject: str
    quantity: Decimal
    quantity_out: Decimal
    amount: Decimal


class Cost(BaseModel):
    """What was spent and is still reserved."""

    currency: str
    spent: Decimal
    reserved: Decimal
    lines: list[CostLine]


class UsageLine(BaseModel):
    """What was spent under one day, agent or model."""

    name: str = Field(description="A date (UTC), an agent or a model; empty where the charge names none.")
    amount: Decimal
    slot_seconds: Decimal = Decimal(0)
    tokens: Decimal = Decimal(0)


class Reconciliation(BaseModel):
    """Whether the inventory equals the ledger."""

    leases_without_reservation: list[str]
    reservations_without_lease: list[str]
    settled_late: list[str] = Field(default=[], description="Reservations of ended leases that this check settled.")

    @property
    def equal(self) -> bool:
        """True when every held lease is reserved and nothing else is."""
        return not self.leases_without_reservation and not self.reservations_without_lease
