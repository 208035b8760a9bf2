"""Where a call goes next, and when it is given up."""

import random
from typing import cast

import pytest

from factory_infra.errors import EffectFailed, Unavailable
from factory_infra.saas.models.routing.breaker import Breaker
from factory_infra.saas.models.routing.config import Breaking, Retries
from factory_infra.saas.models.routing.retrying import BACKOFF_SECONDS_MAX, BUDGET_TOKENS_MAX, RetryBudget, Trip, backoff
from factory_infra.saas.models.routing.targets import Live

CHANCE = random.Random(7)  # noqa: S311 - not for secrets


class Target:
    """A target with nothing but its breaker."""

    def __init__(self) -> None:
        self.breaker = Breaker(Breaking(calls_min=1), lambda: 0.0)


def targets(count: int) -> list[Live]:
    return [cast(Live, Target()) for _ in range(count)]


def trip(order: list[Live], attempts_max: int, budget: RetryBudget | None = None) -> Trip:
    return Trip(order, Retries(), attempts_max, budget or RetryBudget(0.1))


class TestBudget:
    def test_repeats_stay_below_the_share_of_calls(self) -> None:
        budget, repeats = RetryBudget(0.1), 0
        for _ in range(10_000):
            budget.called()
            repeats += budget.take()
        assert repeats <= 10_000 * 0.1 + BUDGET_TOKENS_MAX

    def test_control_a_share_of_one_repeats_each(self) -> None:
        budget, repeats = RetryBudget(1.0), 0
        for _ in range(1000):
            budget.called()
            repeats += budget.take()
        assert repeats == 1000

    def test_none_at_all(self) -> None:
        budget = RetryBudget(0.0)
        budget.called()
        assert not budget.take()


class TestBackoff:
    @pytest.mark.parametrize("repeats", [0, 1, 2, 5, 40])
    def test_full_jitter_spreads_over_a_doubling_bound(self, repeats: int) -> None:
        bound = min(0.2 * 2**repeats, BACKOFF_SECONDS_MAX)
        waits = [backoff(0.2, repeats, CHANCE) for _ in range(2000)]
        assert 0 <= min(waits) < bound * 0.05
        assert bound * 0.95 < max(waits) <= bound
        assert sum(waits) / len(waits) == pytest.approx(bound / 2, rel=0.1)


class TestTrip:
    def test_each_target_once_then_those_that_may_be_well(self) -> None:
        order = targets(2)
        way = trip(order, 4)
        seen = []
        for _ in range(4):
            step = way.next(0.0, 100.0, CHANCE)
            assert step is not None
            seen.append((order.index(step.live), step.wait_seconds > 0))
            way.failed(step.live, Unavailable("x", retry_after_seconds=float(len(seen))), 0.0)
            step.live.breaker = Target().breaker
        assert seen == [(0, False), (1, False), (0, True), (1, True)]
        assert way.next(0.0, 100.0, CHANCE) is None

    def test_a_target_that_refuses_us_is_not_asked_again(self) -> None:
        order = targets(1)
        way = trip(order, 4)
        assert way.next(0.0, 100.0, CHANCE)
        way.failed(order[0], EffectFailed("key"), 0.0)
        assert way.next(0.0, 100.0, CHANCE) is None

    def test_retry_after_is_waited_for_and_not_beyond_the_deadline(self) -> None:
        order = targets(1)
        way = trip(order, 4)
        assert way.next(0.0, 100.0, CHANCE)
        way.failed(order[0], Unavailable("x", retry_after_seconds=30.0), 0.0)
        assert way.next(1.0, 29.0, CHANCE) is None
        step = way.next(1.0, 100.0, CHANCE)
        assert step is not None
        assert step.wait_seconds == 29.0

    def test_without_a_chance_only_a_fresh_target(self) -> None:
        order = targets(1)
        way = trip(order, 9)
        assert way.next(0.0, 100.0, None)
        way.failed(order[0], Unavailable("x"), 0.0)
        assert way.next(0.0, 100.0, None) is None

    def test_no_budget_no_repeat_but_a_fresh_target(self) -> None:
        order = targets(2)
        way = trip(order, 9, RetryBudget(0.0))
        for live in order:
            assert way.next(0.0, 100.0, CHANCE)
            way.failed(live, Unavailable("x"), 0.0)
        assert way.next(0.0, 100.0, CHANCE) is None

    def test_open_breakers_are_passed_over(self) -> None:
        order = targets(2)
        order[0].breaker.failed(order[0].breaker.enter())
        step = trip(order, 9).next(0.0, 100.0, CHANCE)
        assert step is not None
        assert step.live is order[1]

    def test_after_the_deadline_nothing_is_tried(self) -> None:
        assert trip(targets(1), 9).next(100.0, 100.0, CHANCE) is None
