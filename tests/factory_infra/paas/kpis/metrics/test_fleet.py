"""Figures of machines by hand: spans that lie over a window's ends, bounds against another's quantiles, ranks."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory_infra.paas.kpis.facts import LogEvent, Window, measured
from factory_infra.paas.kpis.metrics.book import METRICS
from factory_infra.paas.kpis.metrics.fleet import bounds
from factory_infra.paas.kpis.metrics.shaping import rank
from factory_infra.paas.kpis.models import Kpi

DAY = datetime(2026, 5, 1, tzinfo=UTC)
WEEK = Window(DAY, DAY + timedelta(days=7))


def told(subject: str, what: str, hours: float, **payload: object) -> LogEvent:
    return LogEvent(f"{subject}/{what.partition('.')[2]}", what, "vision", payload, DAY + timedelta(hours=hours))  # type: ignore[arg-type]


def figure(name: str, events: list[LogEvent], over: Window = WEEK) -> Kpi:
    return METRICS[name].of(measured(events, over))


GROWN = told("p-1", "pool.grown", -100, pool="p", kind="gpu", slots=10)


def lease(number: int, begin: float, end: float | None, slots: int = 5, pool: str = "p") -> list[LogEvent]:
    about = {"pool": pool, "kind": "gpu", "slots": slots, "provision_ms": 1}
    ended = [] if end is None else [told(f"lease-{number}", "lease.ended", end, **about)]
    return [told(f"lease-{number}", "lease.begun", begin, **about), *ended]


class TestOccupancy:
    def test_spans_count_as_far_as_they_lie_in_the_window(self) -> None:
        events = [GROWN, *lease(1, -50, 24), *lease(2, 150, None), *lease(3, 200, 300), *lease(4, -90, -80)]
        kpi = figure("gpu_occupancy", events)
        assert kpi.numerator.value == pytest.approx(5 * 24 + 5 * 18)
        assert kpi.denominator.value == pytest.approx(10 * 168)
        assert kpi.value == pytest.approx(210 / 1680)
        assert kpi.met is False

    def test_what_is_left_out_is_told(self) -> None:
        orphan = told("lease-9", "lease.ended", 5, pool="p", kind="gpu", slots=5)
        strange = told("lease-8", "lease.begun", 5, pool="p", kind="gpu", slots="five", provision_ms=1)
        kpi = figure("gpu_occupancy", [GROWN, orphan, strange, *lease(1, 0, 10, pool="cloud")])
        assert kpi.value == 0.0
        assert sorted(each.amount for each in kpi.exclusions) == [1, 1, 50]

    def test_without_slots_there_is_no_number(self) -> None:
        kpi = figure("gpu_occupancy", lease(1, 0, 10))
        assert kpi.value is None and kpi.met is None and "No pool" in kpi.note


class TestGoodput:
    def test_only_runs_that_succeeded_count(self) -> None:
        events = [GROWN]
        for number, state in enumerate(["succeeded", "failed", "succeeded", "cancelled", "succeeded"]):
            about = {"pool": "p", "kind": "gpu", "slots": 2}
            events += [told(f"job-{number}-1", "job.started", -5, **about), told(f"job-{number}-1", "job.ended", 10, **about, state=state)]
        events.append(told("job-9-1", "job.started", 20, pool="p", kind="gpu", slots=8))  # it runs still
        kpi = figure("gpu_goodput", events)
        assert kpi.numerator.value == pytest.approx(3 * 2 * 10)
        few = figure("gpu_goodput", events[:-4])
        assert few.value is None and "5 are needed" in few.note


class TestMtbf:
    def events(self, failures: int) -> list[LogEvent]:
        found = [told(f"node-{node}", "node.seen", 0, pool="p", node=f"n{node}") for node in range(10)]
        for number in range(failures):
            found.append(told(f"incident-{number}", "node.failed", 10, pool="p", node=f"n{number % 10}"))
            found.append(told(f"incident-{number}", "node.mended", 12, pool="p", node=f"n{number % 10}"))
        return found

    def test_hours_watched_over_failures_with_bounds(self) -> None:
        kpi = figure("node_mtbf", self.events(5))
        assert kpi.value == pytest.approx((10 * 168 - 10) / 5)
        assert kpi.lower is not None and kpi.upper is not None and kpi.value is not None
        assert kpi.lower < kpi.value < kpi.upper
        assert kpi.met is False and "NIST" in kpi.source

    def test_of_few_failures_only_the_bound_is_told(self) -> None:
        kpi = figure("node_mtbf", self.events(1))
        assert kpi.value is None and kpi.met is None
        assert "at least" in kpi.note and kpi.lower == pytest.approx(bounds(1678, 1)[0])

    def test_between_the_bounds_nothing_is_claimed(self) -> None:
        kpi = figure("node_mtbf", self.events(4), Window(DAY, DAY + timedelta(days=25)))
        assert kpi.value is not None and kpi.met is None and "cannot be told" in kpi.note

    @pytest.mark.parametrize("failures", [1, 7, 60, 200, 201, 2000, 100_000])
    def test_bounds_are_those_of_the_chi_square_distribution(self, failures: int) -> None:
        from scipy.stats import chi2  # noqa: PLC0415 - heavy, and only here

        lower, upper = bounds(1e6, failures)
        assert lower == pytest.approx(2e6 / chi2.ppf(0.95, 2 * failures + 2), rel=1e-5)
        assert upper == pytest.approx(2e6 / chi2.ppf(0.05, 2 * failures), rel=1e-5)


class TestProvisioning:
    def test_the_percentile_is_one_of_the_values(self) -> None:
        events = [told(f"lease-{n}", "lease.begun", 1, provision_ms=n * 1000 + 1, pool="p", kind="gpu", slots=1) for n in range(100)]
        kpi = figure("provisioning_slots", events)
        assert (kpi.value, kpi.met, kpi.denominator.value) == (95, True, 100)
        few = figure("provisioning_slots", events[:19])
        assert few.value is None and not few.parts

    @given(st.lists(st.integers(0, 50), min_size=1, max_size=200), st.floats(0.01, 1))
    def test_rank_is_the_nearest(self, values: list[int], quantile: float) -> None:
        counts = {value: values.count(value) for value in values}
        found = rank(counts, quantile)
        assert found is not None
        assert sum(value <= found for value in values) >= quantile * len(values)
        assert sum(value < found for value in values) < quantile * len(values)


class TestActivity:
    def test_the_mean_over_samples(self) -> None:
        events = [told(f"node-1-{n}", "node.sampled", n / 10, pool="p", node="a", samples=8, busy=8 * 7500) for n in range(20)]
        assert figure("gpu_activity", events).value == pytest.approx(0.75)
        assert figure("gpu_activity", events[:5]).value is None
