"""How many slots were asked for over time: pure functions of the times that leases held slots or waited for them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from factory_infra.paas.optimization.idle import SECOND, Span

HOUR = 3600 * SECOND
HOURS_A_DAY = 24


@dataclass(frozen=True, slots=True)
class Claim:
    """Slots that a team held or waited for."""

    team: str
    slots: int
    span: Span


def hourly(claims: Iterable[Claim], begin: int, hours: int) -> list[float]:
    """Slots asked for in each hour from a moment on, on the mean of the hour."""
    sums = [0] * hours
    for claim in claims:
        first = max((claim.span.begin - begin) // HOUR, 0)
        last = min(-((begin - claim.span.end) // HOUR), hours)
        for hour in range(first, last):
            start = begin + hour * HOUR
            sums[hour] += claim.slots * max(min(claim.span.end, start + HOUR) - max(claim.span.begin, start), 0)
    return [total / HOUR for total in sums]


def peaks(hours: Sequence[float]) -> list[float]:
    """The largest hour of each whole day, from the first hour on."""
    return [max(hours[day : day + HOURS_A_DAY]) for day in range(0, len(hours) - HOURS_A_DAY + 1, HOURS_A_DAY)]


def by_team(claims: Sequence[Claim]) -> dict[str, list[Claim]]:
    """Claims apart, by team."""
    found: dict[str, list[Claim]] = {}
    for claim in claims:
        found.setdefault(claim.team, []).append(claim)
    return found
