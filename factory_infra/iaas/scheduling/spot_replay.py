"""A job with a deadline, played against what was to be had: what it costs under a policy, tick by tick."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from factory_infra.errors import InvalidInput
from factory_infra.iaas.scheduling.spot_switching import ON_DEMAND, WAIT, Situation, SpotJob, Switching, guarded, left_after


@dataclass(frozen=True, slots=True)
class Prices:
    """Of an hour, of one machine. The defaults are those of a p3.2xlarge (one V100) in the published setting."""

    on_demand_hourly: float = 3.06
    spot_hourly: float = 0.9701

    def of(self, choice: int) -> float:
        """What a second on a choice costs."""
        return 0.0 if choice == WAIT else (self.on_demand_hourly if choice == ON_DEMAND else self.spot_hourly) / 3600


@dataclass(frozen=True, slots=True)
class Played:
    """How it went."""

    cost: float
    finished_seconds: float
    missed: bool
    changeovers: int
    taken: int
    """How often its spot machine was taken from it."""
    spot_seconds: float
    on_demand_seconds: float
    waited_seconds: float

    def saved(self, job: SpotJob, prices: Prices) -> float:
        """The share of the on-demand price that was saved, 0 to 1; on demand starts once and runs through."""
        return 1 - self.cost / on_demand_cost(job, prices)


def on_demand_cost(job: SpotJob, prices: Prices) -> float:
    """What the job costs on demand from its start to its end."""
    return (job.work_seconds + job.changeover_seconds) * prices.of(ON_DEMAND)


def play(job: SpotJob, up: NDArray[np.bool_], tick_seconds: float, policy: Switching, prices: Prices | None = None) -> Played:
    """Play a job from the first tick of `up` (zones × ticks) on. Raises InvalidInput where it ends before the deadline does."""
    job.check()
    prices = prices or Prices()
    if up.shape[1] * tick_seconds < job.deadline_seconds:
        raise InvalidInput(
            f"The trace has {up.shape[1] * tick_seconds:g} s after the start, the deadline is at {job.deadline_seconds:g} s.",
            remedy="Start the job earlier in the trace.",
            code="trace_too_short",
        )
    columns = [tuple(column) for column in up.T.tolist()]
    return Player(job, tick_seconds, prices).run(columns, policy)


class Player:
    """The state of one job that is played."""

    def __init__(self, job: SpotJob, tick_seconds: float, prices: Prices) -> None:
        self.job, self.tick, self.prices = job, tick_seconds, prices
        self.work, self.changeover, self.place = job.work_seconds, 0.0, WAIT
        self.cost = 0.0
        self.changeovers = self.taken = 0
        self.seconds = {"spot": 0.0, "on_demand": 0.0, "wait": 0.0}

    def run(self, columns: list[tuple[bool, ...]], policy: Switching) -> Played:
        """Go on until the work is done; the guard sees to it that this is before the columns end."""
        for number, column in enumerate(columns):
            if self.place >= 0 and not column[self.place]:
                self.place, self.changeover, self.taken = WAIT, 0.0, self.taken + 1
            seen = Situation(number * self.tick, self.work, self.place, self.changeover, column)
            spent = self.step(seen, guarded(policy, self.job, seen, self.tick))
            if self.work <= 0:
                return self.played(seen.now + spent)
        return self.played(float("inf"))

    def step(self, seen: Situation, choice: int) -> float:
        """Spend a tick on a choice, or less where the work ends in it. Returns how long it was used."""
        if choice not in (WAIT, self.place):
            self.changeovers += 1
            self.changeover = self.job.changeover_seconds
        needed = self.changeover + self.work if choice != WAIT else self.tick
        spent = min(needed, self.tick)
        self.work, self.changeover = left_after(self.job, seen, choice, self.tick)
        self.place = choice
        self.cost += spent * self.prices.of(choice)
        self.seconds["wait" if choice == WAIT else "on_demand" if choice == ON_DEMAND else "spot"] += spent
        return spent

    def played(self, finished: float) -> Played:
        """The result."""
        return Played(
            cost=self.cost,
            finished_seconds=finished,
            missed=finished > self.job.deadline_seconds + 1e-3,
            changeovers=self.changeovers,
            taken=self.taken,
            spot_seconds=self.seconds["spot"],
            on_demand_seconds=self.seconds["on_demand"],
            waited_seconds=self.seconds["wait"],
        )
