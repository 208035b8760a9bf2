"""Time between failures and time to repair, with bounds: pure functions.

Failures are taken to come at a constant rate, repairs to last exponentially long. The bounds are those of a test that ends with its time
(NIST/SEMATECH e-Handbook of Statistical Methods, 8.4.5.1, chi-square): for r failures in a time T

    lower = 2 T / X2(1 - a/2; 2 r + 2)        upper = 2 T / X2(a/2; 2 r)

with X2(p; n) the quantile p of the chi-square distribution with n degrees of freedom; without a failure there is only
lower = 2 T / X2(1 - a; 2). For n = 2 k it is the distribution of a sum of k exponential times, so its tail is a sum of k terms and
the quantile is found by halving.
"""

import math
from collections.abc import Sequence

from pydantic import BaseModel, Field

CONFIDENCE = 0.9
FEW = 4
"""With fewer failures the bounds are so far apart that the number by itself says little."""


class Rate(BaseModel):
    """A mean time with its bounds."""

    hours: float | None = Field(default=None, description="The mean; None where nothing has happened yet.")
    hours_lower: float | None = None
    hours_upper: float | None = Field(default=None, description="None where too little has happened to bound it.")
    events: int = 0
    hours_watched: float = 0.0
    confidence: float = CONFIDENCE
    note: str = ""


def tail(x: float, k: int) -> float:
    """The chance that a chi-square number with 2 k degrees of freedom is above x."""
    if x <= 0:
        return 1.0
    half = x / 2
    terms = (math.exp(-half + i * math.log(half) - math.lgamma(i + 1)) for i in range(k))
    return min(math.fsum(terms), 1.0)


def chi_square(probability: float, degrees: int) -> float:
    """The quantile of the chi-square distribution for an even number of degrees of freedom, to nine digits."""
    if not 0 < probability < 1 or degrees < 2 or degrees % 2:
        raise ValueError(f"no quantile {probability} with {degrees} degrees of freedom")
    k, low, high = degrees // 2, 0.0, float(degrees)
    while tail(high, k) > 1 - probability:
        high *= 2
    while high - low > 1e-10 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if tail(middle, k) > 1 - probability else (low, middle)
    return (low + high) / 2


def between_failures(hours: float, failures: int, confidence: float = CONFIDENCE) -> Rate:
    """The mean time between failures.

    Args:
        hours: watched in all: of a node, or of all accelerators of a pool together.
        failures: in this time.
        confidence: that the truth lies between the bounds.
    """
    rate = Rate(events=failures, hours_watched=round(hours, 4), confidence=confidence)
    if hours <= 0:
        return rate.model_copy(update={"note": "Nothing was watched yet."})
    alpha = 1 - confidence
    if failures == 0:
        lower = 2 * hours / chi_square(1 - alpha, 2)
        note = f"No failure in {hours:.1f} h: only a lower bound can be told."
        return rate.model_copy(update={"hours_lower": lower, "note": note})
    bounds = {
        "hours": hours / failures,
        "hours_lower": 2 * hours / chi_square(1 - alpha / 2, 2 * failures + 2),
        "hours_upper": 2 * hours / chi_square(alpha / 2, 2 * failures),
        "note": few(failures, "failures") if failures < FEW else "",
    }
    return rate.model_copy(update=bounds)


def to_repair(hours: Sequence[float], confidence: float = CONFIDENCE) -> Rate:
    """The mean time to repair, of repairs that ended.

    Args:
        hours: how long each lasted.
    """
    count, whole = len(hours), math.fsum(hours)
    rate = Rate(events=count, hours_watched=round(whole, 4), confidence=confidence)
    if count == 0 or whole <= 0:
        return rate.model_copy(update={"note": "Nothing was repaired yet."})
    alpha = 1 - confidence
    bounds = {
        "hours": whole / count,
        "hours_lower": 2 * whole / chi_square(1 - alpha / 2, 2 * count),
        "hours_upper": 2 * whole / chi_square(alpha / 2, 2 * count),
        "note": few(count, "repairs") if count < FEW else "",
    }
    return rate.model_copy(update=bounds)


def few(count: int, what: str) -> str:
    """That a number rests on little."""
    return f"Only {count} {what if count > 1 else what.removesuffix('s')}: too few to rely on the mean, look at the bounds."
