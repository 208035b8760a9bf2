"""The runner on a real scratch stack: two cases played through the API's doors, and nothing left behind."""

import os
from pathlib import Path

import psutil
import pytest

from cli.stack.events import ignore
from evals.figures import SetResult
from evals.first_job.player import Player
from evals.run import Order, Progress, case_sets, play_all
from evals.scratch import scratch
from factory_infra.settings import Settings

pytestmark = pytest.mark.stack
CASES = ["clear-lease", "wrong-team"]


async def test_two_cases_are_played_and_nothing_stays(settings: Settings) -> None:
    seen: list[Progress] = []
    order = Order(settings, ["none"], case_sets("dev", CASES), seen.append)
    home, results = await play(order)
    assert [(each.row.score.case_id, each.row.score.success, each.row.score.wrong) for each in seen] == [
        ("clear-lease", True, ()),
        ("wrong-team", True, ()),
    ]
    assert seen[0].row.execution_seconds is not None
    assert seen[1].row.outcomes == ("refusal",)
    (result,) = results
    assert (result.summary.success, result.summary.cases, result.summary.wrong_effects) == (2, 2, 0)
    assert not home.exists()
    assert not processes_of(home)
    assert not settings.home.exists()


async def play(order: Order) -> tuple[Path, list[SetResult]]:
    """Play on a stack of its own."""
    async with scratch(order.settings, "none", ignore) as made:
        home = made.settings.home
        await made.start()
        results = await play_all(order, await Player.on(made))
        assert not any((home / "cases").iterdir())
    return home, results


def processes_of(home: Path) -> list[int]:
    """Processes that still name the scratch home."""
    return [each.pid for each in psutil.process_iter(["cmdline"]) if each.pid != os.getpid() and str(home) in str(each.info["cmdline"])]
