"""How machines fail and come back: rates of published fleets, and for each node its own failures from a seed."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from factory_infra.foundation.twin.draws import spread, stream

HOUR = 3600.0
DAY = 24 * HOUR
FleetName = Literal["none", "rsc-1", "rsc-2", "llama-3"]

PER_1000_NODE_DAYS: dict[FleetName, float] = {"none": 0.0, "rsc-1": 6.50, "rsc-2": 2.34, "llama-3": 419 / (54 * 2048) * 1000}
"""Failures for each 1,000 days of a node of 8 GPUs. rsc-1 and rsc-2: two clusters of A100 for research, 11 months, in "Revisiting
Reliability in Large-Scale Machine Learning Research Clusters" (Kokolis and others, HPCA 2025). llama-3: 419 unexpected interruptions in
54 days on 16,384 H100, in "The Llama 3 Herd of Models" (2024), table 5."""


class FailureKind(BaseModel):
    """One way to fail."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=40)
    share: float = Field(gt=0, le=1, description="Of all failures.")
    repair_hours: float = Field(gt=0, le=24 * 90, description="The median until the node is back.")


KINDS: tuple[FailureKind, ...] = (
    FailureKind(name="gpu", share=190 / 419, repair_hours=12.0),
    FailureKind(name="gpu_memory", share=72 / 419, repair_hours=12.0),
    FailureKind(name="software", share=69 / 419, repair_hours=0.5),
    FailureKind(name="network", share=42 / 419, repair_hours=4.0),
    FailureKind(name="host", share=46 / 419, repair_hours=2.0),
)
"""Shares by table 5 of the Llama 3 report, its small rows joined to the nearest. Repair times are our assumption: that report has none."""


class FailureModel(BaseModel):
    """How the machines of a fleet fail: each by itself, at a constant rate, out of order until it is repaired."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fleet: FleetName = Field(default="none", description="Whose rate of failures: a published fleet's.")
    scale: float = Field(default=1.0, gt=0, le=1000, description="That rate times so much.")
    kinds: tuple[FailureKind, ...] = Field(default=KINDS, min_length=1, max_length=50)
    repair_sigma: float = Field(default=0.8, ge=0, le=3, description="How far repair times spread (of a log-normal).")

    @property
    def per_node_second(self) -> float:
        """Failures of one node in one second of being in order."""
        return PER_1000_NODE_DAYS[self.fleet] * self.scale / 1000 / DAY


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure of one node."""

    at: float
    kind: str
    back_at: float


def failures(model: FailureModel, seed: int, node: str, start: float = 0.0) -> Iterator[Failure]:
    """Yield a node's failures in order of time, from a start in seconds, without end; none where the rate is 0."""
    rate = model.per_node_second
    if rate <= 0:
        return
    draws = stream(seed, "failures", node)
    shares = [kind.share for kind in model.kinds]
    now = start
    while True:
        now += draws.expovariate(rate)
        kind = draws.choices(model.kinds, shares)[0]
        back = now + spread(draws, kind.repair_hours * HOUR, model.repair_sigma)
        if not math.isfinite(back):
            return
        yield Failure(now, kind.name, back)
        now = back
