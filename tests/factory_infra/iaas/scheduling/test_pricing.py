"""What a run is expected to take and cost."""

import math
import random

import pytest

from factory_infra.iaas.scheduling.models import Workload
from factory_infra.iaas.scheduling.pricing import Estimate, Offer, expected
from tests.factory_infra.iaas.scheduling.worlds import work

HOUR = 3600.0


def estimate(workload: Workload, interruptions_hourly: float, restart_seconds: float = 60.0) -> Estimate:
    offer = Offer("spot", "spot", 10.0, interruptions_hourly)
    return expected(workload, offer, seconds=workload.seconds, members=workload.members, restart_seconds=restart_seconds)


def simulated(seconds: float, kept: float, rate: float, restart: float) -> float:
    """The mean time of runs that are interrupted at random."""
    draw, total, runs = random.Random(1), 0.0, 4000  # noqa: S311
    for _ in range(runs):
        done = 0.0
        while done < seconds:
            stretch = min(kept, seconds - done)
            until = draw.expovariate(rate)
            if until >= stretch:
                total, done = total + stretch, done + stretch
            else:
                total += until + restart
    return total / runs


class TestExpected:
    def test_without_interruptions_it_is_the_run(self) -> None:
        found = estimate(work("w", seconds=HOUR, members=2), 0.0)
        assert found.seconds == pytest.approx(HOUR)
        assert found.cost == pytest.approx(20.0)

    @pytest.mark.parametrize("kept", [600.0, 7200.0])
    def test_it_agrees_with_a_simulation(self, kept: float) -> None:
        found = estimate(work("w", seconds=7200.0, checkpoint_seconds=kept), 0.5)
        assert found.seconds == pytest.approx(simulated(7200.0, kept, 0.5 / HOUR, 60.0), rel=0.05)

    def test_checkpoints_save_work(self) -> None:
        assert estimate(work("w", seconds=7200.0, checkpoint_seconds=600.0), 1.0).cost < estimate(work("w", seconds=7200.0), 1.0).cost

    def test_what_would_never_end_costs_without_limit(self) -> None:
        assert estimate(work("w", seconds=1e6), 10.0).cost == math.inf
