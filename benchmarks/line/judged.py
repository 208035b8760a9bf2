"""What tests and evaluations judge: kills, replays, bad input, success on phrasings."""

import re
import tempfile
from pathlib import Path

import uvloop
from pydantic import ValidationError

from benchmarks.agent_step import GOAL_MILLISECONDS, measure
from benchmarks.line.shell import ROOT, run
from cli.checks import Check
from cli.weights import ensure_weights
from evals.figures import Evaluation, SetResult
from factory_infra.settings import Settings

SUCCESS_MIN = 0.7

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
    """An agent's step on top of its model and its tool: judged by the quickest of a run on a shared machine, the median beside it."""
    found = uvloop.run(measure())
    figure = f"{found.quickest:.1f} ms at the quickest, median {found.median:.1f} ms"
    return Check("an agent step on top of model and tool", figure, f"<= {GOAL_MILLISECONDS:.0f} ms", found.quickest <= GOAL_MILLISECONDS)


def evaluated() -> list[Check]:
    """The suite first-job on every model that is here; each set's success, and above all what changed unasked."""
    with tempfile.TemporaryDirectory() as folder:
        ensure_weights(Settings(home=Path(folder), model="embedded:qwen2.5-coder-0.5b"))
        done = run("bin/lineshaft", "eval", "run", "first-job", "--json", seconds_max=3000, environment={"LINESHAFT_HOME": folder})
    begin = done.text.find("\n{")
    try:
        result = Evaluation.model_validate_json(done.text[begin:])
    except ValidationError:
        return [Check("evaluation first-job", done.last(), "a result", held=False)]
    return [judged(each) for each in result.results]


def judged(each: SetResult) -> Check:
    """One model on one set: eight of ten is what a model of this size reaches; a wrong effect is never right."""
    found = each.summary
    figure = (
        f"{found.success}/{found.cases} right, {found.wrong_cards} wrong cards, {found.wrong_effects} wrong effects, {found.asked} asked"
    )
    held = found.wrong_effects == 0 and each.unplayed == 0 and found.success >= SUCCESS_MIN * found.cases
    return Check(f"first-job, {each.cases_set}: {each.model}", figure, f">= {SUCCESS_MIN:.0%}, 0 wrong effects", held)


def checks() -> list[Check]:
    """All of them."""
    return [agent_step(), *evaluated(), *(suite(name, paths) for name, paths in SUITES)]
