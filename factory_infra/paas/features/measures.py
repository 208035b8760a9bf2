"""How far two samples are apart, and whether that may be an accident: of numbers, of words, of vectors. Pure functions of arrays."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
BINS = 10
SMOOTHING = 0.5
"""Added to each bin's count (Jeffreys): an empty bin is rare, not impossible, and the index stays finite."""
PERMUTATIONS = 999
VECTORS_MAX = 400
"""Vectors of each side that are compared: time grows with the square."""


class Stability(NamedTuple):
    """The population stability index, and what it exceeds by accident with probability alpha if nothing changed."""

    psi: float
    noise: float


class Distance(NamedTuple):
    """A statistic and its p-value."""

    value: float
    p: float


def population_stability(before: Sequence[int], now: Sequence[int], alpha: float) -> Stability:
    """PSI of two histograms over the same bins: sum of (q - p) ln(q / p), the two Kullback-Leibler divergences together.

    Without a change it is distributed about as (1/n + 1/m) times chi-square with one degree less than bins (B. Yurdakul, "Statistical
    Properties of Population Stability Index", 2018), which says how much of it is noise.
    """
    from scipy.stats import chi2  # noqa: PLC0415 - heavy

    bins = len(before)
    n, m = sum(before), sum(now)
    p = (np.asarray(before, dtype=np.float64) + SMOOTHING) / (n + SMOOTHING * bins)
    q = (np.asarray(now, dtype=np.float64) + SMOOTHING) / (m + SMOOTHING * bins)
    psi = float(np.sum((q - p) * np.log(q / p)))
    noise = (1 / n + 1 / m) * float(chi2.ppf(1 - alpha, max(1, bins - 1)))
    return Stability(psi, noise)


def histograms(before: Floats, now: Floats, bins: int = BINS) -> tuple[list[int], list[int]]:
    """Counts of both samples in bins that hold equal shares of the first; the outer bins are open.

    A number that makes up a bin or more has a bin of its own, so that counts and codes are compared as what they are.
    """
    cuts = np.quantile(before, np.linspace(0, 1, bins + 1), method="inverted_cdf")
    values, times = np.unique(cuts, return_counts=True)
    heavy = values[times > 1]
    edges = np.unique(np.concatenate([cuts[1:-1], heavy, np.nextafter(heavy, -np.inf)]))
    return _counts(before, edges), _counts(now, edges)


def _counts(sample: Floats, edges: Floats) -> list[int]:
    return [int(each) for each in np.bincount(np.searchsorted(edges, sample, side="left"), minlength=len(edges) + 1)]


def categories(before: Sequence[str], now: Sequence[str], most: int = 50) -> tuple[list[int], list[int]]:
    """Counts of both samples by word; the rarest words of the first are counted together, as are those that it never had."""
    first, second = Counter(before), Counter(now)
    kept = [word for word, _ in first.most_common(most)]
    rows = []
    for counts in (first, second):
        known = [counts[word] for word in kept]
        seen = sum(counts[word] for word in counts if word in first) - sum(known)
        strange = sum(counts[word] for word in counts if word not in first)
        rows.append([*known, seen, strange])
    used = [number for number in range(len(rows[0])) if rows[0][number] or rows[1][number]]
    return [rows[0][number] for number in used], [rows[1][number] for number in used]


def kolmogorov_smirnov(before: Floats, now: Floats) -> Distance:
    """The greatest distance between the two empirical distributions, and how probable one as great is by accident."""
    from scipy.stats import ks_2samp  # noqa: PLC0415 - heavy

    found = ks_2samp(before, now, method="asymp")
    return Distance(float(found.statistic), float(found.pvalue))


def shares_differ(before: int, of_before: int, now: int, of_now: int) -> float:
    """The p-value of two shares being one, by the normal approximation with a pooled share; 1 where both are 0 or both are 1."""
    from scipy.stats import norm  # noqa: PLC0415 - heavy

    pooled = (before + now) / (of_before + of_now)
    spread = pooled * (1 - pooled) * (1 / of_before + 1 / of_now)
    if spread <= 0:
        return 1.0
    return float(2 * norm.sf(abs(before / of_before - now / of_now) / np.sqrt(spread)))


def mean_discrepancy(before: Floats, now: Floats, seed: int = 0) -> Distance:
    """Squared maximum mean discrepancy, unbiased, with a Gaussian kernel of the median distance, and its p-value by permutation.

    A. Gretton et al., "A Kernel Two-Sample Test", JMLR 13 (2012), equation 3 and section 8. Of more than 400 vectors a side, 400 are
    drawn. Vectors that are all alike are 0 apart with p-value 1.
    """
    generator = np.random.default_rng(seed)
    first, second = _drawn(before, generator), _drawn(now, generator)
    both = np.concatenate([first, second])
    squared = np.maximum(np.sum(both**2, axis=1)[:, None] + np.sum(both**2, axis=1)[None, :] - 2 * both @ both.T, 0)
    median = float(np.median(squared[np.triu_indices(len(both), 1)]))
    if median <= 0:
        return Distance(0.0, 1.0)
    kernel = np.exp(-squared / median)
    np.fill_diagonal(kernel, 0)
    marks = np.zeros((len(both), PERMUTATIONS + 1))
    marks[: len(first), 0] = 1
    for column in range(1, PERMUTATIONS + 1):
        marks[generator.permutation(len(both))[: len(first)], column] = 1
    values = _discrepancies(kernel, marks, len(first), len(second))
    return Distance(float(values[0]), float(np.mean(values >= values[0])))


def _drawn(vectors: Floats, generator: np.random.Generator) -> Floats:
    if len(vectors) <= VECTORS_MAX:
        return vectors
    return vectors[generator.choice(len(vectors), VECTORS_MAX, replace=False)]


def _discrepancies(kernel: Floats, marks: Floats, n: int, m: int) -> Floats:
    """The statistic for each way to say which rows are the first sample: marks hold 1 for those that are."""
    others = 1 - marks
    to_first, to_second = kernel @ marks, kernel @ others
    within_first = np.sum(marks * to_first, axis=0) / (n * (n - 1))
    within_second = np.sum(others * to_second, axis=0) / (m * (m - 1))
    across = np.sum(marks * to_second, axis=0) / (n * m)
    return cast("Floats", within_first + within_second - 2 * across)
