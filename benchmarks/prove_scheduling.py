"""Measures every promise about the scheduler and the twin and prints a row each: make prove-scheduling. Exit code 1 if any falls short."""

import sys

from benchmarks.groups import Measure, asked_for, run
from benchmarks.line.shell import ROOT
from benchmarks.scheduling import (
    admission,
    bad_input,
    churn,
    data,
    inflation,
    live,
    machine,
    philly,
    placement_speed,
    prediction,
    queue_speed,
    spot_cost,
    suites,
    twin_month,
)

PLOTS = ROOT / "build" / "scheduling"
"""Where the scaling plots are drawn."""

GROUPS: dict[str, Measure] = {
    "placement": inflation.measure,
    "churn": churn.measure,
    "placement-speed": lambda: placement_speed.measure(PLOTS / "placement-speed.png"),
    "queue-speed": lambda: queue_speed.checks(PLOTS / "queue-speed.png"),
    "admission": admission.checks,
    "philly": philly.checks,
    "prediction": prediction.checks,
    "spot": spot_cost.checks,
    "month": twin_month.checks,
    "machine": lambda: [*machine.checks(), *suites.controls()],
    "why": live.why,
    "what-if": live.what_if,
    "contract-twin": suites.contract_twin,
    "bad-input": bad_input.checks,
}
"""In this order; a group may be chosen by its name. `--data FOLDER`: where the public traces lie."""


if __name__ == "__main__":
    data.take_option()
    PLOTS.mkdir(parents=True, exist_ok=True)
    sys.exit(run("the scheduler and the twin", {name: GROUPS[name] for name in asked_for(__doc__, GROUPS)}))
