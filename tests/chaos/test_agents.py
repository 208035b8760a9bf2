"""A short storm of kills under a stream of plans; the long one, and the control without keys, are in `make prove-agents`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.agents.hurried import HurriedStack
from benchmarks.agents.killer import Order
from benchmarks.agents.kills import storm

pytestmark = [pytest.mark.stack, pytest.mark.chaos, pytest.mark.timeout(400)]
KILLS = 6


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[HurriedStack]:
    """A stack of its own, which starts its dead parts again at once."""
    live = HurriedStack(tmp_path / "home")
    try:
        live.start()
        yield live
    finally:
        live.stop()


def test_a_storm_of_kills_loses_and_doubles_nothing(stack: HurriedStack) -> None:
    found = storm(stack, Order(KILLS, pause_seconds=(1.0, 3.0)), seed=4, lanes=3)
    assert len(found.kills) == KILLS
    assert found.left.in_effect > 0, "no kill hit an effect, so nothing was shown"
    assert found.left.plans > 0
    assert [*found.faults, *found.left.faults] == []
