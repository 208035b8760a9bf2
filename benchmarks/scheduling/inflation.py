"""The inflation experiment on Alibaba's trace: work arrives up to 130 % of all GPUs, and none leaves. How much of them is allocated?

Run it with `python -m benchmarks.scheduling.inflation`; `--data FOLDER` names where the traces lie, `--seeds 42-51` the seeds,
`--policies fgd,least_leftover` the policies, `--kinds all` every documented kind of pod list instead of the five published in a table.
"""

import argparse
import itertools
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.scheduling import data, published
from benchmarks.scheduling.variants import KINDS, simulated
from cli.checks import Check
from factory_infra.iaas.scheduling.fleet import Fleet
from factory_infra.iaas.scheduling.models import NodeSpec, Shape
from factory_infra.iaas.scheduling.placement.mix import counted
from factory_infra.iaas.scheduling.placement.registry import DEFAULT_POLICY, POLICIES, build
from factory_infra.iaas.scheduling.traces.alibaba import NODES_FILE, read_nodes, read_pods, variants

LOAD = 1.3
LEVELS = (70, 80, 90, 100, 110, 120, 130)
COMPARED = ("random", "best_fit", "first_fit", "fgd", "fgd_stranding", DEFAULT_POLICY)
SEEDS = tuple(range(42, 52))


@dataclass(frozen=True)
class Trace:
    """A fleet, and what asks for it."""

    name: str
    nodes: Sequence[NodeSpec]
    shapes: Sequence[Shape]
    simulated: bool = False
    """Its list of pods was drawn here, after the words for its kind."""


@dataclass
class Filled:
    """How one run went: the allocation in percent, averaged over the events at each level of arrived load; and what found no place."""

    levels: Mapping[int, float]
    refused: int
    decisions: int
    seconds: float
    left: Fleet = field(repr=False)


def inflated(trace: Trace, seed: int) -> list[Shape]:
    """The trace shuffled, and filled up with draws from itself to 130 % of the GPUs; at random cut where it asks for more."""
    draw = np.random.default_rng(seed)
    goal = LOAD * 1000 * sum(node.gpus for node in trace.nodes)
    found = [trace.shapes[place] for place in draw.permutation(len(trace.shapes))]
    asked = sum(shape.milli for shape in found)
    if asked > goal:
        while asked > goal:
            asked -= found.pop(int(draw.integers(len(found)))).milli
        return found
    while 0 < asked < goal:
        found.append(trace.shapes[int(draw.integers(len(trace.shapes)))])
        asked += found[-1].milli
    return found


def fill(trace: Trace, policy: str, seed: int, *, informed: bool = True) -> Filled:
    """One run. `informed`: the policy knows the trace's mix of shapes, as published; else it learns it from what arrives."""
    fleet = Fleet(trace.nodes)
    placement = build(policy, counted(trace.shapes) if informed else None, seed)
    seen: dict[int, list[float]] = {level: [] for level in LEVELS}
    arriving, arrived, refused = inflated(trace, seed), 0, 0
    began = time.perf_counter()
    for shape in arriving:
        placement.observe(shape)
        seat = placement.place(fleet, shape)
        if seat is None:
            refused += 1
        else:
            fleet.take((seat,), shape)
        arrived += shape.milli
        level = int(100 * arrived / fleet.capacity_milli + 0.5)
        if level in seen:
            seen[level].append(100 * fleet.used_milli / fleet.capacity_milli)
    levels = {level: fmean(values) for level, values in seen.items() if values}
    return Filled(levels, refused, len(arriving), time.perf_counter() - began, fleet)


def traces(folder: Path, kinds: Iterable[str]) -> list[Trace]:
    """The traces of a folder, and simulated ones of the documented kinds for those that it lacks."""
    nodes, found = read_nodes(folder / NODES_FILE), variants(folder)
    default = [pod.shape for pod in read_pods(found["default"], nodes)]
    made = []
    for kind in kinds:
        if kind in found:
            made.append(Trace(kind, nodes, [pod.shape for pod in read_pods(found[kind], nodes)]))
        else:
            made.append(Trace(kind, nodes, simulated(kind, default, nodes), simulated=True))
    return made


def synthetic() -> Trace:
    """A small trace of the same form, where the public one is not at hand: a hundred nodes of three types.

    Its shapes have whole GPUs, shares that go badly together, or no GPUs.
    """
    nodes = [NodeSpec(f"g{number}", 96_000, 393_216, 8, "G2") for number in range(50)]
    nodes += [NodeSpec(f"t{number}", 104_000, 524_288, 2, "T4") for number in range(40)]
    nodes += [NodeSpec(f"v{number}", 32_000, 131_072, 4, "V100") for number in range(10)]
    usual = [(Shape(11_000, 48_000, 1000, 1), 40), (Shape(18_000, 64_000, 1000, 1), 8), (Shape(12_500, 57_000), 13)]
    shares = [(Shape(3152, 5600, 810, 1), 13), (Shape(11_900, 47_000, 470, 1), 10), (Shape(4000, 22_000, 320, 1), 5)]
    rest = [
        (Shape(11_900, 47_000, 650, 1), 4),
        (Shape(4000, 30_000, 230, 1), 2),
        (Shape(4000, 15_000, 160, 1), 1),
        (Shape(88_000, 320_000, 1000, 8), 1),
    ]
    return Trace("synthetic", nodes, [shape for shape, count in (*usual, *shares, *rest) for _ in range(count)], simulated=True)


Row = dict[str, float]
"""The allocation by trace."""


def measured(found: Sequence[Trace], policies: Sequence[str], seeds: Sequence[int], level: int = 130) -> dict[str, Row]:
    """The mean allocation of all seeds, by policy and trace."""
    return {
        policy: {trace.name: fmean(fill(trace, policy, seed).levels[level] for seed in seeds) for trace in found} for policy in policies
    }


def show(console: Console, found: Sequence[Trace], rows: Mapping[str, Row]) -> None:
    """Print what was measured, and what is published beside it."""
    table = Table("policy", *(f"{trace.name}{' (simulated)' if trace.simulated else ''}" for trace in found), "mean", box=None)
    for policy, row in rows.items():
        cells = []
        for trace in found:
            other = published.known(policy, trace.name)
            cells.append(f"{row[trace.name]:.2f}" + (f" [dim]({other:.2f})[/dim]" if other else ""))
        table.add_row(policy + (" (default)" if policy == DEFAULT_POLICY else ""), *cells, f"{fmean(row.values()):.2f}")
    console.print(table)
    console.print(
        "[dim]In brackets, on the trace's own lists: published (random, best_fit, fgd) or tried before (first_fit, fgd_stranding).[/dim]"
    )


def promises(found: Sequence[Trace], rows: Mapping[str, Row]) -> list[Check]:
    """What is promised of these figures."""
    made = []
    for policy in ("random", "best_fit", "first_fit", "fgd"):
        ours, theirs = rows[policy]["default"], published.known(policy, "default") or 0.0
        near = abs(ours - theirs) <= published.REPRODUCED_WITHIN
        made.append(Check(f"{policy} on the default trace", f"{ours:.2f} %", f"{theirs:.2f} ± {published.REPRODUCED_WITHIN}", near))
    best, fgd = rows[DEFAULT_POLICY], rows["fgd"]
    which = ", ".join(f"{trace.name}{' simulated' if trace.simulated else ''}" for trace in found)
    mean = fmean(best.values())
    made.append(Check(f"{DEFAULT_POLICY}, mean of {which}", f"{mean:.2f} %", f">= {published.MEAN_GOAL} %", mean >= published.MEAN_GOAL))
    least = min(best[name] - fgd[name] for name in best)
    made.append(Check(f"{DEFAULT_POLICY} less fgd, on the trace where it is nearest", f"{least:+.2f} points", ">= 0", least >= 0))
    return made


def in_order(allocated: Mapping[str, float]) -> Check:
    """On the synthetic trace: what is told of the public one holds in its order."""
    line = ["random", "best_fit", "fgd", DEFAULT_POLICY]
    figure = " < ".join(f"{policy} {allocated[policy]:.2f}" for policy in line)
    held = all(allocated[less] < allocated[more] for less, more in itertools.pairwise(line))
    return Check("policies on the synthetic trace (simulated)", figure, "in this order", held)


def measure(seeds: Sequence[int] = SEEDS) -> list[Check]:
    """The rows of the proof: on the public trace where it is at hand, and told where it is not."""
    folder = data.folder("alibaba-gpu-2023")
    if folder is None:
        told = data.absent("alibaba-gpu-2023", "Placement", "a synthetic trace of its form instead (simulated)")
        found = [synthetic()]
        rows = measured(found, COMPARED, seeds)
        show(Console(width=170), found, rows)
        return [told, in_order({policy: row["synthetic"] for policy, row in rows.items()})]
    found = traces(folder, published.VARIANTS)
    rows = measured(found, COMPARED, seeds)
    show(Console(width=170), found, rows)
    return promises(found, rows)


def seeds_of(text: str) -> tuple[int, ...]:
    """`42-51` or `1,2,3` as numbers."""
    first, dash, last = text.partition("-")
    return tuple(range(int(first), int(last) + 1)) if dash else tuple(int(each) for each in text.split(","))


def main() -> int:
    """Measure what the options name, and print it. Returns 1 where a promise falls short."""
    data.take_option()
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=seeds_of, default=SEEDS)
    options.add_argument("--policies", default=",".join(COMPARED), help=f"With commas between: {', '.join(sorted(POLICIES))}.")
    options.add_argument("--kinds", default=",".join(published.VARIANTS), help="Pod lists with commas between, or `all`.")
    options.add_argument("--level", type=int, default=130, choices=LEVELS, help="At which percentage of arrived load.")
    asked = options.parse_args()
    kinds = ("default", *KINDS) if asked.kinds == "all" else tuple(asked.kinds.split(","))
    folder = data.folder("alibaba-gpu-2023")
    if folder is None:
        sys.exit(f"There is no folder alibaba-gpu-2023 in {data.root().name}: name the folder of all traces after {data.OPTION}.")
    found = traces(folder, kinds)
    console = Console(width=220 if asked.kinds == "all" else 170, highlight=False)
    console.print("Simulated, for their lists are not at hand:", ", ".join(trace.name for trace in found if trace.simulated) or "none")
    rows = measured(found, asked.policies.split(","), asked.seeds, asked.level)
    show(console, found, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
