"""The least that a job with a deadline could have cost, had all of the trace been known before: the bound that no policy can pass."""

from dataclasses import dataclass
from math import ceil, isclose

import numpy as np
from numpy.typing import NDArray

from factory_infra.errors import InvalidInput
from factory_infra.iaas.scheduling.spot_replay import Prices
from factory_infra.iaas.scheduling.spot_switching import ON_DEMAND, SpotJob

UNITS_A_TICK_MAX = 10_000
Costs = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Grid:
    """Time in whole units, so that the dynamic programme is exact: no rounding of work, changeover or ticks."""

    tick: int
    work: int
    changeover: int
    unit_seconds: float


def grid(job: SpotJob, tick_seconds: float) -> Grid:
    """The coarsest unit of whole milliseconds in which everything is whole. Raises InvalidInput where none is."""
    values = np.array([tick_seconds, job.work_seconds, job.changeover_seconds]) * 1000
    whole = np.round(values).astype(np.int64)
    if not all(isclose(a, b, abs_tol=1e-6) for a, b in zip(values, whole, strict=True)):
        raise InvalidInput("The oracle counts in milliseconds.", remedy="Give work, changeover and tick as whole milliseconds.")
    unit = int(np.gcd.reduce(whole))
    tick, work, changeover = (int(each) // unit for each in whole)
    if tick > UNITS_A_TICK_MAX:
        raise InvalidInput(
            f"Work, changeover and tick have no common unit above {unit} ms.", remedy="Round them to a common part of a tick, such as 15 s."
        )
    return Grid(tick, work, changeover, unit / 1000)


def least_cost(job: SpotJob, up: NDArray[np.bool_], tick_seconds: float, prices: Prices | None = None) -> float:
    """The least cost over every schedule that keeps the deadline, by a dynamic programme backwards in time, over the work that is left.

    A machine is started at the beginning of a tick and kept at least until its changeover is over, for a shorter stay only costs; the
    last tick is paid for as far as it is used. `up` is zones × ticks; the deadline is taken down to a whole tick. Raises InvalidInput.
    """
    job.check()
    prices = prices or Prices()
    units = grid(job, tick_seconds)
    ticks = int(job.deadline_seconds // tick_seconds)
    if ticks > up.shape[1]:
        raise InvalidInput("The trace ends before the deadline.", remedy="Start the job earlier in the trace.", code="trace_too_short")
    machines = np.vstack([up[:, :ticks], np.ones((1, ticks), dtype=np.bool_)])
    rates = np.array([prices.of(zone) for zone in range(len(up))] + [prices.of(ON_DEMAND)]) * units.unit_seconds
    return float(Backwards(units, machines, rates).solve())


class Backwards:
    """The tables of the programme: for each tick and each machine that the job may be on, the least cost by the work that is left."""

    def __init__(self, units: Grid, machines: NDArray[np.bool_], rates: NDArray[np.float64]) -> None:
        self.units, self.machines, self.rates = units, machines, rates
        self.first = max(ceil(units.changeover / units.tick), 1)
        """How many ticks a machine is kept at least."""
        self.amounts = np.arange(units.work + 1, dtype=np.float64)
        late = np.full(units.work + 1, np.inf)
        late[0] = 0.0
        self.late = late

    def solve(self) -> float:
        """Go from the deadline to the start; returns the least cost of all the work."""
        count, ticks = self.machines.shape
        idle = [self.late] * (ticks + self.first + 1)
        on = [[self.late] * count for _ in range(ticks + self.first + 1)]
        for tick in range(ticks - 1, -1, -1):
            starts = [self.started(tick, machine, on) for machine in range(count) if self.stays(tick, machine)]
            idle[tick] = np.minimum.reduce([idle[tick + 1], *starts])
            for machine in range(count):
                stay = self.spent(self.units.tick, 0, machine, on[tick + 1][machine]) if self.machines[machine, tick] else self.late
                on[tick][machine] = np.minimum(idle[tick], stay)
            on[tick + self.first + 1] = []
        return float(idle[0][-1])

    def stays(self, tick: int, machine: int) -> bool:
        """Whether a machine that is started now is there until its changeover is over."""
        window = self.machines[machine, tick : tick + self.first]
        return len(window) == self.first and bool(window.all())

    def started(self, tick: int, machine: int, on: list[list[Costs]]) -> Costs:
        """The cost from here when a machine is started now."""
        return self.spent(self.first * self.units.tick, self.units.changeover, machine, on[tick + self.first][machine])

    def spent(self, span: int, lost: int, machine: int, after: Costs) -> Costs:
        """The cost of a span on a machine, of which `lost` brings nothing, and of what comes after."""
        rate, gained = self.rates[machine], span - lost
        costs = np.empty_like(self.amounts)
        short = min(gained, len(costs) - 1)
        costs[: short + 1] = (self.amounts[: short + 1] + lost) * rate
        if gained < len(costs) - 1:
            costs[short + 1 :] = span * rate + after[1 : len(costs) - short]
        costs[0] = 0.0
        return costs
