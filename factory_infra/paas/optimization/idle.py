"""How long slots stood unleased, and leases unused: pure functions of spans of time, in whole microseconds."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

SECOND = 1_000_000
DAY = 24 * 3600 * SECOND
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Span(NamedTuple):
    """A time: `begin` is in it, `end` is not. In microseconds since 1970."""

    begin: int
    end: int

    @property
    def length(self) -> int:
        """How long it is; 0 for one that ends before it begins."""
        return max(self.end - self.begin, 0)


@dataclass(frozen=True, slots=True)
class Standing:
    """Slots of one kind that stood in a pool for a time."""

    pool: str
    slot_kind: str
    accelerator: str
    price_class: str
    slots: frozenset[int]
    span: Span


@dataclass(frozen=True, slots=True)
class Held:
    """Slots that a lease held for a time."""

    lease: str
    team: str
    project: str
    pool: str
    subject: str
    slots: frozenset[int]
    span: Span
    active: bool = False


class Kind(NamedTuple):
    """What is told apart in a pool."""

    pool: str
    slot_kind: str
    accelerator: str
    price_class: str


@dataclass(slots=True)
class DaySum:
    """Slot-microseconds of one kind within one day."""

    stood: int = 0
    leased: int = 0

    @property
    def idle(self) -> int:
        """What nobody held."""
        return self.stood - self.leased


def micros(at: datetime) -> int:
    """A moment as whole microseconds since 1970."""
    return (at - EPOCH) // timedelta(microseconds=1)


def moment(at: int) -> datetime:
    """A whole number of microseconds since 1970 as a moment."""
    return EPOCH + timedelta(microseconds=at)


def seconds(slot_micros: int) -> Decimal:
    """Slot-microseconds as slot-seconds."""
    return Decimal(slot_micros) / SECOND


def clipped(span: Span, window: Span) -> Span:
    """The part of a span within a window; one of no length where there is none."""
    begin = min(max(span.begin, window.begin), window.end)
    return Span(begin, max(min(span.end, window.end), begin))


def joined(spans: Iterable[Span]) -> list[Span]:
    """The same times as spans that do not touch, in order."""
    found: list[Span] = []
    for span in sorted(each for each in spans if each.length):
        if found and span.begin <= found[-1].end:
            found[-1] = Span(found[-1].begin, max(found[-1].end, span.end))
        else:
            found.append(span)
    return found


def covered(spans: Iterable[Span]) -> int:
    """How long at least one of them lasts."""
    return sum(span.length for span in joined(spans))


def by_day(span: Span) -> list[tuple[int, Span]]:
    """A span cut at midnight (UTC), each part under the number of its day since 1970."""
    parts, begin = [], span.begin
    while begin < span.end:
        day = begin // DAY
        end = min((day + 1) * DAY, span.end)
        parts.append((day, Span(begin, end)))
        begin = end
    return parts


def unleased(standing: Sequence[Standing], held: Sequence[Held], window: Span) -> dict[Kind, dict[int, DaySum]]:
    """Sum up, by kind and day, how long slots stood and how long they were held meanwhile.

    A slot that two leases name at one time (there is none in sound books) counts once: idle time is never below zero. What stood outside
    the spans, where nobody looked, counts for nothing, and neither does a lease then.
    """
    claims: dict[tuple[str, int], list[Span]] = {}
    for each in held:
        span = clipped(each.span, window)
        if span.length:
            for slot in each.slots:
                claims.setdefault((each.pool, slot), []).append(span)
    taken = {place: Busy(joined(spans)) for place, spans in claims.items()}
    sums: dict[Kind, dict[int, DaySum]] = {}
    for row in standing:
        days = sums.setdefault(Kind(row.pool, row.slot_kind, row.accelerator, row.price_class), {})
        mine = [taken[row.pool, slot] for slot in row.slots if (row.pool, slot) in taken]
        for day, part in by_day(clipped(row.span, window)):
            total = days.setdefault(day, DaySum())
            total.stood += len(row.slots) * part.length
            total.leased += sum(busy.within(part) for busy in mine)
    return sums


class Busy:
    """When one slot was held, ready to be asked about any part of the time."""

    def __init__(self, spans: Sequence[Span]) -> None:
        """`spans` do not touch and are in order."""
        self._spans = spans
        self._begins = [span.begin for span in spans]
        self._ends = [span.end for span in spans]

    def within(self, part: Span) -> int:
        """For how long within a part."""
        first, last = bisect_right(self._ends, part.begin), bisect_left(self._begins, part.end)
        return sum(clipped(span, part).length for span in self._spans[first:last])


def unused(held: Held, jobs: Iterable[Span], window: Span) -> tuple[int, int]:
    """For how many slot-microseconds of a window a lease was held, and for how many of those no job ran on it."""
    span = clipped(held.span, window)
    used = covered(clipped(job, span) for job in jobs)
    return span.length * len(held.slots), (span.length - used) * len(held.slots)


def held_by_team(held: Iterable[Held], window: Span) -> dict[str, dict[str, Decimal]]:
    """Slot-seconds that each team held in each pool: pool → team → slot-seconds."""
    found: dict[str, dict[str, Decimal]] = {}
    for each in held:
        teams = found.setdefault(each.pool, {})
        length = clipped(each.span, window).length * len(each.slots)
        if length:
            teams[each.team] = teams.get(each.team, Decimal(0)) + seconds(length)
    return found


def observed_share(standing: Sequence[Standing], window: Span) -> Mapping[str, int]:
    """For how long each pool was observed, in microseconds."""
    pools: dict[str, list[Span]] = {}
    for row in standing:
        pools.setdefault(row.pool, []).append(clipped(row.span, window))
    return {pool: covered(spans) for pool, spans in pools.items()}
