"""The sums of a simulation, by hand."""

import numpy as np
import pytest

from factory_infra.errors import NotFound
from factory_infra.iaas.scheduling.policy import QuotaSpec, QuotaTree
from factory_infra.iaas.twin.engine import compare, run
from factory_infra.iaas.twin.results import Comparison, Results, Spread
from factory_infra.iaas.twin.tally import Intervals, even, max_min, weight_of, windows
from tests.factory_infra.iaas.twin.making import HOUR, job, scenario


class TestIntervals:
    def test_amounts_fall_into_their_windows(self) -> None:
        found = Intervals.of([(0, 10, 2), (5, 25, 1), (30, 31, 7)]).within(np.array([0.0, 10.0, 20.0, 30.0]))
        assert found.tolist() == pytest.approx([25, 10, 5])

    def test_what_lies_outside_is_cut(self) -> None:
        assert Intervals.of([(-10, 100, 3)]).within(np.array([0.0, 1.0, 2.0])).tolist() == pytest.approx([3, 3])

    def test_nothing_is_nothing(self) -> None:
        assert Intervals.of([]).within(np.array([0.0, 1.0])).tolist() == [0]


class TestFairness:
    def test_shares_are_max_min(self) -> None:
        assert max_min(10.0, np.array([1.0, 20.0, 20.0]), np.ones(3)).tolist() == pytest.approx([1, 4.5, 4.5])
        assert max_min(9.0, np.array([20.0, 20.0]), np.array([1.0, 2.0])).tolist() == pytest.approx([3, 6])

    def test_even_is_one_and_one_takes_all_is_one_over_the_number(self) -> None:
        demand, weights = np.full(4, 10.0), np.ones(4)
        assert even(np.full(4, 2.0), demand, weights) == pytest.approx((1, 1))
        assert even(np.array([8.0, 0, 0, 0]), demand, weights) == pytest.approx((0.25, 0))

    def test_who_asks_for_little_is_served_with_little(self) -> None:
        assert even(np.array([1.0, 7.0]), np.array([1.0, 50.0]), np.ones(2)) == pytest.approx((1, 1))

    def test_of_a_run_in_which_one_queue_takes_all(self) -> None:
        jobs = [job(f"a{n}", 0, 10 * HOUR, queue="a") for n in range(2)] + [job("b", 1, 10 * HOUR, queue="b")]
        found = run(scenario(*jobs, count=2, seconds=10 * HOUR)).fairness
        assert found.jain == pytest.approx(0.5, abs=0.01) and found.max_min == pytest.approx(0, abs=0.01) and found.windows == 10

    def test_weights_are_of_the_nearest_queue_in_the_tree(self) -> None:
        tree = QuotaTree(queues=(QuotaSpec(name="org", weight=3), QuotaSpec(name="org/a", weight=2)))
        assert [weight_of(name, tree) for name in ("org/a", "org/a/x", "org/b", "other")] == [2, 2, 3, 1]
        assert weight_of("org/a", None) == 1


class TestComparison:
    @pytest.fixture(scope="class")
    def found(self) -> Comparison:
        slow = scenario(job("a", 0, HOUR), job("b", 0, HOUR), name="slow")
        return compare([slow, scenario(job("a", 0, HOUR), job("b", 0, HOUR), name="wide", count=2)], [1, 2])

    def test_has_a_row_a_scenario(self, found: Comparison) -> None:
        assert [row["scenario"] for row in found.rows()] == ["slow", "wide"]
        assert found.mean("queue_p95", "wide") == 0 < found.mean("queue_p95", "slow")

    def test_says_which_is_best_by_what(self, found: Comparison) -> None:
        assert (found.best("completion_mean"), found.best("cost"), found.best("occupancy")) == ("wide", "slow", "slow")

    def test_an_unknown_metric_is_told_with_those_that_are(self, found: Comparison) -> None:
        with pytest.raises(NotFound) as told:
            found.best("beauty")
        assert told.value.error_code == "metric_unknown" and "queue_p95" in told.value.remedy

    def test_the_table_has_a_column_a_metric(self, found: Comparison) -> None:
        lines = found.table(("occupancy", "finished")).splitlines()
        assert lines[0] == "simulated, mean of 2 seeds" and lines[1].split() == ["scenario", "occupied", "%", "finished"]

    def test_json_goes_there_and_back_without_single_jobs(self, found: Comparison) -> None:
        again = Comparison.model_validate_json(found.model_dump_json())
        assert again.rows() == found.rows() and again.results[0].jobs == () and found.results[0].jobs


def test_a_spread_of_nothing_is_zero() -> None:
    assert Spread.of(np.array([])) == Spread()
    assert Spread.of(np.array([1.0, 3.0])).mean == 2


def test_windows_are_of_one_length_and_not_too_many() -> None:
    assert len(windows(0, 1e7)) == 401 and len(windows(0, 1)) == 2


def test_results_refuse_what_they_do_not_know() -> None:
    assert Results.model_config["extra"] == "forbid"
