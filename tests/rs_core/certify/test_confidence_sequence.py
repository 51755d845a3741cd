"""The bounds hold at every moment: their error over all looks is computed, not sampled."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import beta, ndtri

from radii.rs_core.certify.bounds import lower_bound as clopper_pearson
from radii.rs_core.certify.confidence_sequence import Thresholds, log_evidence, lower_bound, probability

N = 300


def ever(crossed: NDArray[np.bool_], p: float) -> float:
    """Probability that a walk of N trials with success probability p is ever where ``crossed[trials, successes]``."""
    alive, hit = np.array([1.0]), 0.0
    for n in range(1, len(crossed)):
        alive = np.concatenate([alive * (1 - p), [0.0]]) + np.concatenate([[0.0], alive * p])
        now = crossed[n, : n + 1]
        hit += alive[now].sum()
        alive = np.where(now, 0.0, alive)
    return float(hit)


@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.3])
def test_the_lower_bound_ever_exceeds_p_with_probability_at_most_alpha(alpha: float) -> None:
    bounds = np.zeros((N + 1, N + 1))
    for n in range(1, N + 1):
        bounds[n, : n + 1] = [lower_bound(k, n, alpha) for k in range(n + 1)]
    errors = [ever(bounds > p, p) for p in (0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.999)]
    assert max(errors) <= alpha
    assert max(errors) > alpha / 20, "and is no looser than it has to be by much"


@pytest.mark.parametrize("alpha", [0.001, 0.05])
@pytest.mark.parametrize("p", [0.5, 0.8, 0.9])
def test_a_value_that_is_the_truth_is_ever_exceeded_or_undercut_with_probability_at_most_alpha(
    alpha: float, p: float
) -> None:
    thresholds = Thresholds(p, np.arange(1, N + 1), alpha)
    above, below = np.zeros((2, N + 1, N + 1), dtype=bool)
    for t, n in enumerate(range(1, N + 1)):
        settled = [int(thresholds.settled([k], [t])[0, 0]) for k in range(n + 1)]
        above[n, : n + 1], below[n, : n + 1] = np.array(settled) == 1, np.array(settled) == -1
    assert 0 < ever(above, p) <= alpha
    assert 0 < ever(below, p) <= alpha


@pytest.mark.parametrize(("k", "n"), [(1, 1), (7, 10), (999, 1_000), (90_000, 100_000), (100_000, 100_000), (1, 5_000)])
def test_at_the_bound_the_bet_has_just_won_one_over_alpha(k: int, n: int) -> None:
    p = lower_bound(k, n, 0.001)
    assert 0 < p < k / n
    assert log_evidence(k, n, p) == pytest.approx(np.log(1_000), rel=1e-6)


def test_the_mixture_is_the_mean_fortune_of_all_bets_under_jeffreys_prior() -> None:
    grid = (np.arange(20_000) + 0.5) / 20_000
    angle = np.sin(np.pi * grid / 2) ** 2  # Beta(1/2, 1/2) by its quantiles
    for k, n in ((3, 5), (0, 4), (18, 20)):
        mean = np.mean(angle**k * (1 - angle) ** (n - k))
        assert np.exp(log_evidence(k, n, 0.5)) == pytest.approx(mean * 2.0**n, rel=1e-4)
        assert mean == pytest.approx(beta(k + 0.5, n - k + 0.5) / np.pi, rel=1e-4)


def test_nothing_is_known_without_a_success() -> None:
    assert lower_bound(0, 0, 0.001) == lower_bound(0, 10, 0.001) == 0.0
    with pytest.raises(ValueError, match="k = 3 and n = 2"):
        lower_bound(3, 2, 0.001)


def test_it_is_below_the_bound_for_one_look_by_less_than_a_tenth_of_the_distance_to_certainty() -> None:
    for k, n in ((900, 1_000), (99_000, 100_000), (100_000, 100_000)):
        one, every = clopper_pearson(k, n, 0.001), lower_bound(k, n, 0.001)
        assert every < one
        assert ndtri(one) - ndtri(every) < 0.1 * ndtri(one)


@pytest.mark.parametrize("p", [0.5, 0.841, 0.977])
def test_thresholds_are_the_counts_at_which_the_bound_passes_the_value(p: float) -> None:
    looks = np.array([1, 10, 100, 1_000, 10_000])
    thresholds = Thresholds([p], looks, 0.001)
    for t, n in enumerate(looks.tolist()):
        accept, reject = int(thresholds.accept[0, t]), int(thresholds.reject[0, t])
        if accept <= n:
            assert lower_bound(accept, n, 0.001) >= p > lower_bound(accept - 1, n, 0.001)
        else:
            assert lower_bound(n, n, 0.001) < p
        if reject >= 0:  # successes and failures exchanged, it is the same bound
            assert lower_bound(n - reject, n, 0.001) >= 1 - p > lower_bound(n - reject - 1, n, 0.001)
        else:
            assert lower_bound(n, n, 0.001) < 1 - p


def test_many_values_and_inputs_are_settled_at_once() -> None:
    thresholds = Thresholds(probability([0.0, 0.25, 0.5], 0.25), [100, 1_000], 0.001)
    settled = thresholds.settled([100, 10, 900, 880], [0, 0, 1, 1])
    assert settled.tolist() == [[1, -1, 1, 1], [1, -1, 1, 0], [0, -1, -1, -1]]


def test_a_radius_is_certified_from_its_probability_on() -> None:
    assert probability([0.0, 0.5, 1.0], 0.5) == pytest.approx([0.5, 0.8413447, 0.9772499])
