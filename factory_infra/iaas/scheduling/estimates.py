"""How far run times were from their estimates: what the intervals of predictions are made of."""

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

KEPT_MAX: Final = 512
ENOUGH: Final = 8
"""With fewer errors than this, the spread that is assumed counts."""
ASSUMED: Final = (0.5, 1.5)
"""The interval of run time by estimate that is assumed before anything was seen."""


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

    def factors(self) -> list[float]:
        """Run time by estimate of those that ended, to draw from; evenly over the assumed interval before enough was seen."""
        if len(self.seen) < ENOUGH:
            low, high = ASSUMED
            return [low + (high - low) * step / 10 for step in range(11)]
        return [math.exp(each) for each in sorted(self.seen)]

    def typical(self) -> float:
        """The median of run time by estimate; 1 before enough was seen."""
        if len(self.seen) < ENOUGH:
            return 1.0
        return math.exp(sorted(self.seen)[len(self.seen) // 2])
