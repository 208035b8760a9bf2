"""Placement while work comes and goes, at 70, 90 and 110 % of all GPUs: every policy beside the others. Nothing is published for it.

Run it with `python -m benchmarks.scheduling.churn`. Pods have the trace's shapes and come at random (Poisson) so that they ask for the load
on average. Run times are exponential with a mean of an hour: the trace's own have too long a tail to settle in a run. What finds no place
waits, and is tried again in order of arrival whenever something leaves (others behind it may pass); after half an hour its owner gives up.
"""

import argparse
import heapq
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.scheduling import data
from benchmarks.scheduling.inflation import COMPARED, seeds_of, synthetic
from cli.checks import Check
from factory_infra.iaas.scheduling.fleet import Fleet
from factory_infra.iaas.scheduling.models import NodeSpec, Seat, Shape
from factory_infra.iaas.scheduling.placement.interface import Placement
from factory_infra.iaas.scheduling.placement.mix import counted
from factory_infra.iaas.scheduling.placement.registry import DEFAULT_POLICY, build
from factory_infra.iaas.scheduling.traces.alibaba import NODES_FILE, read_nodes, read_pods, variants

LOADS = (0.7, 0.9, 1.1)
SEEDS = (42, 43)
SECONDS = 3600.0
"""The mean run time."""
WARM, TURNOVERS = 2.0, 3.0
"""How many mean run times pass before anything is counted, and then while it is."""
PATIENCE_SECONDS = 1800.0
COUNTED_FROM = WARM * SECONDS
RETRIES_MAX = 64
"""How many of those that wait are tried when something leaves."""


@dataclass(frozen=True)
class Coming:
    """What arrives when, and how long it stays once it runs."""

    at: float
    shape: Shape
    seconds: float


@dataclass
class Run:
    """How one run went, from the time at which the fleet is full for the first time."""

    allocated: float
    """Of all GPU thousandths, over time, in percent."""
    waited: float
    """Mean wait of those that started, in seconds."""
    gave_up: float
    """Of the GPU thousandths that arrived, in percent: their owners went before they started."""


def coming(shapes: Sequence[Shape], capacity: int, load: float, seed: int) -> list[Coming]:
    """Arrivals of one run."""
    draw = np.random.default_rng(seed)
    between = SECONDS * fmean(shape.milli for shape in shapes) / (load * capacity)
    count = int((WARM + TURNOVERS) * SECONDS / between)
    times, seconds = np.cumsum(draw.exponential(between, count)), draw.exponential(SECONDS, count)
    places = draw.integers(len(shapes), size=count)
    return [Coming(float(at), shapes[place], float(long)) for at, place, long in zip(times, places, seconds, strict=True)]


@dataclass
class Churn:
    """One run: what holds seats, what waits, what was counted."""

    fleet: Fleet
    placement: Placement
    leaving: list[tuple[float, int, Seat, Shape]] = field(default_factory=list)
    waiting: deque[Coming] = field(default_factory=deque)
    now: float = 0.0
    area: float = 0.0
    waits: list[float] = field(default_factory=list)
    lost: int = 0
    number: int = 0

    def to(self, at: float) -> None:
        """Let time pass, and what ends before leave; those that wait are tried whenever something did."""
        while self.leaving and self.leaving[0][0] <= at:
            when, _, seat, shape = heapq.heappop(self.leaving)
            self.advance(when)
            self.fleet.give((seat,), shape)
            self.retry()
        self.advance(at)

    def advance(self, at: float) -> None:
        """Count what is allocated until then."""
        self.area += self.fleet.used_milli * max(0.0, at - max(self.now, COUNTED_FROM))
        self.now = at

    def start(self, what: Coming) -> bool:
        """Place it now, if it fits."""
        seat = self.placement.place(self.fleet, what.shape)
        if seat is None:
            return False
        self.fleet.take((seat,), what.shape)
        self.number += 1
        heapq.heappush(self.leaving, (self.now + what.seconds, self.number, seat, what.shape))
        if what.at >= COUNTED_FROM:
            self.waits.append(self.now - what.at)
        return True

    def retry(self) -> None:
        """Try those that wait longest, each shape once; those that waited too long go."""
        while self.waiting and self.now - self.waiting[0].at > PATIENCE_SECONDS:
            gone = self.waiting.popleft()
            self.lost += gone.shape.milli if gone.at >= COUNTED_FROM else 0
        kept, refused = [], set[Shape]()
        for _ in range(min(RETRIES_MAX, len(self.waiting))):
            what = self.waiting.popleft()
            if what.shape in refused or not self.start(what):
                refused.add(what.shape)
                kept.append(what)
        self.waiting.extendleft(reversed(kept))


def run(nodes: Sequence[NodeSpec], shapes: Sequence[Shape], policy: str, load: float, seed: int) -> Run:
    """One run of one policy at one load."""
    fleet = Fleet(nodes)
    arriving = coming(shapes, fleet.capacity_milli, load, seed)
    churn = Churn(fleet, build(policy, counted(shapes), seed))
    for what in arriving:
        churn.to(what.at)
        if not churn.start(what):
            churn.waiting.append(what)
    arrived = sum(what.shape.milli for what in arriving if what.at >= COUNTED_FROM)
    allocated = 100 * churn.area / (fleet.capacity_milli * (churn.now - COUNTED_FROM))
    return Run(allocated, fmean(churn.waits), 100 * churn.lost / arrived)


Rows = dict[str, dict[float, Run]]


def measured(nodes: Sequence[NodeSpec], shapes: Sequence[Shape], policies: Sequence[str], seeds: Sequence[int]) -> Rows:
    """Every policy at every load: means over the seeds."""
    rows: Rows = {}
    for policy in policies:
        rows[policy] = {}
        for load in LOADS:
            runs = [run(nodes, shapes, policy, load, seed) for seed in seeds]
            rows[policy][load] = Run(*(fmean(getattr(each, name) for each in runs) for name in ("allocated", "waited", "gave_up")))
    return rows


def show(console: Console, rows: Rows) -> None:
    """Print the policies beside each other: GPUs allocated; mean wait; GPUs whose owners gave up."""
    table = Table("policy", *(f"{load:.0%}: allocated, waited, gave up" for load in LOADS), box=None)
    for policy, row in rows.items():
        cells = [f"{each.allocated:6.2f} %  {each.waited:5.0f} s  {each.gave_up:5.2f} %" for each in row.values()]
        table.add_row(policy + (" (default)" if policy == DEFAULT_POLICY else ""), *cells)
    console.print(table)


def measure(seeds: Sequence[int] = SEEDS) -> list[Check]:
    """The rows of the proof: our default against every other policy, at each load."""
    folder = data.folder("alibaba-gpu-2023")
    made: list[Check] = []
    if folder is None:
        made.append(data.absent("alibaba-gpu-2023", "Churn", "a synthetic trace of its form instead (simulated)"))
        nodes, shapes = synthetic().nodes, synthetic().shapes
    else:
        nodes = read_nodes(folder / NODES_FILE)
        shapes = [pod.shape for pod in read_pods(variants(folder)["default"], nodes)]
    rows = measured(nodes, shapes, COMPARED, seeds)
    show(Console(width=170), rows)
    for load in LOADS:
        ours = rows[DEFAULT_POLICY][load].allocated
        other = max(row[load].allocated for policy, row in rows.items() if policy != DEFAULT_POLICY)
        figure = f"{ours:.2f} % allocated, the best other {other:.2f} %"
        made.append(Check(f"churn at {load:.0%}: {DEFAULT_POLICY}", figure, "no less than any other, to 0.1 points", ours >= other - 0.1))
    return made


def main() -> int:
    """Measure what the options name, and print it."""
    data.take_option()
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=seeds_of, default=SEEDS)
    options.add_argument("--policies", default=",".join(COMPARED))
    asked = options.parse_args()
    folder = data.folder("alibaba-gpu-2023")
    if folder is None:
        sys.exit(f"There is no folder alibaba-gpu-2023 in {data.root().name}: name the folder of all traces after {data.OPTION}.")
    nodes = read_nodes(folder / NODES_FILE)
    show(
        Console(width=170),
        measured(nodes, [pod.shape for pod in read_pods(variants(folder)["default"], nodes)], asked.policies.split(","), asked.seeds),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
