"""The interval of a difference of ACR covers the true difference as often as it says, on a law like that of real runs."""

import numpy as np
from scipy.stats import binom
from tests_support.runs import run

from radii.rs_core.statistics.paired_tests import acr_difference

RUNS, INPUTS = 400, 200
MEAN = 0.8 * 0.05 + 0.2 * 0.1
"""Of the difference below: a paired gain on four fifths of the inputs, and a fifth that only one run certifies."""


def test_the_paired_bootstrap_interval_misses_the_true_difference_in_about_a_twentieth_of_runs() -> None:
    """Differences of radius x correct: exponential with mean 0.05 on four inputs of five, on the others a radius between 0
    and 0.2 that the baseline has not; radii of the two runs vary far more than their difference. Of 400 data sets of 200
    inputs, Binomial(400, p) miss the mean. For so skewed a law and 200 inputs p lies between 0.04 and 0.07; the limits are
    these laws' 1e-6 quantiles, so that a sound interval raises a false alarm with probability below 2e-6.
    """
    rng = np.random.default_rng(2024)
    misses = 0
    for seed in range(RUNS):
        common = rng.uniform(0.1, 2.0, INPUTS)
        alone = rng.random(INPUTS) < 0.2
        gain = np.where(alone, rng.uniform(0.0, 0.2, INPUTS), rng.exponential(0.05, INPUTS))
        ours = np.where(alone, gain, common + gain)
        theirs = [None if only else float(radius) for only, radius in zip(alone, common, strict=True)]
        found = acr_difference(run("a", [*ours]).rows, run("b", theirs).rows, resamples=1_000, seed=seed)
        assert found.low is not None and found.high is not None
        misses += not found.low <= MEAN <= found.high
    assert binom.ppf(1e-6, RUNS, 0.04) <= misses <= binom.ppf(1 - 1e-6, RUNS, 0.07)
