"""How far run times and waits were from what was said of them: what the intervals of predictions are made of."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Final

KEPT_MAX: Final = 512
ENOUGH: Final = 8
"""With fewer errors than this, the spread that is assumed counts."""
ASSUMED: Final = (0.5, 1.5)
"""The interval of run time by estimate that is assumed before anything was seen."""
SLACK_SECONDS: Final = 60.0
"""What is added to a wait and to what was foretold of it before the two are compared: for short ones their ratio says little."""
ASSUMED_WAITS: Final = tuple(NormalDist(0.15, 0.9).inv_cdf((step + 0.5) / 10) for step in range(10))
"""Ten errors of waits that count as seen from the start: their spread over simulated mixes, where estimates are off by a half."""
MISSES: Final = 0.1
"""So often a wait may be shorter than its interval, and so often longer."""
MISSES_BOUNDS: Final = (0.01, 0.15)
PACE: Final = 0.02
"""By how much one wait moves the levels at which the interval is cut."""


@dataclass(slots=True)
class Errors:
    """The logarithms of run time by estimate, of the last that ended by themselves."""

    seen: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_MAX))

    def add(self, actual_seconds: float, expected_seconds: float) -> None:
        """Learn from one that ended."""
        if actual_seconds > 0 and expected_seconds > 0:
            self.seen.append(math.log(actual_seconds / expected_seconds))

    def interval(self) -> tuple[float, float]:
        """By which factors estimates are to be multiplied so that about 80 % of run times lie between."""
        if len(self.seen) < ENOUGH:
            return ASSUMED
        ordered = sorted(self.seen)
        low, high = ordered[round(0.1 * (len(ordered) - 1))], ordered[round(0.9 * (len(ordered) - 1))]
        return math.exp(low), math.exp(high)


@dataclass(slots=True)
class Waits:
    """How far past waits were from what was foretold of them, and how often they lay outside of their interval.

    An interval is cut from past errors at two levels, and the levels follow what came: where more waits than one in ten were longer than
    their interval, the next is cut further out (adaptive conformal inference: Gibbs and Candes, NeurIPS 2021). So it keeps its promise
    where errors are not alike from week to week, and before many are known, at the price of being wide then.
    """

    seen: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_MAX))
    shorter: float = MISSES
    longer: float = MISSES

    def add(self, actual_seconds: float, foretold_seconds: float) -> None:
        """Learn from one that waited so long, of which it had been foretold that it would wait `foretold_seconds`."""
        actual, foretold = max(0.0, actual_seconds), max(0.0, foretold_seconds)
        low, high = self.interval(foretold)
        self.shorter = _moved(self.shorter, actual < low - SLACK_SECONDS)
        self.longer = _moved(self.longer, actual > high + SLACK_SECONDS)
        self.seen.append(math.log((actual + SLACK_SECONDS) / (foretold + SLACK_SECONDS)))

    def interval(self, foretold_seconds: float) -> tuple[float, float]:
        """Between which waits one lies with a probability of about 80 % of which so long a wait is foretold, which is one of them."""
        ordered = sorted([*ASSUMED_WAITS, *self.seen])
        low, high = (
            (foretold_seconds + SLACK_SECONDS) * math.exp(_quantile(ordered, level)) - SLACK_SECONDS
            for level in (self.shorter, 1.0 - self.longer)
        )
        return min(foretold_seconds, max(0.0, low)), max(foretold_seconds, high)


def _moved(level: float, missed: bool) -> float:
    least, most = MISSES_BOUNDS
    return min(most, max(least, level + PACE * (MISSES - missed)))


def _quantile(ordered: Sequence[float], level: float) -> float:
    """The value below which a new one lies with this probability, between those seen."""
    place = level * (len(ordered) + 1) - 1
    if place <= 0:
        return ordered[0]
    at = min(int(place), len(ordered) - 2)
    return ordered[at] + min(1.0, place - at) * (ordered[at + 1] - ordered[at])
