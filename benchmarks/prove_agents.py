"""Measures every promise about the agents and prints a row each: make prove-agents. Exit code 1 if any falls short."""

import sys

from benchmarks.agents import doors, kills, loops, policy, suites
from benchmarks.groups import Measure, asked_for, run

GROUPS: dict[str, Measure] = {
    "policy": policy.checks,
    "demo": lambda: doors.checks(("demo",)),
    "bad-input": lambda: doors.checks(("bad-input",)),
    "switch": lambda: doors.checks(("switch",)),
    "loops": loops.checks,
    "injection": suites.injection,
    "tests": suites.tests,
    "models": lambda: [suites.models()],
    "mcp": lambda: [suites.conformance()],
    "kills": kills.checks,
}
"""In this order; a group may be chosen by its name."""


def chosen(wanted: list[str]) -> dict[str, Measure]:
    """Those that are asked for; what shares a stack is one group when all is asked for."""
    shared = tuple(name for name in doors.GROUPS if name in wanted)
    alone = {name: GROUPS[name] for name in wanted if name not in shared}
    return {", ".join(shared): lambda: doors.checks(shared), **alone} if shared else alone


if __name__ == "__main__":
    sys.exit(run("the agents", chosen(asked_for(__doc__, GROUPS))))
