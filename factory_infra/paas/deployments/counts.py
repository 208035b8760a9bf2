"""What is counted of a version's answers: requests, errors, times, agreement, and what feedback calls right."""

import math
from dataclasses import dataclass, field

from factory_infra.paas.deployments.rollout_models import SideReport

FIRST_MS = 0.5
GROWTH = 1.2
BUCKETS = 64
"""Times are kept in buckets that grow by a fifth: from half a millisecond to about a minute, so a percentile is off by a fifth at most."""


def bucket_of(milliseconds: float) -> int:
    """Which bucket a time falls into."""
    if milliseconds <= FIRST_MS:
        return 0
    return min(math.ceil(math.log(milliseconds / FIRST_MS, GROWTH)), BUCKETS - 1)


def bound_of(bucket: int) -> float:
    """The longest time of a bucket, in milliseconds."""
    return float(FIRST_MS * GROWTH**bucket)


@dataclass
class Counts:
    """Sums over some requests of one side."""

    requests: int = 0
    errors: int = 0
    busy_ms: float = 0.0
    compared: int = 0
    agreed: int = 0
    labelled: int = 0
    right: int = 0
    latencies: list[int] = field(default_factory=lambda: [0] * BUCKETS)

    def answered(self, milliseconds: float) -> None:
        """One request was answered."""
        self.requests += 1
        self.busy_ms += milliseconds
        self.latencies[bucket_of(milliseconds)] += 1

    def failed(self, milliseconds: float) -> None:
        """One request was not answered, or wrongly."""
        self.requests += 1
        self.errors += 1
        self.busy_ms += milliseconds

    @property
    def timed(self) -> int:
        """How many answers have a time."""
        return sum(self.latencies)

    def percentile(self, share: float) -> float | None:
        """The time within which this share of the answers came, in milliseconds; None where there is no answer."""
        wanted, seen = share * self.timed, 0
        for bucket, count in enumerate(self.latencies):
            seen += count
            if count and seen >= wanted:
                return bound_of(bucket)
        return None

    def slower_than(self, milliseconds: float) -> int:
        """How many answers took longer for certain: those of buckets that begin above it."""
        return sum(count for bucket, count in enumerate(self.latencies) if bucket and bound_of(bucket - 1) >= milliseconds)

    def report(self) -> SideReport:
        """As it is shown."""
        return SideReport(
            requests=self.requests,
            errors=self.errors,
            latency_p50_ms=self.percentile(0.5),
            latency_p95_ms=self.percentile(0.95),
            compared=self.compared,
            agreed=self.agreed,
            labelled=self.labelled,
            right=self.right,
        )
