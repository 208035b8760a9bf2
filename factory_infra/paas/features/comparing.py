"""One comparison of the present with the past, feature by feature, and what it amounts to."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np

from factory_infra.paas.features.drift_models import DriftReport, FeatureDrift, Thresholds, Verdict
from factory_infra.paas.features.measures import (
    PERMUTATIONS,
    Distance,
    Floats,
    categories,
    histograms,
    kolmogorov_smirnov,
    mean_discrepancy,
    population_stability,
    shares_differ,
)
from factory_infra.paas.features.models import Feature, Value

THERE_MIN = 20
"""Values that are there on each side before their distribution is compared."""


class Sample(NamedTuple):
    """The values of each feature, in the order in which they came."""

    rows: int
    values: dict[str, list[Value]]


class Window(NamedTuple):
    """Which present is meant."""

    start: datetime
    end: datetime


def compare(features: Sequence[Feature], before: Sample, now: Sample, thresholds: Thresholds, window: Window, rows_min: int) -> DriftReport:  # noqa: PLR0913 - both sides and what is asked of them
    """Compare two samples. With fewer than `rows_min` rows on a side nothing is said of either."""
    counts = {"rows_before": before.rows, "rows_now": now.rows, "start": window.start, "end": window.end}
    if min(before.rows, now.rows) < rows_min:
        reason = f"Too few rows to say: {before.rows} before and {now.rows} now; {rows_min} are needed on each side."
        return DriftReport.model_validate({"verdict": "unknown", "reason": reason, **counts})
    alpha = thresholds.alpha / max(1, len(features))
    found = [compared(each, before.values[each.name], now.values[each.name], thresholds, alpha) for each in features]
    drifted = [each for each in found if each.drifted]
    verdict: Verdict = "drifted" if len(drifted) >= thresholds.features_min else "stable"
    return DriftReport.model_validate({"verdict": verdict, "reason": told(verdict, drifted, len(found)), "features": found, **counts})


def told(verdict: Verdict, drifted: Sequence[FeatureDrift], of: int) -> str:
    """A comparison in a sentence: the features that drifted furthest first."""
    if not drifted:
        return f"None of {of} features drifted."
    furthest = sorted(drifted, key=lambda each: -(each.psi or each.mmd or 0))
    names = "; ".join(f"{each.feature} ({each.words})" for each in furthest[:3])
    more = f", and {len(drifted) - 3} more" if len(drifted) > 3 else ""
    enough = "" if verdict == "drifted" else ", fewer than the monitor asks for"
    return f"{len(drifted)} of {of} features drifted{enough}: {names}{more}."


def compared(feature: Feature, before: Sequence[Value], now: Sequence[Value], thresholds: Thresholds, alpha: float) -> FeatureDrift:
    """Compare one feature: its gaps, then what is there."""
    there = [[value for value in side if value is not None] for side in (before, now)]
    missing = [1 - len(there[0]) / len(before), 1 - len(there[1]) / len(now)]
    gaps = shares_differ(len(before) - len(there[0]), len(before), len(now) - len(there[1]), len(now))
    plain = {"feature": feature.name, "kind": feature.kind, "missing_before": missing[0], "missing_now": missing[1]}
    reasons: list[str] = []
    if abs(missing[1] - missing[0]) >= thresholds.missing and gaps < alpha:
        reasons.append(f"missing in {missing[1]:.0%} instead of {missing[0]:.0%}")
    measured: dict[str, float] = {}
    if min(len(there[0]), len(there[1])) >= THERE_MIN:
        measure = {"vector": vectors, "text": words, "flag": words}.get(feature.kind, numbers)
        measured, more = measure(there[0], there[1], thresholds, alpha)
        reasons += more
    words_of = ", ".join(reasons) if reasons else "as before"
    return FeatureDrift.model_validate({**plain, **measured, "drifted": bool(reasons), "words": words_of})


Measured = tuple[dict[str, float], list[str]]


def numbers(before: Sequence[Value], now: Sequence[Value], thresholds: Thresholds, alpha: float) -> Measured:
    """Numbers: by the index and by Kolmogorov-Smirnov."""
    first, second = floats(before), floats(now)
    measured, reasons = stability(*histograms(first, second), thresholds, alpha)
    distance = kolmogorov_smirnov(first, second)
    if distance.value >= thresholds.ks and distance.p < alpha:
        reasons.append(f"KS {distance.value:.2f}")
    return {**measured, "ks": distance.value, "ks_p": distance.p}, reasons


def words(before: Sequence[Value], now: Sequence[Value], thresholds: Thresholds, alpha: float) -> Measured:
    """Words and flags: by the index over their shares."""
    return stability(*categories([str(each) for each in before], [str(each) for each in now]), thresholds, alpha)


def stability(before: Sequence[int], now: Sequence[int], thresholds: Thresholds, alpha: float) -> Measured:
    """The index, which must be large and above its noise."""
    found = population_stability(before, now, alpha)
    reasons = [f"PSI {found.psi:.2f}"] if found.psi >= max(thresholds.psi, found.noise) else []
    return {"psi": found.psi, "psi_noise": found.noise}, reasons


def vectors(before: Sequence[Value], now: Sequence[Value], thresholds: Thresholds, alpha: float) -> Measured:
    """Vectors, such as embeddings: by maximum mean discrepancy. A permutation test cannot tell less than one in its permutations."""
    found: Distance = mean_discrepancy(matrix(before), matrix(now))
    rare = found.p <= max(alpha, 1 / (PERMUTATIONS + 1))
    reasons = [f"MMD² {found.value:.3f}"] if found.value >= thresholds.mmd and rare else []
    return {"mmd": found.value, "mmd_p": found.p}, reasons


def floats(values: Sequence[Value]) -> Floats:
    """Numbers as an array."""
    return np.asarray([float(each) for each in values if isinstance(each, int | float)], dtype=np.float64)


def matrix(values: Sequence[Value]) -> Floats:
    """Vectors as the rows of an array."""
    return np.asarray([each for each in values if isinstance(each, list)], dtype=np.float64)
