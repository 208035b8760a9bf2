"""Markets: prices below on demand, stock that comes and goes, the same from one seed, and traces as they are."""

from itertools import islice, pairwise
from math import inf
from statistics import mean

import pytest
from pydantic import ValidationError

from factory_infra.foundation.twin.market import HOUR, Market, MarketTape

SPOT = Market(spot=True, on_demand_hourly=10, in_stock_hours=5, out_of_stock_hours=1, interruptions_hourly=0.1)


class TestPrices:
    def test_are_those_on_demand_where_it_is_no_spot_market(self) -> None:
        tape = MarketTape(Market(on_demand_hourly=12), 1, "a")
        assert tape.price(5000) == 12 and tape.cost(0, 1.5 * HOUR) == pytest.approx(18)

    def test_of_spot_lie_below_by_the_discount_and_never_above(self) -> None:
        tape = MarketTape(SPOT, 1, "a")
        found = [tape.price(hour * HOUR) for hour in range(5000)]
        assert mean(found) == pytest.approx(4, rel=0.1) and max(found) <= 10 and min(found) > 0

    def test_cost_is_each_hour_at_its_own_price(self) -> None:
        tape = MarketTape(Market(spot=True, on_demand_hourly=9, prices=((0, 1.0), (HOUR, 3.0))), 1, "a")
        assert tape.cost(0.5 * HOUR, 2 * HOUR) == pytest.approx(0.5 * 1 + 3)
        assert tape.cost(HOUR, HOUR) == 0

    def test_are_the_same_in_whatever_order_they_are_asked_for(self) -> None:
        forward, backward = MarketTape(SPOT, 3, "a"), MarketTape(SPOT, 3, "a")
        hours = [hour * HOUR for hour in range(50)]
        assert [forward.price(at) for at in hours] == [backward.price(at) for at in hours[::-1]][::-1]


class TestStock:
    def test_is_there_as_often_as_was_asked(self) -> None:
        tape = MarketTape(SPOT, 1, "a")
        assert mean(tape.in_stock(minute * 600.0) for minute in range(20_000)) == pytest.approx(5 / 6, abs=0.04)

    def test_changes_tell_what_in_stock_tells(self) -> None:
        tape = MarketTape(SPOT, 1, "a")
        found = list(islice(tape.changes(1000.0), 50))
        assert all(before.at < after.at and before.in_stock is not after.in_stock for before, after in pairwise(found))
        assert all(tape.in_stock(change.at) is change.in_stock for change in found)

    def test_of_a_trace_is_what_it_says(self) -> None:
        tape = MarketTape(Market(spot=True, stock=((0, True), (100, False), (200, True))), 1, "a")
        assert [tape.in_stock(at) for at in (0, 99, 100, 199, 200, 10_000)] == [True, True, False, False, True, True]
        assert [change.at for change in tape.changes(0)] == [100, 200]

    def test_never_runs_out_where_that_is_not_asked_for(self) -> None:
        tape = MarketTape(Market(spot=True), 1, "a")
        assert tape.in_stock(1e9) and list(tape.changes(0)) == []


class TestMachines:
    def test_start_in_their_own_time_around_the_median(self) -> None:
        tape = MarketTape(Market(start_seconds=100), 1, "a")
        found = sorted(tape.start_seconds(f"m{number}") for number in range(1001))
        assert found[500] == pytest.approx(100, rel=0.1) and tape.start_seconds("m1") == tape.start_seconds("m1")

    def test_are_taken_back_at_the_rate_that_was_asked(self) -> None:
        tape = MarketTape(SPOT, 1, "a")
        assert mean(tape.interruptions(f"m{number}", 0) for number in range(3000)) == pytest.approx(10 * HOUR, rel=0.1)

    def test_on_demand_are_never_taken_back(self) -> None:
        assert MarketTape(Market(interruptions_hourly=5), 1, "a").interruptions("m", 0) == inf


@pytest.mark.parametrize(
    "fields",
    [
        {"prices": [(5, 1.0), (5, 2.0)]},
        {"prices": [(-1, 1.0)]},
        {"prices": [(0, -1.0)]},
        {"stock": [(10, True), (5, False)]},
        {"discount": 1.0},
        {"colour": "blue"},
    ],
)
def test_what_cannot_be_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Market.model_validate(fields)
