"""What one decision costs: fleets of 1,000 and 10,000 nodes of 8 GPUs, full, with 1,000 to 50,000 workloads waiting in 100 or 1,000 queues.

Each pass is one in which a workload has ended and another has arrived. The plot has the cost by what waits, beside n log n from the first.
"""

import argparse
import math
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from pathlib import Path

from rich.console import Console

from cli.checks import Check, print_checks
from factory_infra.iaas.scheduling.fleet import Fleet
from factory_infra.iaas.scheduling.models import NodeSpec, Shape, Workload
from factory_infra.iaas.scheduling.policy import QuotaSpec, QuotaTree, SchedulingPolicy
from factory_infra.iaas.scheduling.queueing import Scheduler

NODES = (1_000, 10_000)
PENDING = (1_000, 10_000, 50_000)
PASSES = 60
SLACK = 2.0
"""How much a cost may exceed n log n from the smallest point: times on a shared machine vary so much."""


@dataclass(frozen=True)
class Cost:
    """What was measured."""

    nodes: int
    pending: int
    queues: int
    pass_ms: float
    start_ms: float


def workloads(queues: int, seed: int = 1) -> Iterator[Workload]:
    """An endless mix: shares of a machine to gangs of four whole ones."""
    draw = random.Random(seed)  # noqa: S311  (a simulation)
    number = 0
    while True:
        gpus = draw.choice((1, 1, 1, 2, 4, 8, 8))
        members = 1 if gpus < 8 else draw.choice((1, 1, 2, 4))
        queue = draw.randrange(queues)
        seconds = draw.choice((600, 1800, 3600, 7200, 20_000)) * draw.uniform(0.05, 1)
        shape = Shape(4000 * gpus, 16_384 * gpus, 1000, gpus)
        yield Workload(f"w{number}", f"group{queue // 10}/queue{queue}", shape, 0.0, seconds, members=members)
        number += 1


def measured(nodes: int, pending: int, passes: int = PASSES) -> Cost:
    """Fill a fleet, let so many wait, and time the passes after that."""
    queues = max(10, min(1000, pending // 10))
    racks = [NodeSpec(f"node{at}", 96_000, 1 << 20, 8, "H100", rack=f"rack{at // 16}") for at in range(nodes)]
    quotas = [QuotaSpec(name=f"group{at // 10}/queue{at}", guaranteed={"gpus": max(1, 8 * nodes // queues)}) for at in range(queues)]
    fleet, mix = Fleet(racks), workloads(queues)
    scheduler = Scheduler(SchedulingPolicy(placement="first_fit"), QuotaTree(queues=tuple(quotas)), {"pool": fleet})
    while fleet.used_milli < 0.97 * fleet.capacity_milli or len(scheduler.state.entries) < pending:
        for _ in range(500):
            scheduler.submit(next(mix))
        if fleet.used_milli < 0.97 * fleet.capacity_milli:
            scheduler.decide(0.0)
    scheduler.decide(0.0)
    ends = [(held.running.ends_at, name) for name, held in scheduler.state.held.items()]
    heapify(ends)
    began, starts = time.perf_counter(), 0
    for _ in range(passes):
        now, name = heappop(ends)
        scheduler.finish(name, now)
        scheduler.submit(next(mix))
        for start in scheduler.decide(now).starts:
            starts += 1
            heappush(ends, (scheduler.state.held[start.workload].running.ends_at, start.workload))
    seconds = time.perf_counter() - began
    return Cost(nodes, pending, queues, seconds / passes * 1000, seconds / max(1, starts) * 1000)


def plot(costs: list[Cost], target: Path) -> None:
    """Draw the cost of a pass by what waits."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - a second to import, and only for a picture

    figure = Figure(figsize=(7, 4.5))
    axes = figure.add_subplot()
    for nodes in sorted({cost.nodes for cost in costs}):
        line = [cost for cost in costs if cost.nodes == nodes]
        axes.plot([cost.pending for cost in line], [cost.pass_ms for cost in line], marker="o", label=f"{nodes:,} nodes")
        axes.plot([cost.pending for cost in line], [_bound(line[0], cost.pending) for cost in line], "--", label="n log n from there")
    axes.set(xscale="log", yscale="log", xlabel="workloads that wait", ylabel="ms a pass", title="Cost of a scheduling pass")
    axes.legend()
    figure.tight_layout()
    figure.savefig(target)


def _bound(first: Cost, pending: int) -> float:
    return first.pass_ms * (pending * math.log(pending)) / (first.pending * math.log(first.pending))


def checks(target: Path | None = None, passes: int = PASSES) -> list[Check]:
    """The rows of `make prove-scheduling`; draws the plot where a file is given."""
    costs = [measured(nodes, pending, passes) for nodes in NODES for pending in PENDING]
    if target is not None:
        plot(costs, target)
    found: list[Check] = []
    for cost in costs:
        first = next(each for each in costs if each.nodes == cost.nodes)
        bound = _bound(first, cost.pending) * SLACK
        figure = f"{cost.pass_ms:.2f} ms a pass, {cost.start_ms:.2f} ms a start, {cost.queues:,} queues"
        name = f"{cost.nodes:,} nodes, {cost.pending:,} wait"
        goal = "the first of its line" if cost is first else f"no worse than n log n: {bound:.1f} ms"
        found.append(Check(name, figure, goal, cost is first or cost.pass_ms <= bound))
    return found


if __name__ == "__main__":
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--plot", type=Path, default=None, help="Where the plot is written, as PNG.")
    reader.add_argument("--passes", type=int, default=PASSES)
    asked = reader.parse_args()
    rows = checks(asked.plot, asked.passes)
    print_checks(Console(width=150), rows)
    sys.exit(0 if all(check.held for check in rows) else 1)
