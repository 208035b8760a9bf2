"""Takes a sum of charges apart into what was counted and the price of each; the parts add up to the sum, to the last digit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Context, Decimal
from typing import Literal, NamedTuple

from factory_infra.errors import InvalidInput
from factory_infra.paas.optimization.models import Charge, PriceBasis
from factory_infra.saas.metering.prices import MILLION, SECONDS_PER_HOUR, SECONDS_PER_MINUTE, SMALLEST, PriceBook, Prices, named

ZERO = Decimal(0)
FINE = Decimal("0.000000000000000001")
"""Quantities and means of prices are told to so many digits."""
WIDE = Context(prec=50)
PER: dict[str, Decimal] = {
    "slot_seconds": SECONDS_PER_HOUR,
    "tokens": MILLION,
    "characters": MILLION,
    "audio_seconds": SECONDS_PER_MINUTE,
}
"""How much of a unit a price is of."""


@dataclass(frozen=True, slots=True)
class Booked:
    """Entries of one day, owner, thing and version of the prices, summed up. `entries` is how many roundings are in the amount."""

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
    pool: str
    resource: str
    resource_kind: str
    price_version: str
    corrects: Literal["", "same period", "earlier period"]
    charges: int
    entries: int
    quantity: Decimal
    quantity_out: Decimal
    quantity_cached: Decimal
    amount: Decimal


class Part(NamedTuple):
    """One thing that was counted, and its price."""

    meter: str
    consumed: Decimal
    price: Decimal | None
    amount: Decimal
    basis: PriceBasis


def metered(booked: Booked, book: PriceBook) -> list[Charge]:
    """The charges of a sum: nothing for one in which nothing was used and nothing charged, such as answers out of a cache."""
    if booked.corrects:
        return [charge_of(booked, Part("correction", ZERO, None, booked.amount, "none"), booked.charges)] if booked.amount else []
    parts = listed(booked, book) or [blended(booked)]
    found = [part for part in parts if part.consumed or part.amount]
    return [charge_of(booked, part, booked.charges if not place else 0) for place, part in enumerate(found)]


def listed(booked: Booked, book: PriceBook) -> list[Part]:
    """The parts by the prices of the book under which it was reserved; none where those do not explain the amount.

    They do not where a batch's discount, a cache's price or the prices of a version that is gone were charged: entries tell that not.
    Each entry was rounded to the smallest amount; the difference that makes is put on the largest part.
    """
    version = next((each for each in book.versions if each.version == booked.price_version), None)
    counted = [] if version is None else priced(booked, version)
    parts = [
        Part(meter, consumed, price, (consumed * price / PER[booked.unit]).quantize(SMALLEST), "list") for meter, consumed, price in counted
    ]
    rest = booked.amount - sum((part.amount for part in parts), ZERO)
    if not parts or abs(rest) > SMALLEST * (booked.entries + len(parts)):
        return []
    largest = max(range(len(parts)), key=lambda place: parts[place].amount)
    parts[largest] = parts[largest]._replace(amount=parts[largest].amount + rest)
    return parts


def priced(booked: Booked, version: Prices) -> Sequence[tuple[str, Decimal, Decimal]]:
    """What was counted of a subject, how much of it, and its price; nothing for a subject that the version does not know."""
    if booked.unit == "slot_seconds":
        try:
            return [("slots", booked.quantity, version.hour(booked.subject))]
        except InvalidInput:
            return []
    audio, tokens = named(version.audio, booked.subject), named(version.million_tokens, booked.subject)
    if booked.unit == "audio_seconds":
        return [("audio", booked.quantity, audio.minute)]
    if booked.unit == "characters":
        return [("characters", booked.quantity, audio.million_characters)]
    cached = tokens.into if tokens.cached is None else tokens.cached
    fresh = max(booked.quantity - booked.quantity_cached, ZERO)
    rows = (("input", fresh, tokens.into), ("cached", booked.quantity_cached, cached), ("output", booked.quantity_out, tokens.out))
    return [row for row in rows if row[1]] or [rows[0]]


def blended(booked: Booked) -> Part:
    """All of it as one, at the mean of what it cost."""
    consumed = booked.quantity + booked.quantity_out
    price = booked.amount * PER[booked.unit] / consumed if consumed else None
    return Part("blended", consumed, price, booked.amount, "mean" if consumed else "none")


def charge_of(booked: Booked, part: Part, charges: int) -> Charge:
    """A part with everything that its sum says of owner and thing."""
    return Charge(
        day=booked.day,
        organisation=booked.organisation,
        team=booked.team,
        team_title=booked.team_title,
        project=booked.project,
        key=booked.key,
        agent=booked.agent,
        plan=booked.plan,
        subject=booked.subject,
        unit=booked.unit,
        meter=part.meter,
        pool=booked.pool,
        resource=booked.resource,
        resource_kind=booked.resource_kind,
        price_version=booked.price_version,
        consumed=part.consumed,
        priced=(part.consumed / PER[booked.unit]).quantize(FINE, context=WIDE),
        unit_price=None if part.price is None else part.price.quantize(FINE, context=WIDE),
        basis=part.basis,
        amount=part.amount,
        charges=charges,
        corrects=booked.corrects,
    )
