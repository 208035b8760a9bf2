"""How fast placement is: decisions a second on nearly full fleets of 1,000 to 10,000 nodes, on one core, and the costs plotted.

Run it with `python -m benchmarks.scheduling.placement_speed [--plot FILE.png]`. A decision is one question for a seat, its taking, and the
giving back of another: work comes and goes on a fleet that is 90 % full. Processor time is counted, for others may share the machine.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.scheduling import data
from cli.checks import Check
from factory_infra.iaas.scheduling.fleet import Fleet
from factory_infra.iaas.scheduling.models import NodeSpec, Seat, Shape
from factory_infra.iaas.scheduling.placement.interface import Placement
from factory_infra.iaas.scheduling.placement.mix import Mix
from factory_infra.iaas.scheduling.placement.registry import DEFAULT_POLICY, build

SIZES = (1000, 2000, 5000, 10_000)
COMPARED = ("first_fit", "best_fit", "fgd", DEFAULT_POLICY)
GOALS = {1000: 5000.0, 10_000: 1000.0}
"""Decisions a second, by nodes."""
FULL = 0.9
DECISIONS = 4000
MIX: Mix = [
    *((Shape(cpu, memory, 1000, 1), share) for cpu, memory, share in ((11_300, 49_152, 0.22), (3152, 5600, 0.12), (18_708, 64_512, 0.1))),
    *((Shape(cpu, 30_517, milli, 1), 0.02) for cpu in (4000, 8000, 11_908) for milli in (160, 230, 320, 470, 550, 650, 810)),
    *((Shape(cpu, memory), share) for cpu, memory, share in ((12_500, 57_344, 0.05), (8000, 30_517, 0.03), (32_000, 49_152, 0.03))),
    *((Shape(8000 * gpus, 32_768 * gpus, 1000, gpus), 0.01) for gpus in (2, 4, 8)),
]
"""Shapes as in Alibaba's trace: about thirty, two thirds of them shares."""


def fleet_of(count: int) -> Fleet:
    """Nodes of three types, as in that trace: half with eight GPUs, the others with two or four."""
    kinds = ((96_000, 393_216, 8, "G2"), (104_000, 524_288, 2, "T4"), (96_000, 393_216, 8, "G3"), (64_000, 262_144, 4, "V100"))
    return Fleet([NodeSpec(f"n{number}", *kind) for number, kind in enumerate(islice(cycle(kinds), count))])


@dataclass
class Busy:
    """A fleet on which work comes and goes."""

    fleet: Fleet
    placement: Placement
    draw: np.random.Generator
    held: list[tuple[Seat, Shape]]

    def come(self) -> None:
        """Place the next piece of work, where it fits."""
        shape = MIX[int(np.searchsorted(CHANCES, self.draw.random()))][0]
        seat = self.placement.place(self.fleet, shape)
        if seat is not None:
            self.fleet.take((seat,), shape)
            self.held.append((seat, shape))

    def go(self) -> None:
        """End any piece of work."""
        place = int(self.draw.integers(len(self.held)))
        self.held[place], self.held[-1] = self.held[-1], self.held[place]
        seat, shape = self.held.pop()
        self.fleet.give((seat,), shape)


CHANCES = np.cumsum([share for _, share in MIX]) / sum(share for _, share in MIX)


def decision_seconds(nodes: int, policy: str) -> float:
    """What a decision costs, on average, when the fleet is nearly full."""
    fleet = fleet_of(nodes)
    busy = Busy(fleet, build(policy, MIX), np.random.default_rng(0), [])
    while fleet.used_milli < FULL * fleet.capacity_milli:
        busy.come()
    for shape, _ in MIX:
        busy.placement.place(fleet, shape)
    began = time.process_time()
    for _ in range(DECISIONS):
        busy.go()
        busy.come()
    return (time.process_time() - began) / DECISIONS


Costs = Mapping[str, Mapping[int, float]]


def measured(policies: Sequence[str], sizes: Sequence[int]) -> Costs:
    """Seconds a decision, by policy and number of nodes."""
    for policy in policies:
        decision_seconds(8, policy)
    return {policy: {nodes: decision_seconds(nodes, policy) for nodes in sizes} for policy in policies}


def show(console: Console, costs: Costs) -> None:
    """Print microseconds a decision."""
    sizes = list(next(iter(costs.values())))
    table = Table("policy", *(f"{nodes:,} nodes" for nodes in sizes), box=None)
    for policy, row in costs.items():
        table.add_row(policy, *(f"{1e6 * row[nodes]:.0f} µs, {1 / row[nodes]:,.0f}/s" for nodes in sizes))
    console.print(table)


def plot(costs: Costs, path: Path) -> None:
    """Draw what a decision costs over the number of nodes, with n log n beside it."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - takes a second, and most runs draw nothing

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for policy, row in costs.items():
        axes.loglog(list(row), [1e6 * cost for cost in row.values()], marker="o", label=policy)
    row = costs[DEFAULT_POLICY]
    sizes = np.array(list(row), float)
    axes.loglog(sizes, 1e6 * row[int(sizes[0])] * sizes * np.log(sizes) / (sizes[0] * np.log(sizes[0])), "k:", label="n log n")
    axes.set(xlabel="nodes", ylabel="µs a decision", title="What a decision of placement costs on a fleet that is 90 % full")
    axes.legend()
    axes.grid(visible=True, which="both", alpha=0.3)
    figure.savefig(path, dpi=120)


def promises(costs: Costs) -> list[Check]:
    """What is promised of these figures."""
    row = costs[DEFAULT_POLICY]
    made = [
        Check(f"{DEFAULT_POLICY} at {nodes:,} nodes", f"{1 / row[nodes]:,.0f} decisions/s", f">= {goal:,.0f}", 1 / row[nodes] >= goal)
        for nodes, goal in GOALS.items()
    ]
    small, large = min(row), max(row)
    growth, bound = row[large] / row[small], large * np.log(large) / (small * np.log(small))
    made.append(
        Check("a decision's cost, largest over smallest", f"{growth:.1f} times", f"<= {bound:.1f} (n log n)", bool(growth <= bound))
    )
    return made


def measure(path: Path | None = None) -> list[Check]:
    """The rows of the proof."""
    costs = measured(COMPARED, SIZES)
    show(Console(width=150), costs)
    if path is not None:
        plot(costs, path)
    return promises(costs)


def main() -> int:
    """Measure, print, and plot where asked."""
    data.take_option()
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--plot", type=Path, default=None, help="Where the picture goes, such as placement.png.")
    made = measure(options.parse_args().plot)
    for check in made:
        print(f"{check.name}: {check.figure} (goal {check.goal}): {'holds' if check.held else 'falls short'}")
    return 0 if all(check.held for check in made) else 1


if __name__ == "__main__":
    sys.exit(main())
