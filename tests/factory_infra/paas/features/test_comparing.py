"""What counts as drift: large and no accident; the rest is told as what it is."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from factory_infra.paas.features.comparing import Sample, Window, compare
from factory_infra.paas.features.drift_models import DriftReport, Thresholds
from factory_infra.paas.features.models import Feature, Value

FEATURES = [
    Feature(name="size", kind="float"),
    Feature(name="count", kind="int"),
    Feature(name="colour", kind="text"),
    Feature(name="good", kind="flag"),
    Feature(name="place", kind="vector", dimensions=4),
]
END = datetime(2026, 11, 25, tzinfo=UTC)
WINDOW = Window(END - timedelta(days=1), END)


def sample(rows: int, seed: int, shift: float = 0.0, gaps: float = 0.0) -> Sample:
    chance = random.Random(seed)  # noqa: S311 - data

    def maybe(value: Value) -> Value:
        return None if chance.random() < gaps else value

    values: dict[str, list[Value]] = {
        "size": [maybe(chance.gauss(shift, 1)) for _ in range(rows)],
        "count": [maybe(int(chance.gauss(10 + 10 * shift, 3))) for _ in range(rows)],
        "colour": [maybe(chance.choices(["red", "blue", "green"], [1, 1 + 6 * shift, 1])[0]) for _ in range(rows)],
        "good": [maybe(chance.random() < 0.5 + 0.45 * shift) for _ in range(rows)],
        "place": [maybe([chance.gauss(shift, 1) for _ in range(4)]) for _ in range(rows)],
    }
    return Sample(rows, values)


def compared(before: Sample, now: Sample, rows_min: int = 50, **thresholds: float) -> DriftReport:
    return compare(FEATURES, before, now, Thresholds.model_validate(thresholds), WINDOW, rows_min)


def test_a_shift_is_found_in_every_kind_and_said_in_a_sentence() -> None:
    found = compared(sample(500, 1), sample(400, 2, shift=1.0))
    assert found.verdict == "drifted"
    assert {each.feature for each in found.features if each.drifted} == {each.name for each in FEATURES}
    assert found.reason.startswith("5 of 5 features drifted: ")
    assert (found.rows_before, found.rows_now) == (500, 400)


@pytest.mark.parametrize("rows", [60, 500])
def test_where_nothing_changed_nothing_is_found(rows: int) -> None:
    verdicts = [compared(sample(rows, seed), sample(rows, seed + 1000)).verdict for seed in range(6)]
    assert verdicts.count("drifted") <= 1


def test_control_without_its_noise_the_index_alone_cries_wolf() -> None:
    """Of few rows the index is large by accident: that is what the comparison with its noise is for."""
    over = 0
    for seed in range(15):
        report = compared(sample(60, seed), sample(60, seed + 1000))
        over += any((each.psi or 0) >= 0.2 for each in report.features)
    assert over >= 8


def test_gaps_are_drift_too() -> None:
    found = compared(sample(400, 1), sample(400, 2, gaps=0.4))
    assert found.verdict == "drifted"
    assert "missing in" in found.reason


def test_too_few_rows_say_nothing() -> None:
    found = compared(sample(30, 1), sample(400, 2, shift=3.0))
    assert (found.verdict, found.features) == ("unknown", [])
    assert "50 are needed" in found.reason


def test_a_small_change_of_many_rows_is_significant_and_no_drift() -> None:
    found = compared(sample(5000, 1), sample(5000, 2, shift=0.14))
    [size] = [each for each in found.features if each.feature == "size"]
    assert size.ks_p is not None
    assert size.ks_p < 0.001
    assert not size.drifted


def test_so_many_features_must_drift() -> None:
    before, now = sample(400, 1), sample(400, 2)
    now.values["size"] = [5.0] * 400
    assert compared(before, now).verdict == "drifted"
    found = compared(before, now, features_min=2)
    assert found.verdict == "stable"
    assert "fewer than the monitor asks for" in found.reason
