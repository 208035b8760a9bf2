"""What Optuna is told, and what it answers."""

import math

import pytest

from factory_infra.paas.training.studies.models import Report, StudySpec, TrialState
from factory_infra.paas.training.studies.reports import parsed, value_of
from factory_infra.paas.training.studies.sampling import Past, judge, suggest
from factory_infra.paas.training.studies.space import Scalar, outside
from tests.factory_infra.paas.training.studies.stand_in import spec_of

SPACE = {
    "x": {"kind": "float", "low": -5.0, "high": 5.0},
    "rate": {"kind": "float", "low": 1e-5, "high": 1.0, "log": True},
    "n": {"kind": "int", "low": 1, "high": 32, "log": True},
    "odd": {"kind": "int", "low": 1, "high": 10, "step": 4},
    "part": {"kind": "float", "low": 0.0, "high": 1.0, "step": 0.3},
    "flag": {"kind": "choice", "choices": [True, "no", 3]},
}


def searched(spec: StudySpec, trials: int) -> list[Past]:
    """Ask for trials one after the other; the value is best at x = 2 and a rate of 0.01."""
    past: list[Past] = []
    for number in range(trials):
        parameters = suggest(spec, past, number)
        assert parameters is not None
        past.append(Past(number=number, state=TrialState.COMPLETE, parameters=parameters, value=worth(parameters)))
    return past


def worth(parameters: dict[str, Scalar]) -> float:
    """A landscape with one peak at 0."""
    return -((float(parameters["x"]) - 2) ** 2) - (math.log10(float(parameters["rate"])) + 2) ** 2


class TestSuggest:
    @pytest.mark.parametrize("sampler", ["tpe", "random"])
    def test_every_draw_is_of_the_space_and_the_same_for_the_same_past(self, sampler: str) -> None:
        spec = spec_of(space=SPACE, sampler=sampler, startup_trials=3, seed=11)
        past = searched(spec, 12)
        assert all(not outside(spec.space, each.parameters) for each in past)
        assert [each.parameters for each in searched(spec, 12)] == [each.parameters for each in past]
        other = searched(spec.model_copy(update={"seed": 12}), 12)
        assert [each.parameters for each in other] != [each.parameters for each in past]

    def test_it_learns_where_random_draws_do_not(self) -> None:
        space = {name: SPACE[name] for name in ("x", "rate")}
        found = {}
        for sampler in ("tpe", "random"):
            runs = [searched(spec_of(space=space, sampler=sampler, startup_trials=8, seed=seed), 40) for seed in range(3)]
            found[sampler] = sum(each.value or 0 for run in runs for each in run[20:]) / 60
        assert found["tpe"] > found["random"] + 2

    def test_those_asked_for_first_come_first(self) -> None:
        first = [{"x": 0.0, "n": 1}, {"x": 1.0, "n": 9}]
        spec = spec_of(first=first)
        assert [each.parameters for each in searched_simple(spec, 2)] == first

    def test_parallel_trials_are_not_the_same(self) -> None:
        spec, past = spec_of(startup_trials=2), list[Past]()
        for number in range(8):
            parameters = suggest(spec, past, number)
            assert parameters is not None
            past.append(Past(number=number, state=TrialState.RUNNING, parameters=parameters))
        assert len({str(each.parameters) for each in past}) == 8


def searched_simple(spec: StudySpec, trials: int) -> list[Past]:
    """Ask without a value."""
    past: list[Past] = []
    for number in range(trials):
        parameters = suggest(spec, past, number)
        assert parameters is not None
        past.append(Past(number=number, state=TrialState.RUNNING, parameters=parameters))
    return past


def at(number: int, *values: float, state: TrialState = TrialState.COMPLETE) -> Past:
    """A trial that reported these values."""
    reports = [Report(step=step, value=value) for step, value in enumerate(values, 1)]
    value = values[-1] if state is TrialState.COMPLETE else None
    return Past(number=number, state=state, parameters={"x": 0.0, "n": 1}, value=value, reports=reports)


class TestJudge:
    @pytest.mark.parametrize("direction", ["maximize", "minimize"])
    def test_the_median_ends_the_worse_half_in_either_direction(self, direction: str) -> None:
        sign = 1 if direction == "maximize" else -1
        spec = spec_of(direction=direction, pruner={"kind": "median", "startup_trials": 2})
        others = [at(0, sign * 0.5, sign * 0.8), at(1, sign * 0.6, sign * 0.9)]
        assert judge(spec, others, at(2, sign * 0.1, state=TrialState.RUNNING)).prune
        assert not judge(spec, others, at(2, sign * 0.7, state=TrialState.RUNNING)).prune

    def test_startup_and_warmup_are_left_alone(self) -> None:
        others = [at(0, 0.5, 0.8), at(1, 0.6, 0.9)]
        bad = at(2, 0.1, state=TrialState.RUNNING)
        assert not judge(spec_of(pruner={"kind": "median", "startup_trials": 3}), others, bad).prune
        assert not judge(spec_of(pruner={"kind": "median", "startup_trials": 2, "warmup_steps": 5}), others, bad).prune

    def test_the_verdict_does_not_hang_on_how_often_it_is_looked_at(self) -> None:
        spec = spec_of(pruner={"kind": "median", "startup_trials": 2})
        others = [at(0, 0.5, 0.8), at(1, 0.6, 0.9)]
        # Worse at step 1 and better at step 2: looked at after both, it would have been ended at step 1.
        assert judge(spec, others, at(2, 0.1, 0.95, state=TrialState.RUNNING)).prune

    def test_failed_trials_say_nothing(self) -> None:
        spec = spec_of(pruner={"kind": "median", "startup_trials": 1})
        assert not judge(spec, [at(0, 0.9, state=TrialState.FAILED)], at(1, 0.1, state=TrialState.RUNNING)).prune

    def test_asha_keeps_its_rungs_between_looks(self) -> None:
        spec = spec_of(pruner={"kind": "asha", "reduction": 2, "steps_min": 1})
        first = at(0, 0.9, state=TrialState.RUNNING)
        kept = judge(spec, [], first)
        assert not kept.prune and kept.rungs["completed_rung_0"] == 0.9
        others = [first.model_copy(update={"rungs": kept.rungs})]
        assert judge(spec, others, at(1, 0.2, state=TrialState.RUNNING)).prune
        forgotten = [first]
        assert not judge(spec, forgotten, at(1, 0.2, state=TrialState.RUNNING)).prune, "without the rungs nobody is worse"


class TestReports:
    def test_what_is_no_report_is_passed_over(self) -> None:
        lines = ['{"step": 2, "value": 0.5}', "::report " + '{"step": 1, "value": 0.25}', "noise", '{"step": 3, "value": NaN}', "{" * 5000]
        lines += ['{"step": -1, "value": 1}', '{"value": 1}', '{"step": 2, "value": 0.75}', "[1]", '{"step": 4, "value": "Infinity"}']
        assert [(each.step, each.value) for each in parsed(lines)] == [(1, 0.25), (2, 0.75)]

    @pytest.mark.parametrize(
        ("result", "value"),
        [
            ('{"accuracy": 0.5, "value": 0.1}', 0.5),
            ('{"value": 0.1}', 0.1),
            ('{"metrics": {"accuracy": 0.75}}', 0.75),
            (None, 0.3),
            ('{"other": 1}', None),
            ('{"accuracy": NaN}', None),
            ('{"accuracy": true}', None),
            ("[]", None),
            ("nonsense", None),
        ],
    )
    def test_the_value_is_the_metric_or_value_or_the_last_report(self, result: str | None, value: float | None) -> None:
        assert value_of(result, "accuracy", [Report(step=1, value=0.3)]) == value
