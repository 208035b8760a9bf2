"""When a target is left alone, and how it comes back."""

from hypothesis import given
from hypothesis import strategies as st

from factory_infra.saas.models.routing.breaker import Breaker
from factory_infra.saas.models.routing.config import Breaking


class Clock:
    """A time that is set."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def breaker(clock: Clock, **breaking: float) -> Breaker:
    return Breaker(Breaking.model_validate({"window_seconds": 10.0, "calls_min": 4, "open_seconds": 5.0, **breaking}), clock)


def calls(each: Breaker, *, failed: int = 0, succeeded: int = 0) -> None:
    for _ in range(succeeded):
        each.succeeded(entered(each))
    for _ in range(failed):
        each.failed(entered(each))


def state(each: Breaker) -> str:
    return each.state


def entered(each: Breaker) -> int:
    ticket = each.enter()
    assert ticket
    return ticket


class TestBreaker:
    def test_opens_at_the_share_of_enough_calls(self) -> None:
        each = breaker(Clock())
        calls(each, succeeded=2, failed=1)
        assert state(each) == "closed"
        calls(each, failed=1)
        assert (state(each), each.admits, each.enter(), each.wait_seconds) == ("open", False, 0, 5.0)

    def test_few_calls_say_nothing(self) -> None:
        each = breaker(Clock())
        calls(each, failed=3)
        assert state(each) == "closed"

    def test_old_failures_are_forgotten(self) -> None:
        clock = Clock()
        each = breaker(clock)
        calls(each, failed=3)
        clock.now += 11
        calls(each, failed=3)
        assert state(each) == "closed"

    def test_a_window_that_slides_counts_what_is_in_it(self) -> None:
        clock = Clock()
        each = breaker(clock)
        for _ in range(4):
            clock.now += 2
            calls(each, failed=1)
        assert state(each) == "open"

    def test_half_open_lets_one_through_whose_end_decides(self) -> None:
        clock = Clock()
        each = breaker(clock)
        calls(each, failed=4)
        clock.now += 5
        assert state(each) == "half_open"
        trial = entered(each)
        assert not each.enter()
        each.succeeded(trial)
        assert state(each) == "closed"
        calls(each, failed=2)
        assert state(each) == "closed"

    def test_a_failed_trial_leaves_it_alone_for_longer(self) -> None:
        clock = Clock()
        each = breaker(clock)
        calls(each, failed=4)
        for longer in (2, 4, 8, 8):
            clock.now += each.wait_seconds
            calls(each, failed=1)
            assert (state(each), each.wait_seconds) == ("open", 5.0 * longer)

    def test_a_trial_that_says_nothing_gives_its_place_back(self) -> None:
        clock = Clock()
        each = breaker(clock)
        calls(each, failed=4)
        clock.now += 5
        each.left(entered(each))
        assert entered(each)

    def test_calls_from_before_it_opened_decide_nothing(self) -> None:
        clock = Clock()
        each = breaker(clock)
        early = [entered(each) for _ in range(3)]
        calls(each, failed=4)
        each.succeeded(early[0])
        assert state(each) == "open"
        clock.now += 5
        trial = entered(each)
        each.left(early[1])
        assert not each.enter()
        each.failed(early[2])
        assert state(each) == "half_open"
        each.succeeded(trial)
        assert state(each) == "closed"

    @given(st.lists(st.tuples(st.sampled_from(["succeeded", "failed", "left"]), st.floats(0, 20)), max_size=60))
    def test_at_most_one_trial_whatever_happens(self, steps: list[tuple[str, float]]) -> None:
        clock = Clock()
        each = breaker(clock)
        for end, seconds in steps:
            clock.now += seconds
            half = each.state == "half_open"
            ticket = each.enter()
            if ticket:
                assert each.state != "open"
                assert not (half and each.admits)
                getattr(each, end)(ticket)


def test_who_listens_hears_each_turn_with_its_seconds() -> None:
    clock, heard = Clock(), list[float | None]()
    breaking = Breaking.model_validate({"window_seconds": 10.0, "calls_min": 4, "open_seconds": 5.0})
    each = Breaker(breaking, clock, heard.append)
    calls(each, failed=4)
    clock.now += 5.0
    calls(each, failed=1)
    clock.now += 10.0
    calls(each, succeeded=2)
    assert heard == [5.0, 10.0, None]
