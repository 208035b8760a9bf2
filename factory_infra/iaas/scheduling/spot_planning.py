"""Our policy for a job with a deadline on spot: the least expected cost under chances that are learnt from what was seen, never late.

Spot comes and goes in spells, and the longer a spell has lasted the less likely it ends: the chances are counted by the age of the
spell. Under these, a dynamic programme backwards from the deadline says for each time and each amount of work that is left what
is cheapest now: spot, on demand, or to wait. It is made anew as the chances change.
"""

from dataclasses import dataclass, field
from math import ceil, floor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from factory_infra.iaas.scheduling.spot_replay import Prices
from factory_infra.iaas.scheduling.spot_switching import ON_DEMAND, WAIT, Situation, SpotJob

STEPS_MAX = 320
UNITS_A_STEP = 3
"""Finer grids were tried and change the cost by less than the luck of the draw."""
REPLAN_TICKS = 192
HISTORY_SECONDS = 5 * 86400.0
"""How much of the past is looked at; two days and forty were tried on the public trace of 2023 and are no better."""
AGE_SECONDS = (1500.0, 9000.0)
"""Where a spell passes from young to settled, and from settled to old: after the hazards of the public trace of 2023."""
AGES = len(AGE_SECONDS) + 1
PRIOR_TICKS = 30.0
"""So many ticks of the mean over all ages are added to each age, lest a few spells say too much."""
NEVER = 1e12
Costs = NDArray[np.float64]


class Chances(NamedTuple):
    """Chances a tick by the age of a spell: that it ends, and that it passes to the next age; and that another zone is up when one ends."""

    taken: tuple[float, ...]
    back: tuple[float, ...]
    older: tuple[float, ...]
    elsewhere: float


@dataclass(slots=True)
class Spells:
    """Counts of one kind of spell by age: ticks that were seen, and spells that ended."""

    ticks: list[float] = field(default_factory=lambda: [0.0] * AGES)
    ends: list[float] = field(default_factory=lambda: [0.0] * AGES)

    def count(self, age: int, *, ended: bool) -> None:
        """Count a tick."""
        self.ticks[age] += 1
        self.ends[age] += ended

    def chances(self) -> tuple[float, ...]:
        """That a spell of each age ends within a tick; no older one more likely than a younger one."""
        mean = (sum(self.ends) + 1) / (sum(self.ticks) + 20)
        raw = [(ends + PRIOR_TICKS * mean) / (ticks + PRIOR_TICKS) for ends, ticks in zip(self.ends, self.ticks, strict=True)]
        return tuple(float(each) for each in np.minimum.accumulate(np.minimum(raw, 1.0)))


@dataclass(slots=True)
class Watch:
    """Counts what the zones do, as one would see who always takes spot, in the zone that keeps its machines longest."""

    zones: int
    tick_seconds: float
    up: list[float] = field(init=False)
    falls: list[float] = field(init=False)
    ages: list[int] = field(init=False)
    """For how many ticks each zone has been as it is."""
    standing: Spells = field(default_factory=Spells)
    lacking: Spells = field(default_factory=Spells)
    taken: float = 1.0
    moved: float = 0.0
    none_for: int = 0
    """For how many ticks no zone has been up."""
    before: tuple[bool, ...] = ()
    held: int = WAIT

    def __post_init__(self) -> None:
        self.up, self.falls, self.ages = [20.0] * self.zones, [1.0] * self.zones, [0] * self.zones

    def see(self, column: tuple[bool, ...]) -> None:
        """Count one tick: for each zone, whether spot is to be had."""
        if self.held >= 0:
            lost = not column[self.held]
            self.standing.count(self.age_of(self.ages[self.held]), ended=lost)
            self.taken, self.moved = self.taken + lost, self.moved + (lost and any(column))
        elif self.before:
            self.lacking.count(self.age_of(self.none_for), ended=any(column))
        for zone, (was, now) in enumerate(zip(self.before, column, strict=False)):
            self.up[zone] += was
            self.falls[zone] += was and not now
            self.ages[zone] = self.ages[zone] + 1 if was == now else 0
        self.none_for = 0 if any(column) else self.none_for + 1
        self.held = self.best(column, self.held)
        self.before = column

    def age_of(self, ticks: int) -> int:
        """The age of a spell that has lasted for so many ticks: 0 for young."""
        return sum(ticks * self.tick_seconds >= edge for edge in AGE_SECONDS)

    def age(self, zone: int) -> int:
        """The age of a zone's spell, or of the one without any where `zone` is WAIT."""
        return self.age_of(self.none_for if zone == WAIT else self.ages[zone])

    def best(self, column: tuple[bool, ...], held: int) -> int:
        """The zone to be in: the one it is in while that is up, else the one that keeps its machines longest; WAIT where none is up."""
        if held >= 0 and column[held]:
            return held
        ups = [zone for zone, up in enumerate(column) if up]
        return min(ups, key=lambda zone: (-self.age(zone), self.falls[zone] / self.up[zone]), default=WAIT)

    def chances(self) -> Chances:
        """The chances as counted until now."""
        widths = np.diff((0.0, *AGE_SECONDS)) / self.tick_seconds
        older = (*(float(min(1 / max(width, 1), 1)) for width in widths), 0.0)
        return Chances(self.standing.chances(), self.lacking.chances(), older, self.moved / self.taken)


class Ahead(NamedTuple):
    """At one distance from the deadline, the expected cost to the end, by state and by the work that is left.

    Rows are the ages of a spell with spot, then of one without; `spot` has the first half only.
    """

    wait: Costs
    spot: Costs
    on_demand: Costs
    idle: Costs
    """The best of all from no machine."""


class Plan:
    """The programme's tables for what is left of one job, under one set of chances."""

    def __init__(self, job: SpotJob, seen: Situation, chances: Chances, prices: Prices, tick_seconds: float) -> None:
        ticks = max(ceil(job.deadline_seconds / tick_seconds / STEPS_MAX), 1)
        self.job, self.step = job, ticks * tick_seconds
        self.unit = self.step / UNITS_A_STEP
        self.changeover = ceil(job.changeover_seconds / self.unit - 1e-9)
        self.length = ceil(seen.work_left / self.unit) + 2 * self.changeover + 1
        self.world, self.machine, self.lost = transitions(chances, ticks)
        self.spot_cost, self.on_demand_cost = self.share(prices.of(0)), self.share(prices.of(ON_DEMAND))
        never = np.full((2 * AGES, self.length), NEVER)
        never[:, 0] = 0.0
        self.amounts = np.arange(self.length)
        self.tables = [Ahead(never, never[:AGES], never, never)]
        for step in range(1, floor((job.deadline_seconds - seen.now) / self.step) + 1):
            self.tables.append(self.before(self.tables[-1], step))

    def share(self, cost_a_second: float) -> Costs:
        """The cost of a step by the work that is left: less where the work ends in it."""
        return np.minimum(np.arange(self.length) / UNITS_A_STEP, 1.0) * cost_a_second * self.step

    def run(self, after: Costs) -> Costs:
        """What comes after a step on a machine."""
        found = np.zeros_like(after)
        found[:, UNITS_A_STEP:] = after[:, :-UNITS_A_STEP]
        return found

    def start(self, running: Costs) -> Costs:
        """What it costs to get on a machine: a changeover more to do. Work of nothing needs no machine."""
        found = np.full_like(running, NEVER)
        kept = self.length - self.changeover
        found[:, :kept] = running[:, self.changeover :]
        found[:, 0] = 0.0
        return found

    def before(self, after: Ahead, step: int) -> Ahead:
        """The tables one step further from the deadline."""
        on = after.on_demand.copy()
        on[:AGES] = np.minimum(on[:AGES], self.start(after.spot))
        on_demand = self.on_demand_cost + self.run(self.world @ on)
        spot = self.spot_cost + self.run(self.machine @ after.spot + self.lost @ after.idle)
        late = self.amounts > step * UNITS_A_STEP
        on_demand[:, late] = NEVER
        spot[:, late] = NEVER
        started = self.start(on_demand)
        spot = np.minimum(spot, started[:AGES])
        wait = self.world @ after.idle
        idle = np.minimum(wait, started)
        idle[:AGES] = np.minimum(idle[:AGES], self.start(spot))
        return Ahead(wait, spot, on_demand, idle)

    def at(self, costs: Costs, seconds: float) -> float:
        """The cost at an amount of work in seconds, between two units by a straight line."""
        amount = seconds / self.unit
        low = int(amount + 1e-9)
        if low + 1 >= self.length:
            return float(costs[low]) if low < self.length else NEVER
        share = max(amount - low, 0.0)
        return float(costs[low] * (1 - share) + costs[low + 1] * share) if share > 1e-9 else float(costs[low])

    def cheapest(self, seen: Situation, zone: int, age: int) -> int:
        """What is cheapest from here, when `zone` is where spot would be taken (or WAIT for nowhere), in a spell of an age."""
        left = floor((self.job.deadline_seconds - seen.now) / self.step)
        if left < 1:
            return zone
        table, extra = self.tables[left], self.job.changeover_seconds
        row = age if zone != WAIT else AGES + age
        options = {
            ON_DEMAND: self.at(table.on_demand[row], seen.work_left + (seen.changeover_left if seen.place == ON_DEMAND else extra)),
            WAIT: self.at(table.wait[row], seen.work_left),
        }
        if zone != WAIT:
            options[zone] = self.at(table.spot[row], seen.work_left + (seen.changeover_left if seen.place == zone else extra))
        return min(options, key=lambda choice: options[choice])


def transitions(chances: Chances, ticks: int) -> tuple[Costs, Costs, Costs]:
    """Of a step of so many ticks: from state to state of the world, from age to age of a kept machine, and where a lost one leads."""
    taken, back, older = (1 - (1 - np.array(each)) ** ticks for each in (chances.taken, chances.back, chances.older))
    world, machine, lost = np.zeros((2 * AGES, 2 * AGES)), np.zeros((AGES, AGES)), np.zeros((AGES, 2 * AGES))
    for age in range(AGES):
        following = min(age + 1, AGES - 1)
        for table, base, ends in ((world, 0, taken[age]), (machine, 0, taken[age]), (world, AGES, back[age])):
            table[base + age, base + age] += (1 - ends) * (1 - older[age])
            table[base + age, base + following] += (1 - ends) * older[age]
        lost[age, 0], lost[age, AGES] = taken[age] * chances.elsewhere, taken[age] * (1 - chances.elsewhere)
        world[age] += lost[age]
        world[AGES + age, 0] += back[age]
    return world, machine, lost


class Planned:
    """Decides by the plan under what was learnt: of the zones' past, where some is given, and of each tick since.

    Args:
        past: zones × ticks before the job was submitted; its last five days are looked at.
    """

    def __init__(self, past: NDArray[np.bool_] | None = None, prices: Prices | None = None) -> None:
        self.prices = prices or Prices()
        self.past = past
        self.watch: Watch | None = None
        self.plan: Plan | None = None
        self.ticks = 0

    def choose(self, job: SpotJob, seen: Situation, tick_seconds: float) -> int:
        """The cheapest of spot, on demand and waiting, as far as what was seen tells."""
        self.watch = self.watch or self.watched(len(seen.up), tick_seconds)
        self.watch.see(seen.up)
        if self.plan is None or self.ticks % REPLAN_TICKS == 0:
            self.plan = Plan(job, seen, self.watch.chances(), self.prices, tick_seconds)
        self.ticks += 1
        zone = self.watch.best(seen.up, seen.place)
        return self.plan.cheapest(seen, zone, self.watch.age(zone))

    def watched(self, zones: int, tick_seconds: float) -> Watch:
        """What the past tells."""
        watch = Watch(zones, tick_seconds)
        if self.past is not None:
            for column in self.past[:, -max(int(HISTORY_SECONDS / tick_seconds), 1) :].T.tolist():
                watch.see(tuple(column))
        return watch
