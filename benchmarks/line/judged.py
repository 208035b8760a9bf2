"""What tests and evaluations judge: kills, replays, bad input, success on phrasings."""

import asyncio
import re

from benchmarks.agent_step import GOAL_MILLISECONDS, measure
from benchmarks.line.shell import ROOT, run
from cli.checks import Check

PYTEST = str(ROOT / ".venv" / "bin" / "pytest")
SUITES = (
    ("kills lose and double nothing; without keys they do", ("tests/chaos",)),
    ("stored histories replay", ("tests/replay",)),
    ("the line from end to end, bad input", ("tests/e2e",)),
    ("a full disk, memory, time: jobs are walled in", ("tests/factory_infra/iaas/jobs",)),
    ("the weights' digest is checked before they are opened", ("tests/factory_infra/saas/models",)),
)


def suite(name: str, paths: tuple[str, ...]) -> Check:
    """One group of tests, as pytest counts it."""
    done = run(PYTEST, *paths)
    counted = re.search(r"\d+ (passed|failed)[^\n]*", done.text)
    return Check(name, counted[0].split(" in ")[0] if counted else done.last(), "all pass", done.code == 0)


def agent_step() -> Check:
    """An agent's step on top of its model and its tool: the best of three medians, for the machine is shared."""
    milliseconds = min(asyncio.run(measure()) for _ in range(3))
    return Check(
        "an agent step on top of model and tool",
        f"{milliseconds:.1f} ms",
        f"<= {GOAL_MILLISECONDS:.0f} ms",
        milliseconds <= GOAL_MILLISECONDS,
    )


def checks() -> list[Check]:
    """All of them."""
    return [agent_step(), *(suite(name, paths) for name, paths in SUITES)]
