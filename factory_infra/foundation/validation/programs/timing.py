"""How a figure is taken: once to warm up, then again and again within a bounded time; the median of the rounds is told."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

ROUNDS_MIN = 3


@dataclass(frozen=True)
class Rounds:
    """Seconds of each round."""

    seconds: list[float]

    @property
    def median(self) -> float:
        """The usual round: unlike the mean, one disturbed round does not move it."""
        return max(statistics.median(self.seconds), 1e-9)


def rounds(work: Callable[[], object], seconds: float, *, settle: Callable[[], object] | None = None) -> Rounds:
    """Do the work for so many seconds, at least three times after a first one that does not count.

    Args:
        settle: waits for what the work has only started, such as a GPU's kernels.
    """
    wait = settle or (lambda: None)
    work()
    wait()
    taken: list[float] = []
    deadline = time.monotonic() + seconds
    while len(taken) < ROUNDS_MIN or time.monotonic() < deadline:
        began = time.perf_counter()
        work()
        wait()
        taken.append(time.perf_counter() - began)
    return Rounds(taken)
