"""Bounds of mean times, against scipy and published numbers."""

import pytest
from scipy.stats import chi2

from factory_infra.foundation.reliability.statistics import between_failures, chi_square, tail, to_repair


@pytest.mark.parametrize("degrees", [2, 4, 10, 42, 400, 2000])
@pytest.mark.parametrize("probability", [0.005, 0.05, 0.5, 0.9, 0.975])
def test_quantiles_are_those_of_scipy(probability: float, degrees: int) -> None:
    assert chi_square(probability, degrees) == pytest.approx(float(chi2.ppf(probability, degrees)), rel=1e-8)
    assert tail(degrees, degrees // 2) == pytest.approx(float(chi2.sf(degrees, degrees)), rel=1e-8)


@pytest.mark.parametrize(("probability", "degrees"), [(0, 2), (1, 2), (0.5, 0), (0.5, 3)])
def test_what_has_no_quantile_is_refused(probability: float, degrees: int) -> None:
    with pytest.raises(ValueError, match="no quantile"):
        chi_square(probability, degrees)


def test_the_example_of_the_handbook() -> None:
    """NIST/SEMATECH 8.4.5.1: 2 failures in 1600 hours; multipliers 0.3177 and 5.6281 of the estimate at 90 %."""
    rate = between_failures(1600, 2, 0.9)
    assert rate.hours == 800
    assert rate.hours_lower == pytest.approx(800 * 0.3177, rel=1e-3)
    assert rate.hours_upper == pytest.approx(800 * 5.6281, rel=1e-3)
    assert rate.note.startswith("Only 2 failures")


def test_without_a_failure_there_is_only_a_lower_bound() -> None:
    rate = between_failures(1000, 0, 0.9)
    assert (rate.hours, rate.hours_upper) == (None, None)
    assert rate.hours_lower == pytest.approx(1000 / 2.302585, rel=1e-6)  # T / -ln(1 - confidence)
    assert "only a lower bound" in rate.note


def test_nothing_watched_and_nothing_repaired_are_said() -> None:
    assert between_failures(0, 0).note == "Nothing was watched yet."
    assert to_repair([]).note == "Nothing was repaired yet."


def test_enough_events_have_no_note_and_tighter_bounds() -> None:
    few, many = between_failures(400, 4), between_failures(40_000, 400)
    assert few.hours == many.hours == 100
    assert (few.note, many.note) == ("", "")
    assert many.hours_lower is not None and few.hours_lower is not None and many.hours_lower > few.hours_lower
    assert many.hours_upper is not None and few.hours_upper is not None and many.hours_upper < few.hours_upper


def test_repairs_that_ended_have_a_mean_between_their_bounds() -> None:
    rate = to_repair([1, 2, 3])
    assert (rate.hours, rate.events) == (2, 3)
    assert rate.hours_lower == pytest.approx(12 / float(chi2.ppf(0.95, 6)))
    assert rate.hours_upper == pytest.approx(12 / float(chi2.ppf(0.05, 6)))
    assert rate.note.startswith("Only 3 repairs")
