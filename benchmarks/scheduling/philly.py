"""A Philly-like mix through the twin under ours and the classical policies: completion, waiting, fairness. All simulated."""

import time
from dataclasses import replace

from benchmarks.scheduling.cores import CORES
from benchmarks.scheduling.data import SYNTHETIC, absent, folder
from cli.checks import Check
from factory_infra.foundation.twin.failures import FailureModel
from factory_infra.iaas.scheduling.mixes import Mix, estimated, fleet, philly_like
from factory_infra.iaas.scheduling.policy import SchedulingPolicy
from factory_infra.iaas.scheduling.traces.philly import read_folder
from factory_infra.iaas.twin.arrivals import Arrival
from factory_infra.iaas.twin.engine import compare
from factory_infra.iaas.twin.results import Comparison
from factory_infra.iaas.twin.scenario import Scenario

TRACE = "philly"
MIX = Mix(nodes=16, hours=14 * 24, load=1.0)
SEEDS = (1, 2)
JOBS_MAX = 4000
"""Of the public trace, from its first week with all queues."""
METRICS = ("occupancy", "completion_mean", "completion_p95", "queue_mean", "queue_p95", "jain", "max_min", "lost", "finished")
OURS = {"ours": SchedulingPolicy(), "ours, shortest first": SchedulingPolicy(order="shortest")}


def scenarios(base: Scenario) -> list[Scenario]:
    """The same machines and work under each policy."""
    classical = [replace(base, name=name, core=core) for name, core in CORES.items()]
    return [*classical, *(replace(base, name=name, policy=policy) for name, policy in OURS.items())]


def synthetic(mix: Mix = MIX) -> Scenario:
    """The mix, with arrivals drawn from each seed, on machines that do not fail: what differs is the policy alone."""
    return Scenario("mix", {"cluster": fleet(mix)}, lambda seed: philly_like(mix, seed), failures=FailureModel(fleet="none"))


def public() -> Scenario | None:
    """The public trace's first jobs on its machines, with estimates as users give them; None where it is not at hand."""
    found = folder(TRACE)
    if found is None:
        return None
    trace = read_folder(found)
    first: list[Arrival] = list(trace.arrivals[:JOBS_MAX])
    return Scenario(
        "philly",
        {"philly": trace.nodes},
        lambda seed: estimated(first, MIX.estimate_error, seed),
        start_at=first[0].workload.submitted_at,
        failures=FailureModel(fleet="none"),
    )


def checks() -> list[Check]:
    """The public trace where it is at hand, and always the mix."""
    base = public()
    told = [absent(TRACE, "Philly", SYNTHETIC)] if base is None else rows(measured(base), "public trace, simulated")
    return [*told, *rows(measured(synthetic()), "Philly-like mix, simulated")]


def measured(base: Scenario) -> Comparison:
    """Run every policy with every seed and print the table."""
    began = time.monotonic()
    found = compare(scenarios(base), SEEDS)
    print(found.table(METRICS))
    print(f"{time.monotonic() - began:.0f} s here")
    return found


def rows(found: Comparison, note: str) -> list[Check]:
    """Ours beside each of the others."""
    return [
        beside(found, "completion_mean", f"{note}: average completion"),
        beside(found, "queue_p95", f"{note}: p95 queue time"),
        Check(
            f"{note}: fairness between queues (Jain, worst queue)",
            ", ".join(f"{name} {found.mean('jain', name):.2f}/{found.mean('max_min', name):.2f}" for name in found.scenarios),
            "the default at least as fair as fifo",
            held=found.mean("jain", "ours") >= found.mean("jain", "fifo") - 0.02,
        ),
    ]


def beside(found: Comparison, metric: str, title: str) -> Check:
    """One metric of every policy in hours."""
    figures = ", ".join(f"{name} {found.mean(metric, name) / 3600:.1f} h" for name in found.scenarios)
    mine = min(found.mean(metric, name) for name in OURS)
    return Check(title, figures, "one of ours under fifo; the others told", held=mine <= found.mean(metric, "fifo"))


if __name__ == "__main__":
    for check in checks():
        print(check)
