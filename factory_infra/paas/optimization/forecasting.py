"""Goes on with series of demand: models are tried on the past, the best combined, and the interval is as wide as they were wrong.

`python -m factory_infra.paas.optimization.forecasting` reads an Ask as JSON and writes Lines: its imports are too heavy for others.
"""

import math
import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from factory_infra.paas.optimization.forecast_models import Ask, Backtest, Line, Lines

Floats = NDArray[np.float64]
Model = Callable[[Floats, int, int], Floats]
"""From a past, a season and a number of steps to what comes."""

NAIVE = "seasonal naive"
WINDOWS_MAX = 8
HELD_BACK = 2
"""The last windows choose no model: they tell how good the chosen one is."""
SEASONS_MIN = 2
COMBINED_MAX, GOOD_ENOUGH = 3, 1.3
"""So many models are combined at most, none with an error of more than so many times the best one's."""
STEPS_SHARE = 6
"""A window looks ahead at most a sixth of the past, so that there is something to learn from before the first."""


def seasonal_naive(past: Floats, season: int, steps: int) -> Floats:
    """Each value is that of one season before."""
    last = past[-season:]
    return np.asarray(np.resize(last, steps), dtype=np.float64)


def seasonal_mean(past: Floats, season: int, steps: int) -> Floats:
    """Each value is the mean of the same place in the last four seasons."""
    seasons = min(4, len(past) // season)
    return np.asarray(np.resize(past[-seasons * season :].reshape(seasons, season).mean(axis=0), steps), dtype=np.float64)


def level(past: Floats, season: int, steps: int) -> Floats:
    """The mean of the last season, for ever."""
    return np.full(steps, past[-season:].mean())


def drift(past: Floats, season: int, steps: int) -> Floats:
    """The season of before, moved on by the slope of a straight line through the past."""
    times = np.arange(len(past), dtype=np.float64)
    slope, start = np.polyfit(times, past, 1)
    rest = past - (slope * times + start)
    ahead = slope * (len(past) + np.arange(steps)) + start
    return np.asarray(ahead + seasonal_mean(rest, season, steps), dtype=np.float64)


def exponential(past: Floats, season: int, steps: int) -> Floats:
    """Exponential smoothing with level, trend and season as they fit best (AutoETS)."""
    from statsforecast.models import AutoETS  # noqa: PLC0415 - heavy

    return np.asarray(AutoETS(season_length=season).forecast(y=past, h=steps)["mean"], dtype=np.float64)


def theta(past: Floats, season: int, steps: int) -> Floats:
    """The theta method as it fits best (AutoTheta)."""
    from statsforecast.models import AutoTheta  # noqa: PLC0415 - heavy

    return np.asarray(AutoTheta(season_length=season).forecast(y=past, h=steps)["mean"], dtype=np.float64)


MODELS: Mapping[str, Model] = {
    NAIVE: seasonal_naive,
    "seasonal mean": seasonal_mean,
    "level": level,
    "drift": drift,
    "exponential smoothing": exponential,
    "theta": theta,
}
"""The simplest first: of equal ones it is chosen."""


class Window(NamedTuple):
    """A part of the past that is held back: what was known before it, and what came."""

    known: Floats
    came: Floats


def windows_of(past: Floats, season: int, horizon: int) -> list[Window]:
    """Windows at the end of the past that do not overlap, oldest first; before each lie two seasons at least."""
    steps = max(min(horizon, len(past) // STEPS_SHARE), 1)
    found = []
    for number in range(1, WINDOWS_MAX + 1):
        start = len(past) - number * steps
        if start < SEASONS_MIN * season + 1:
            break
        found.append(Window(past[:start], past[start : start + steps]))
    return found[::-1]


def foreseen(model: Model, past: Floats, season: int, steps: int) -> Floats | None:
    """What a model says, never below nothing; None where it cannot say anything of this past."""
    try:
        found = model(past, season, steps)
    except (ValueError, ArithmeticError, RuntimeError, IndexError, np.linalg.LinAlgError):
        return None
    return np.maximum(found, 0.0) if np.isfinite(found).all() else None


def errors_of(model: Model, windows: list[Window], season: int) -> Floats | None:
    """How far it was off, a row a window; None where it could not say anything of one."""
    rows = []
    for window in windows:
        found = foreseen(model, window.known, season, len(window.came))
        if found is None:
            return None
        rows.append(found - window.came)
    return np.array(rows)


def chosen_of(ask: Ask) -> Mapping[str, Model]:
    """The models that are tried: the seasonal naive one always, for all are measured against it."""
    return {name: model for name, model in MODELS.items() if not ask.models or name in (NAIVE, *ask.models)}


def best_of(errors: Mapping[str, Floats]) -> list[str]:
    """The models whose mean is gone on with: up to three, of which none is much worse than the best; the simplest first among equals.

    A mean of several forecasts errs less than the one that was chosen among them (Bates and Granger, "The Combination of Forecasts", 1969):
    which was best in a few windows is largely chance.
    """
    off = {name: float(np.abs(rows).mean()) for name, rows in errors.items()}
    ranked = sorted(off, key=lambda name: off[name] * (1 + 1e-9 * list(off).index(name)))[:COMBINED_MAX]
    return [name for name in ranked if off[name] <= GOOD_ENOUGH * off[ranked[0]]]


def go_on(past: Floats, ask: Ask, models: Mapping[str, Model]) -> Line:
    """Choose models on the past and go on with their mean.

    They are chosen by their mean absolute errors in all windows but the last two. The last two say how good the choice is: its error, that
    of the seasonal naive forecast, and how much of them lay in an interval made of the errors before. The interval that is told is made of
    all.
    """
    windows = windows_of(past, ask.season, ask.horizon)
    if len(windows) <= HELD_BACK:
        mean = seasonal_mean(past, ask.season, ask.horizon) if len(past) >= ask.season else level(past, len(past), ask.horizon)
        spread = np.full(ask.horizon, float(np.std(past)) * 2)
        return line_of("seasonal mean", mean, spread, None)
    errors = {name: rows for name, model in models.items() if (rows := errors_of(model, windows, ask.season)) is not None}
    chosen = best_of({name: rows[:-HELD_BACK] for name, rows in errors.items()})
    ahead = {name: each for name in chosen if (each := foreseen(models[name], past, ask.season, ask.horizon)) is not None}
    ahead = ahead or {NAIVE: seasonal_naive(past, ask.season, ask.horizon)}
    off = np.mean([errors[name] for name in ahead], axis=0)
    before, after = off[:-HELD_BACK], off[-HELD_BACK:]
    within = np.abs(after) <= widths(before, after.shape[1], ask.level)
    backtest = Backtest(
        windows=len(windows),
        steps=after.shape[1],
        error=float(np.abs(after).mean()),
        error_naive=float(np.abs(errors[NAIVE][-HELD_BACK:]).mean()),
        coverage=float(within.mean()),
    )
    mean = np.mean(list(ahead.values()), axis=0)
    return line_of(" + ".join(ahead), mean, widths(off, ask.horizon, ask.level), backtest)


def widths(errors: Floats, steps: int, level_wanted: float) -> Floats:
    """How far the interval reaches on either side at each step ahead: a quantile of past errors there and at its neighbours.

    With n errors it is the ceil((n + 1) * level)-th smallest, the largest where there are not so many (split conformal prediction, V. Vovk
    et al., "Algorithmic Learning in a Random World", 2005). It never grows narrower with time; beyond the windows it grows as a sum of
    independent steps would, with the square root.
    """
    _, known = errors.shape
    reach = max(known // 6, 1)
    found = np.empty(known)
    for step in range(known):
        near = np.sort(np.abs(errors[:, max(step - reach, 0) : step + reach + 1]).ravel())
        place = min(math.ceil((len(near) + 1) * level_wanted), len(near))
        found[step] = near[place - 1]
    found = np.maximum.accumulate(found)
    beyond = np.arange(known, steps) + 1
    return np.concatenate([found, found[-1] * np.sqrt(beyond / known)])[:steps]


def line_of(model: str, mean: Floats, width: Floats, backtest: Backtest | None) -> Line:
    """A forecast as it is told."""
    low, high = np.maximum(mean - width, 0.0), mean + width
    told = [[round(float(value), 6) for value in values] for values in (mean, low, high)]
    return Line(model=model, mean=told[0], low=told[1], high=told[2], backtest=backtest)


def go_on_with_all(ask: Ask) -> Lines:
    """Go on with every series that is long enough."""
    shortest = SEASONS_MIN * ask.season
    short = [name for name, values in ask.series.items() if len(values) < shortest]
    models = chosen_of(ask)
    lines = {
        name: go_on(np.asarray(values, dtype=np.float64), ask, models) for name, values in ask.series.items() if len(values) >= shortest
    }
    return Lines(lines=lines, too_short=short)


def main() -> None:
    """Answer one Ask."""
    sys.stdout.write(go_on_with_all(Ask.model_validate_json(sys.stdin.read())).model_dump_json())


if __name__ == "__main__":
    main()
