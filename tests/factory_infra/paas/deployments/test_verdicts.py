"""The gates of a roll-out: what fails one, what holds, and what is not known yet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from factory_infra.paas.deployments.counts import Counts, bound_of, bucket_of
from factory_infra.paas.deployments.rollout_models import Gates, RolloutPlan, Strategy
from factory_infra.paas.deployments.verdicts import Finding, judge, wilson


def counts(requests: int, errors: int = 0, milliseconds: float = 5.0) -> Counts:
    """Counts of so many requests, all as quick."""
    made = Counts()
    for number in range(requests):
        (made.failed if number < errors else made.answered)(milliseconds)
    return made


class TestErrors:
    @pytest.mark.parametrize(
        ("requests", "errors", "finding"),
        [
            (3, 3, Finding.FAILS),
            (2, 2, Finding.OPEN),
            (200, 8, Finding.FAILS),
            (200, 1, Finding.HOLDS),
            (0, 0, Finding.OPEN),
            (20, 1, Finding.OPEN),
        ],
    )
    def test_what_fails_is_shown_before_it_is_acted_on(self, requests: int, errors: int, finding: Finding) -> None:
        assert judge(Gates(), 20, counts(requests, errors), counts(1000)).finding is finding

    def test_what_the_live_version_fails_as_well_is_not_the_candidates_fault(self) -> None:
        assert judge(Gates(), 20, counts(100, 30), counts(1000, 300)).finding is not Finding.FAILS
        # The control: the same candidate beside a live version that answers.
        assert judge(Gates(), 20, counts(100, 30), counts(1000)).finding is Finding.FAILS

    def test_the_reason_names_the_figures(self) -> None:
        verdict = judge(Gates(), 20, counts(10, 10), counts(1000))
        assert (verdict.code, verdict.value, verdict.threshold) == ("error_rate", 1.0, 0.02)
        assert "10 of 10" in verdict.reason


class TestLatency:
    def test_a_slow_candidate_fails_against_a_bound_and_against_the_live_version(self) -> None:
        for gates in (Gates(latency_p95_ms_max=50), Gates(latency_ratio_max=2)):
            verdict = judge(gates, 20, counts(30, milliseconds=400), counts(100))
            assert (verdict.finding, verdict.code) == (Finding.FAILS, "latency")
            assert judge(gates, 20, counts(30), counts(100)).finding is Finding.HOLDS

    def test_without_enough_of_the_live_version_a_ratio_is_open(self) -> None:
        assert judge(Gates(latency_ratio_max=2), 20, counts(30), counts(3)).finding is Finding.OPEN

    def test_one_slow_answer_is_no_failure(self) -> None:
        candidate = counts(50)
        candidate.answered(900)
        assert judge(Gates(latency_p95_ms_max=50), 20, candidate, counts(100)).finding is Finding.HOLDS


class TestQuality:
    @pytest.mark.parametrize(("agreed", "finding"), [(100, Finding.HOLDS), (60, Finding.FAILS), (88, Finding.OPEN)])
    def test_agreement(self, agreed: int, finding: Finding) -> None:
        candidate = counts(100)
        candidate.compared, candidate.agreed = 100, agreed
        assert judge(Gates(agreement_min=0.9), 20, candidate, counts(100)).finding is finding

    def test_feedback_that_calls_it_wrong_takes_it_back_and_too_little_of_it_decides_nothing(self) -> None:
        candidate = counts(100)
        candidate.labelled, candidate.right = 40, 20
        assert judge(Gates(accuracy_min=0.9), 20, candidate, counts(100)).code == "accuracy"
        assert judge(Gates(accuracy_min=0.9), 20, candidate, counts(100)).finding is Finding.FAILS
        assert judge(Gates(accuracy_min=0.9, samples_min=41), 20, candidate, counts(100)).finding is Finding.OPEN
        assert judge(Gates(), 20, candidate, counts(100)).finding is Finding.HOLDS


@given(st.integers(0, 400), st.integers(0, 400))
def test_the_bounds_of_a_share_are_around_it(hits: int, more: int) -> None:
    low, high = wilson(hits, hits + more)
    share = hits / (hits + more) if hits + more else 0.5
    assert 0 <= low <= share + 1e-9 and share - 1e-9 <= high <= 1


@given(st.floats(0.001, 40_000))
def test_a_time_lies_within_its_bucket(milliseconds: float) -> None:
    bucket = bucket_of(milliseconds)
    assert milliseconds <= bound_of(bucket) * (1 + 1e-9)
    assert bucket == 0 or milliseconds > bound_of(bucket - 1) * (1 - 1e-9)


@pytest.mark.parametrize(
    "fields",
    [
        {"shares": (0.5, 0.1)},
        {"shares": (0.0,)},
        {"shares": (1.5,)},
        {"strategy": "blue_green", "shares": (0.5,)},
        {"strategy": "shadow", "shares": (0.1, 0.2)},
        {"strategy": "shadow", "gates": {"accuracy_min": 0.9}},
        {"promote": False},
        {"surprise": 1},
    ],
)
def test_plans_that_cannot_be_walked_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RolloutPlan.model_validate(fields)


def test_each_strategy_has_its_steps() -> None:
    assert RolloutPlan().steps == (0.01, 0.1, 0.5)
    assert RolloutPlan(strategy=Strategy.BLUE_GREEN).steps == RolloutPlan(strategy=Strategy.SHADOW).steps == (1.0,)
