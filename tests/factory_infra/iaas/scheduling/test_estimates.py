"""How far estimates and forecasts were off."""

import math
import random

import pytest

from factory_infra.iaas.scheduling.estimates import ASSUMED, SLACK_SECONDS, Errors, Waits


class TestErrors:
    def test_a_spread_is_assumed_until_enough_is_known(self) -> None:
        found = Errors()
        found.add(100.0, 50.0)
        assert found.interval() == ASSUMED

    def test_then_the_spread_of_what_was_seen(self) -> None:
        found = Errors()
        for tenths in range(1, 12):
            found.add(tenths * 10.0, 100.0)
        assert found.interval() == pytest.approx((0.2, 1.0))

    def test_what_says_nothing_is_left_out(self) -> None:
        found = Errors()
        found.add(0.0, 10.0)
        found.add(10.0, 0.0)
        assert not found.seen


class TestWaits:
    def test_what_is_foretold_lies_within(self) -> None:
        found = Waits()
        for seconds in (0.0, 1.0, 600.0, 86_400.0):
            low, high = found.interval(seconds)
            assert 0.0 <= low <= seconds < high

    @pytest.mark.parametrize(("spread", "off"), [(0.1, 0.0), (0.5, 0.3), (1.2, -0.4), (1.2, 1.0)])
    def test_four_in_five_lie_within_whatever_the_errors_are(self, spread: float, off: float) -> None:
        found, draw = Waits(), random.Random(1)  # noqa: S311  (a simulation)
        assert 0.75 <= covered(found, [draw.gauss(off, spread) for _ in range(1000)]) <= 0.87

    def test_also_when_they_change(self) -> None:
        found, draw = Waits(), random.Random(2)  # noqa: S311  (a simulation)
        covered(found, [draw.gauss(0.0, 0.2) for _ in range(500)])
        assert covered(found, [draw.gauss(0.8, 0.8) for _ in range(500)]) >= 0.7

    def test_without_learning_they_would_not(self) -> None:
        draw, held = random.Random(3), 0  # noqa: S311  (a simulation)
        for _ in range(500):
            held += within(Waits(), draw.gauss(1.5, 0.8))
        assert held / 500 < 0.7


def within(waits: Waits, error: float, foretold: float = 3600.0) -> bool:
    """Whether a wait that is off by so much of what was foretold lies in its interval; what came is learned."""
    actual = max(0.0, (foretold + SLACK_SECONDS) * math.exp(error) - SLACK_SECONDS)
    low, high = waits.interval(foretold)
    waits.add(actual, foretold)
    return low <= actual <= high


def covered(waits: Waits, errors: list[float]) -> float:
    """The share that lay within, one after the other."""
    return sum(within(waits, error) for error in errors) / len(errors)
