"""Forecasts: what a series holds is found, what is not known is not told, and the backtest has not seen what it is measured on."""

from itertools import pairwise

import numpy as np
import pytest

from factory_infra.paas.optimization import forecasting
from factory_infra.paas.optimization.demand import HOUR, Claim, hourly, peaks
from factory_infra.paas.optimization.forecast_models import Ask
from factory_infra.paas.optimization.forecasting import (
    MODELS,
    NAIVE,
    Floats,
    best_of,
    go_on,
    go_on_with_all,
    seasonal_mean,
    seasonal_naive,
    widths,
    windows_of,
)
from factory_infra.paas.optimization.idle import Span
from factory_infra.paas.optimization.reserving import best_reserved, cost_of

CHEAP = {name: MODELS[name] for name in (NAIVE, "seasonal mean", "level", "drift")}
"""Those that need no import."""


def weekly(days: int, noise: float, seed: int = 0) -> Floats:
    chance = np.random.default_rng(seed)
    return np.asarray(10 + 4 * np.sin(2 * np.pi * np.arange(days) / 7) + noise * chance.normal(size=days), dtype=np.float64)


def test_a_season_without_noise_is_gone_on_with_exactly() -> None:
    line = go_on(weekly(84, 0.0), Ask(series={}, season=7, horizon=14), CHEAP)
    assert line.mean == pytest.approx(10 + 4 * np.sin(2 * np.pi * np.arange(84, 98) / 7), abs=1e-5)
    assert line.backtest is not None and line.backtest.error == pytest.approx(0, abs=1e-9)


def test_noise_is_averaged_out_better_than_by_the_naive_forecast() -> None:
    ratios = []
    for seed in range(8):
        line = go_on(weekly(120, 2.0, seed), Ask(series={}, season=7, horizon=14), CHEAP)
        assert line.backtest is not None and line.backtest.ratio is not None
        ratios.append(line.backtest.ratio)
        assert all(low <= mean <= high for low, mean, high in zip(line.low, line.mean, line.high, strict=True))
        assert min(line.low) >= 0
    assert np.mean(ratios) < 0.95


def test_a_window_has_not_seen_what_it_is_measured_on() -> None:
    past = np.arange(100, dtype=np.float64)
    windows = windows_of(past, 7, 14)
    assert all(window.known[-1] + 1 == window.came[0] and len(window.came) == 14 for window in windows)
    assert all(left.came[-1] + 1 == right.came[0] for left, right in pairwise(windows)) and windows[-1].came[-1] == 99


def test_control_a_model_that_sees_the_future_would_be_chosen() -> None:
    """The backtest holds the future back: a model that had it would be perfect, and none of ours is."""
    past = weekly(120, 2.0)

    def seer(known: Floats, season: int, steps: int) -> Floats:
        return past[len(known) : len(known) + steps] if len(known) < len(past) else np.zeros(steps)

    line = go_on(past, Ask(series={}, season=7, horizon=14), {**CHEAP, "seer": seer})
    assert line.model == "seer" and line.backtest is not None and line.backtest.error == 0
    honest = go_on(past, Ask(series={}, season=7, horizon=14), CHEAP)
    assert honest.backtest is not None and honest.backtest.error > 0.5


def test_models_that_are_nearly_as_good_are_combined_and_bad_ones_are_not() -> None:
    errors = {"a": np.full((4, 2), 1.0), "b": np.full((4, 2), -1.2), "c": np.full((4, 2), 1.0), "d": np.full((4, 2), 1.1)}
    assert best_of(errors) == ["a", "c", "d"]
    assert best_of({**errors, "a": np.full((4, 2), 0.5)}) == ["a"]
    assert best_of({"a": np.zeros((4, 2)), **{name: errors[name] for name in "bc"}}) == ["a"]


def test_the_mean_of_several_errs_less_than_the_one_that_was_chosen() -> None:
    def off(most: int, seed: int) -> float:
        values = weekly(150, 3.0, seed) + np.cumsum(np.random.default_rng(seed).normal(scale=0.4, size=150))
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(forecasting, "COMBINED_MAX", most)
            line = go_on(values[:136], Ask(series={}, season=7, horizon=14), CHEAP)
        return float(np.abs(np.array(line.mean) - values[136:]).mean())

    assert np.mean([off(3, seed) for seed in range(60)]) < np.mean([off(1, seed) for seed in range(60)])


def test_an_interval_holds_about_as_much_as_it_says() -> None:
    within = []
    for seed in range(30):
        values = weekly(150, 2.0, seed)
        line = go_on(values[:136], Ask(series={}, season=7, horizon=14, level=0.8), CHEAP)
        within.append(np.mean((values[136:] >= np.array(line.low)) & (values[136:] <= np.array(line.high))))
    assert 0.72 <= np.mean(within) <= 0.95


def test_a_model_that_breaks_is_left_out_and_the_interval_never_narrows() -> None:
    def broken(known: Floats, season: int, steps: int) -> Floats:
        raise ValueError("no")

    line = go_on(weekly(100, 1.0), Ask(series={}, season=7, horizon=40), {**CHEAP, "broken": broken})
    assert set(line.model.split(" + ")) <= set(CHEAP)
    errors = np.random.default_rng(1).normal(size=(5, 14))
    found = widths(errors, 40, 0.8)
    assert len(found) == 40 and all(left <= right for left, right in pairwise(found.tolist()))


def test_too_short_is_said_and_not_foreseen() -> None:
    lines = go_on_with_all(Ask(series={"a": [1.0] * 13, "b": [0.0] * 14}, season=7, horizon=3, models=(NAIVE,)))
    assert lines.too_short == ["a"] and lines.lines["b"].backtest is None and lines.lines["b"].mean == [0.0, 0.0, 0.0]
    assert seasonal_naive(np.arange(7.0), 7, 9).tolist() == [0, 1, 2, 3, 4, 5, 6, 0, 1]
    assert seasonal_mean(np.arange(14.0), 7, 2).tolist() == [3.5, 4.5]


def test_demand_is_what_was_held_and_waited_for_hour_by_hour() -> None:
    claims = [Claim("a", 4, Span(-HOUR, HOUR // 2)), Claim("b", 2, Span(HOUR, 3 * HOUR)), Claim("b", 8, Span(90 * HOUR, 91 * HOUR))]
    assert hourly(claims, 0, 4) == [2.0, 2.0, 2.0, 0.0]
    assert peaks([1.0] * 23 + [5.0] + [2.0] * 24 + [9.0]) == [5.0, 2.0]


def test_reserving_is_the_cheapest_of_all_numbers() -> None:
    chance = np.random.default_rng(3)
    for share in (0.2, 0.4, 0.6, 0.9):
        for _ in range(10):
            load = chance.gamma(2.0, 4.0, size=50).tolist()
            best = best_reserved(load, share)
            assert best.cost == pytest.approx(min(cost_of(load, slots, share) for slots in range(int(max(load)) + 2)))
            assert best.cost <= min(best.cost_none, best.cost_peak)
    assert best_reserved([4.0] * 10, 0.5).slots == 4 and best_reserved([], 0.5).slots == 0
