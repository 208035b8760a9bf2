"""The records of a journal, and what each of them means for limits and for the ledger."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple, cast

from factory_infra.saas.metering.models import Attribution, Charge, Outcome, Resource, Transfer, Unit, Usage
from factory_infra.saas.metering.posting import Reservation, hit, reserving, settling
from factory_infra.saas.metering.prices import Rate, seconds

ZERO = Decimal(0)
TOKENS_MAX = 10**9
SECONDS_MAX = 1e7
Place = tuple[str, int]
"""A limit and the start of a window, in seconds since 1970."""


class Share(NamedTuple):
    """What one reservation holds of one limit's window."""

    limit_id: str
    start: int
    """Of the window, in seconds since 1970."""
    resource: Resource
    amount: Decimal


@dataclass(slots=True)
class Reserved:
    """Money and shares of limits that are set aside for one attempt at one backend."""

    number: int
    at: float
    name: str
    whose: Attribution
    backend: str
    subject: str
    rate: Rate
    tokens_in_max: int
    tokens_in_estimated: int
    tokens_out_max: int
    amount: Decimal
    shares: tuple[Share, ...]
    posted_as: str = ""
    """The name in the ledger, where the ledger had its own already."""
    last: Usage | None = None
    """How far the call was when that was last written."""
    line: bytes = b""
    last_line: bytes = b""

    @property
    def title(self) -> str:
        """The name in the ledger."""
        return self.posted_as or self.name


@dataclass(slots=True)
class Settled:
    """How a reservation ended, and what is charged."""

    number: int
    at: float
    reserved: Reserved
    usage: Usage
    outcome: str
    amount: Decimal
    reason: str = ""
    """Of a failure: the error's code."""
    line: bytes = b""


@dataclass(slots=True)
class Served:
    """An answer that came from the cache: nothing was reserved, used or charged."""

    number: int
    at: float
    name: str
    whose: Attribution
    backend: str
    subject: str
    saved: Usage
    posted_as: str = ""
    line: bytes = b""

    @property
    def title(self) -> str:
        """The name in the ledger."""
        return self.posted_as or self.name


Record = Reserved | Settled | Served


@dataclass(slots=True)
class Charged:
    """What settlements charge to one process's blocks, and what they used above what was reserved."""

    within: dict[Place, Decimal] = field(default_factory=dict)
    above: dict[Place, Decimal] = field(default_factory=dict)


def used_of(share: Share, usage: Usage, amount: Decimal) -> Decimal:
    """What of a share has been used up once the call has ended; a parallel slot never is."""
    match share.resource:
        case "money":
            return amount
        case "tokens":
            return Decimal(usage.tokens_in + usage.tokens_out)
        case "requests":
            return share.amount
        case _:
            return ZERO


def charged(records: Iterable[Record]) -> Charged:
    """Sum up what records charge to limits."""
    sums = Charged()
    for record in records:
        if not isinstance(record, Settled):
            continue
        for share in record.reserved.shares:
            used = used_of(share, record.usage, record.amount)
            place = (share.limit_id, share.start)
            if used > share.amount:
                sums.above[place] = sums.above.get(place, ZERO) + used - share.amount
            if within := min(used, share.amount):
                sums.within[place] = sums.within.get(place, ZERO) + within
    return sums


def transfers(record: Record) -> list[Transfer]:
    """The transfers that a record posts."""
    at = datetime.fromtimestamp(record.at, UTC)
    if isinstance(record, Reserved):
        worst = Usage(tokens_in=record.tokens_in_max, tokens_out=record.tokens_out_max)
        return [reserving(_held(record), charge_of(worst, record.subject), at)]
    if isinstance(record, Settled):
        held = record.reserved
        charge = charge_of(record.usage, held.subject)
        posted = settling(_held(held), charge, record.amount, at, cast("Outcome", record.outcome))
        return [replace(each, reason=record.reason) for each in posted] if record.reason else posted
    held_by_cache = Reservation(record.title, ZERO, record.whose, "", record.backend)
    return [hit(held_by_cache, record.subject, record.saved, at)]


def charge_of(usage: Usage, subject: str) -> Charge:
    """What was used, as the ledger writes it: in tokens, or where there are none in characters or seconds of sound."""
    spoken = not (usage.tokens_in or usage.tokens_out)
    unit: Unit = "characters" if spoken and usage.characters else "audio_seconds" if spoken and usage.audio_seconds else "tokens"
    if unit == "characters":
        return Charge(unit=unit, subject=subject, quantity=Decimal(usage.characters), estimated=usage.estimated)
    if unit == "audio_seconds":
        return Charge(unit=unit, subject=subject, quantity=seconds(usage.audio_seconds), estimated=usage.estimated)
    return Charge(
        unit=unit,
        subject=subject,
        quantity=Decimal(usage.tokens_in),
        quantity_out=Decimal(usage.tokens_out),
        quantity_cached=Decimal(usage.tokens_cached),
        quantity_cache_written=Decimal(usage.tokens_cache_written),
        quantity_reasoning=Decimal(usage.tokens_reasoning),
        estimated=usage.estimated,
    )


def sound(usage: Usage) -> Usage:
    """A usage that the ledger can hold: an upstream that tells of negative or absurd quantities must not break the books."""
    if (
        0 <= usage.tokens_in <= TOKENS_MAX
        and 0 <= usage.tokens_out <= TOKENS_MAX
        and 0 <= usage.tokens_cached + usage.tokens_cache_written <= usage.tokens_in
        and usage.tokens_cached >= 0
        and usage.tokens_cache_written >= 0
        and 0 <= usage.tokens_reasoning <= TOKENS_MAX
        and 0 <= usage.audio_seconds <= SECONDS_MAX
        and 0 <= usage.characters <= TOKENS_MAX
    ):
        return usage
    into, cached = _within(usage.tokens_in), _within(usage.tokens_cached)
    cached = min(cached, into)
    return Usage(
        tokens_in=into,
        tokens_out=_within(usage.tokens_out),
        tokens_cached=cached,
        tokens_cache_written=min(_within(usage.tokens_cache_written), into - cached),
        tokens_reasoning=_within(usage.tokens_reasoning),
        audio_seconds=min(usage.audio_seconds, SECONDS_MAX) if usage.audio_seconds > 0 else 0.0,
        characters=_within(usage.characters),
        estimated=usage.estimated,
    )


def _within(quantity: int) -> int:
    return min(max(quantity, 0), TOKENS_MAX)


def _held(record: Reserved) -> Reservation:
    return Reservation(record.title, record.amount, record.whose, record.rate.version, record.backend)
