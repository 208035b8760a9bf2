"""Measures every promise about the gateway and prints a row each: make prove-gateway. Exit code 1 if any falls short."""

import sys

from benchmarks.gateway import bad_input, bedrock, clients, deployments, exactness, overspend, overspend_http, replay, security, speed
from benchmarks.groups import Measure, asked_for, run

GROUPS: dict[str, Measure] = {
    "exactness": exactness.checks,
    "replay": replay.checks,
    "overspend": lambda: [*overspend.checks(), *overspend_http.checks()],
    "clients": clients.checks,
    "bedrock": bedrock.checks,
    "deployments": deployments.checks,
    "security": security.checks,
    "bad-input": bad_input.checks,
    "speed": lambda: speed.checks(grown=False),
    "growth": lambda: speed.growth(speed.SECONDS),
}
"""In this order; a group may be chosen by its name."""


if __name__ == "__main__":
    sys.exit(run("the gateway", {name: GROUPS[name] for name in asked_for(__doc__, GROUPS)}))
