"""A node against its fleet."""

from datetime import UTC, datetime

from factory_infra.foundation.validation.baseline import BurnInBaseline
from factory_infra.foundation.validation.judging import Fleet
from factory_infra.foundation.validation.models import BurnIn, Comparison, Measurement


def run(*values: float, benchmark: str = "matmul", higher: bool = True) -> BurnIn:
    """A burn-in with a value for each device."""
    measured = [
        Measurement.model_validate(
            {"benchmark": benchmark, "variant": "f16", "device": f"gpu{at}", "value": value, "unit": "u", "higher_is_better": higher}
        )
        for at, value in enumerate(values)
    ]
    return BurnIn(host="h", machine_type="m", at=datetime.now(UTC), seconds=1, measurements=measured)


def judged(node: BurnIn, *others: BurnIn, **rules: object) -> Comparison:
    fleet = Fleet({"node": node, **{f"n{at}": each for at, each in enumerate(others)}})
    [found] = fleet.compare("node", BurnInBaseline.model_validate(rules))
    return found


class TestFleet:
    def test_one_as_fast_as_the_others_is_fine(self) -> None:
        assert judged(run(100), run(101), run(99), run(100)).verdict == "ok"

    def test_a_slow_one_falls_short(self) -> None:
        found = judged(run(80), run(101), run(99), run(100))
        assert found.verdict == "below"
        assert found.reason == "matmul/f16 is 80 u, 80 % of the median 99.5 of 4 nodes; 90 % is wanted."

    def test_the_worst_device_counts(self) -> None:
        assert judged(run(100, 100, 60, 100), run(100, 100), run(100), run(100)).verdict == "below"

    def test_a_long_time_falls_short(self) -> None:
        fleet = [run(10, benchmark="latency", higher=False) for _ in range(3)]
        assert judged(run(20, benchmark="latency", higher=False), *fleet).verdict == "below"
        assert judged(run(5, benchmark="latency", higher=False), *fleet).verdict == "ok"

    def test_bad_nodes_do_not_hide_each_other(self) -> None:
        """With a mean and a standard deviation, two nodes at a tenth of the speed would make each other look usual."""
        assert judged(run(10), run(10), run(100), run(101), run(99), run(100)).verdict == "below"

    def test_where_all_differ_much_that_is_noise(self) -> None:
        assert judged(run(80), run(60), run(100), run(120), run(140)).verdict == "ok"
        assert judged(run(80), run(60), run(100), run(120), run(140), deviations=0).verdict == "below"

    def test_too_few_are_not_compared(self) -> None:
        found = judged(run(10), run(100), run(100))
        assert found.verdict == "too_few"
        assert found.reason == "3 of at least 4 nodes of this type have told matmul/f16: too few to compare."
        assert judged(run(10), run(100), run(100), nodes_min=3).verdict == "below"

    def test_the_share_is_a_figures_own_a_benchmarks_or_the_one_for_all(self) -> None:
        fleet = (run(100), run(100), run(100))
        assert judged(run(80), *fleet, shares={"matmul": 0.7}).verdict == "ok"
        assert judged(run(80), *fleet, shares={"matmul": 0.7, "matmul/f16": 0.85}).verdict == "below"
        assert judged(run(80), *fleet, share=0.75).verdict == "ok"

    def test_a_floor_counts_without_a_fleet(self) -> None:
        found = judged(run(80), floors={"matmul/f16": 90})
        assert (found.verdict, found.reason) == ("below", "matmul/f16 is 80 u; the baseline wants at least 90.")
        assert judged(run(80), floors={"matmul": 70}).verdict == "too_few"
