"""What the metrics share: shares, ranks, and a figure that gets its number or the words that there is none."""

import math
from collections.abc import Mapping

from factory_infra.paas.kpis.models import Amount, Exclusion, Goal, Kpi, Part

HOUR = 3_600_000_000
"""Microseconds."""
MINUTE = 60_000_000
PARTS_MAX = 20


def share(n: float, of: float) -> float | None:
    """A share; None of nothing."""
    return n / of if of > 0 else None


def rank(counts: Mapping[int, int], quantile: float) -> int | None:
    """The smallest value that this share of all does not exceed: nearest rank, exact."""
    at = math.ceil(quantile * sum(counts.values()))
    for value in sorted(counts):
        at -= counts[value]
        if at <= 0:
            return value
    return None


def finished(kpi: Kpi, value: float | None, *, enough: bool, few: str) -> Kpi:
    """Give a figure its number, or the words that there is none."""
    if value is None or not enough:
        return kpi.model_copy(update={"note": few, "value": None, "met": None})
    return kpi.model_copy(update={"value": value, "met": kpi.goal.met_by(value)})


def left_out(*told: tuple[str, float]) -> list[Exclusion]:
    """What was left out, as far as there was any."""
    return [Exclusion(words=words, amount=amount) for words, amount in told if amount]


def part(name: str, n: float, of: float, *, enough: bool = True, note: str = "") -> Part:
    """The figure of one pool or the like."""
    return Part(name=name, value=share(n, of) if enough else None, numerator=n, denominator=of, note=note)


def blank(name: str, title: str, definition: str, goal: Goal, **more: object) -> Kpi:
    """A figure without its number."""
    nothing = Amount(words="", value=0)
    return Kpi.model_validate(
        {
            "name": name,
            "title": title,
            "definition": definition,
            "unit": "share",
            "goal": goal,
            "numerator": nothing,
            "denominator": nothing,
        }
        | more
    )
