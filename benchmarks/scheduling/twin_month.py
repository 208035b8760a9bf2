"""A simulated month of 10,000 GPUs under the product's own scheduler: how long it takes here, and that it is the same twice."""

import sys
from dataclasses import replace

from cli.checks import Check
from factory_infra.foundation.twin.failures import FailureModel
from factory_infra.iaas.scheduling.mixes import Mix, fleet, philly_like
from factory_infra.iaas.twin.engine import run
from factory_infra.iaas.twin.results import Results
from factory_infra.iaas.twin.scenario import Scenario

NODES, NODE_GPUS, HOURS = 1250, 8, 30 * 24.0
LOAD = 0.9
PASS_SECONDS = 60.0
MINUTES_MAX = 20.0
"""The goal is a month in minutes; on two cores that do nothing else."""
SMALL = Mix(nodes=32, racks=2, hours=48, load=LOAD)


def scenario(mix: Mix) -> Scenario:
    """A mix on machines that fail as a published fleet's do."""
    return Scenario(
        "month",
        {"simulated": fleet(mix, "H100")},
        lambda seed: philly_like(mix, seed),
        failures=FailureModel(fleet="rsc-1"),
        seconds=mix.hours * 3600,
        pass_seconds=PASS_SECONDS,
        restart_seconds=120.0,
    )


def month() -> Results:
    """The whole month, telling how far it is."""

    def told(share: float) -> None:
        print(f"\r{share:4.0%} of a month of {NODES * NODE_GPUS:,} simulated GPUs", end="", file=sys.stderr, flush=True)

    found = run(scenario(Mix(nodes=NODES, node_gpus=NODE_GPUS, racks=NODES // 16, hours=HOURS, load=LOAD)), 1, told)
    print(file=sys.stderr)
    return found


def checks() -> list[Check]:
    """The month's time, what it was, and repetition on a smaller one."""
    found, small = month(), scenario(SMALL)
    first, again = (run(small, 1).model_dump_json() for _ in range(2))
    other = run(replace(small, name="month"), 2).model_dump_json()
    minutes, own = found.wall_seconds / 60, found.wall_seconds - found.deciding_seconds
    counts = found.counts
    what = (
        f"{counts.submitted:,} workloads, {counts.passes:,} passes, {100 * found.occupancy:.0f} % occupied, "
        f"{sum(value for name, value in counts.machines.items() if name.startswith('failures')):,} failures, {counts.restarts:,} restarts"
    )
    return [
        Check(
            f"simulated month of {found.gpus:,} GPUs",
            f"{minutes:.1f} min ({own:.0f} s of it the engine, the rest decisions): {what}",
            f"at most {MINUTES_MAX:g} min",
            held=minutes <= MINUTES_MAX,
        ),
        Check("simulated: the same seed twice", "the same to the last digit" if first == again else "differs", "the same", first == again),
        Check("simulated: another seed", "differs" if first != other else "the same", "differs", first != other),
    ]


def main() -> None:
    """Run it by itself."""
    for check in checks():
        print(f"{check.name}: {check.figure} (goal: {check.goal}): {'holds' if check.held else 'falls short'}")


if __name__ == "__main__":
    main()
