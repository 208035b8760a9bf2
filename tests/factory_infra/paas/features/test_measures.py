"""Measures against answers that are known: scipy's, arithmetic's, and how often they find drift where there is none."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from factory_infra.paas.features.measures import (
    categories,
    histograms,
    kolmogorov_smirnov,
    mean_discrepancy,
    population_stability,
    shares_differ,
)

RNG = np.random.default_rng(7)


class TestStability:
    def test_it_is_both_divergences_of_scipy_together(self) -> None:
        before, now = [30, 50, 20, 100], [60, 10, 90, 40]
        p, q = (np.asarray(each) + 0.5 for each in (before, now))
        known = stats.entropy(q, p) + stats.entropy(p, q)
        assert population_stability(before, now, 0.01).psi == pytest.approx(known, rel=1e-12)

    def test_the_known_answer_of_two_bins(self) -> None:
        # (0.75 - 0.5) ln(0.75 / 0.5) + (0.25 - 0.5) ln(0.25 / 0.5), with so many rows that smoothing is nothing
        known = 0.25 * math.log(1.5) - 0.25 * math.log(0.5)
        assert population_stability([10**9, 10**9], [15 * 10**8, 5 * 10**8], 0.01).psi == pytest.approx(known, rel=1e-6)

    def test_equal_is_nought_and_an_empty_bin_is_finite(self) -> None:
        assert population_stability([5, 5], [50, 50], 0.01).psi == pytest.approx(0, abs=1e-9)
        assert math.isfinite(population_stability([100, 0], [0, 100], 0.01).psi)

    @pytest.mark.parametrize(("n", "m"), [(200, 200), (1000, 100)])
    def test_its_noise_is_what_accident_exceeds_as_rarely_as_said(self, n: int, m: int) -> None:
        over = 0
        for _ in range(400):
            found = population_stability(*histograms(RNG.normal(size=n), RNG.normal(size=m)), 0.05)
            over += found.psi > found.noise
        assert over / 400 < 0.1  # of 0.05, where the approximation is a little low for bins that the sample itself chose


class TestBins:
    def test_they_hold_equal_shares_of_the_past(self) -> None:
        before = RNG.normal(size=1000)
        first, second = histograms(before, before)
        assert first == second
        assert sum(first) == 1000
        assert max(first) - min(first) <= 2

    @pytest.mark.parametrize("now", [3.0, 5.0, 4.5])
    def test_a_constant_that_changes_is_seen(self, now: float) -> None:
        first, second = histograms(np.full(100, 4.0), np.full(100, now))
        assert population_stability(first, second, 0.001).psi > 1

    def test_counts_have_bins_of_their_own(self) -> None:
        first, second = histograms(np.repeat([0.0, 1.0, 2.0], 100), np.repeat([0.0, 1.0, 2.0], [100, 190, 10]))
        assert [each for each in first if each] == [100, 100, 100]
        assert [each for each in second if each] == [100, 190, 10]

    def test_new_words_and_rare_ones_are_counted(self) -> None:
        assert categories(["a"] * 3 + ["b"], ["a", "c", "c"]) == ([3, 1, 0], [1, 0, 2])
        before = [str(number) for number in range(60)]
        first, second = categories(before, before, most=10)
        assert first == second
        assert sum(first) == 60


class TestDistances:
    def test_kolmogorov_smirnov_is_scipys_and_the_definitions(self) -> None:
        before, now = RNG.normal(size=300), RNG.normal(0.4, size=200)
        found = kolmogorov_smirnov(before, now)
        at = np.concatenate([before, now])
        by_hand = max(abs(np.mean(before <= x) - np.mean(now <= x)) for x in at)
        assert found.value == pytest.approx(by_hand, abs=1e-12)
        assert found.p == pytest.approx(stats.ks_2samp(before, now, method="exact").pvalue, rel=0.2, abs=1e-3)

    def test_apart_is_one_and_equal_is_nought(self) -> None:
        assert kolmogorov_smirnov(np.arange(50.0), np.arange(50.0) + 100).value == 1
        assert kolmogorov_smirnov(np.arange(50.0), np.arange(50.0)).value == 0

    def test_a_uniform_that_moves_by_a_tenth_is_a_tenth_away(self) -> None:
        grid = np.linspace(0, 1, 2001)
        assert kolmogorov_smirnov(grid, grid + 0.1).value == pytest.approx(0.1, abs=1e-3)

    def test_shares_are_scipys_chi_square_without_correction(self) -> None:
        table = [[30, 170], [60, 140]]
        known = stats.chi2_contingency(table, correction=False).pvalue
        assert shares_differ(30, 200, 60, 200) == pytest.approx(known, rel=1e-9)
        assert shares_differ(0, 50, 0, 70) == 1


class TestVectors:
    def test_the_discrepancy_is_the_sum_of_the_definition(self) -> None:
        before, now = RNG.normal(size=(12, 3)), RNG.normal(0.5, size=(9, 3))
        both = np.concatenate([before, now])
        squared = [float(np.sum((a - b) ** 2)) for a, b in itertools.combinations(both, 2)]
        scale = float(np.median(squared))

        def kernel(a: np.ndarray, b: np.ndarray) -> float:
            return math.exp(-float(np.sum((a - b) ** 2)) / scale)

        known = (
            np.mean([kernel(a, b) for a, b in itertools.permutations(before, 2)])
            + np.mean([kernel(a, b) for a, b in itertools.permutations(now, 2)])
            - 2 * np.mean([kernel(a, b) for a in before for b in now])
        )
        assert mean_discrepancy(before, now).value == pytest.approx(float(known), rel=1e-9)

    def test_another_place_is_found_and_the_same_is_not(self) -> None:
        before = RNG.normal(size=(200, 16))
        assert mean_discrepancy(before, RNG.normal(0.4, size=(200, 16))).p <= 0.001
        alike = [mean_discrepancy(before, RNG.normal(size=(200, 16)), seed).p for seed in range(5)]
        assert sum(p < 0.05 for p in alike) <= 2

    def test_vectors_that_are_all_alike_are_nothing_apart(self) -> None:
        assert mean_discrepancy(np.ones((30, 2)), np.ones((30, 2))) == (0, 1)
