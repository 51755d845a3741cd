"""The confidence bounds are exact: their coverage is summed, not sampled."""

import itertools

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from radii.rs_core.certify.bounds import interval, lower_bound, lower_bounds, max_radius, radius


@pytest.mark.parametrize("n", [1, 2, 10, 57, 400])
@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.5])
def test_bound_covers_p_with_probability_at_least_one_minus_alpha(n: int, alpha: float) -> None:
    bounds = np.array([lower_bound(k, n, alpha) for k in range(n + 1)])
    for p in np.linspace(0.005, 0.995, 199):
        miss = binom.pmf(np.arange(n + 1), n, p)[bounds > p].sum()
        assert miss <= alpha * (1 + 1e-9), f"p = {p}"


def test_bound_is_tight_where_a_count_exactly_reaches_it() -> None:
    n, alpha, k = 200, 0.01, 173
    p = lower_bound(k, n, alpha)
    assert binom.sf(k - 1, n, p) == pytest.approx(alpha, rel=1e-9)


@pytest.mark.parametrize(
    ("k", "n"), [(1, 10), (5, 10), (9, 10), (10, 10), (99_990, 100_000), (50_489, 100_000), (0, 7)]
)
def test_bounds_equal_scipys_exact_interval(k: int, n: int) -> None:
    exact = binomtest(k, n, alternative="greater").proportion_ci(0.999, method="exact")
    assert lower_bound(k, n, 0.001) == pytest.approx(exact.low, rel=1e-9, abs=1e-15)
    both = binomtest(k, n).proportion_ci(0.95, method="exact")
    assert interval(k, n) == pytest.approx((both.low, both.high), rel=1e-9, abs=1e-15)


def test_bound_is_alpha_to_the_one_over_n_when_all_agree_and_zero_when_none_do() -> None:
    assert lower_bound(100_000, 100_000, 0.001) == pytest.approx(0.001 ** (1 / 100_000), rel=1e-15)
    assert lower_bound(0, 100_000, 0.001) == 0.0


def test_many_bounds_at_once_are_those_of_each() -> None:
    pairs = [(0, 7), (1, 10), (9, 10), (10, 10), (50_489, 100_000), (100_000, 100_000)]
    found = lower_bounds(*zip(*pairs, strict=True), 0.001)
    assert found == pytest.approx([lower_bound(k, n, 0.001) for k, n in pairs], rel=1e-12)
    assert lower_bound(8, 10, 0.001) < float(lower_bounds(8.5, 10, 0.001)) < lower_bound(9, 10, 0.001)


def test_bound_grows_with_the_count() -> None:
    bounds = [lower_bound(k, 1_000, 0.001) for k in range(1_001)]
    assert all(low < high for low, high in itertools.pairwise(bounds))


@pytest.mark.parametrize(("n", "factor"), [(100_000, 3.8115), (10_000, 3.199)])
def test_cap_is_the_published_multiple_of_sigma(n: int, factor: float) -> None:
    for sigma in (0.12, 0.25, 0.5, 1.0):
        assert max_radius(n, 0.001, sigma) == pytest.approx(factor * sigma, abs=6e-4 * sigma)


def test_radius_is_zero_at_one_half() -> None:
    assert radius(0.5, 0.25) == 0.0


@pytest.mark.parametrize(("k", "n"), [(-1, 10), (11, 10), (0, 0)])
def test_impossible_counts_are_refused(k: int, n: int) -> None:
    with pytest.raises(ValueError, match=f"k = {k} and n = {n}"):
        lower_bound(k, n, 0.001)
