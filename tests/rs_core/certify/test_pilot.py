"""The pilot decides what is paid, never what is claimed."""

import numpy as np
import pytest
from scipy.stats import binom

from radii.rs_core.certify.bounds import lower_bound
from radii.rs_core.certify.pilot import Pilot

PILOT = Pilot(n=100_000, alpha=0.001)


def test_an_input_that_loses_no_vote_gets_all_samples() -> None:
    assert PILOT.size([3_000, 0]) == 100_000


def test_an_input_that_cannot_be_certified_gets_none() -> None:
    assert PILOT.size([40, 35, 25]) == 0
    assert PILOT.size([1_200, 1_000, 800]) == 0


def test_a_bound_of_two_classes_makes_inputs_worth_samples_that_one_bound_cannot_certify() -> None:
    """(.35, the others .08 and below) certifies nothing by p_A > 1/2 alone; (.6, .2) is worth more than its one bound."""
    both = Pilot(n=100_000, alpha=0.001, bound="two_class")
    spread = [1_050, *[215] * 9]
    assert (PILOT.size(spread), both.size(spread) > 3_000) == (0, True)
    close = [1_800, 600, *[75] * 8]
    assert both.size(close) > PILOT.size(close)
    assert both.size([1_010, 990, *[125] * 8]) == 0, "two classes that are as likely"
    assert both.size([3_000, 0]) == 100_000


def test_the_less_certain_the_class_the_fewer_samples_it_is_worth() -> None:
    sizes = [PILOT.size([k, 3_000 - k]) for k in (3_000, 2_990, 2_900, 2_500, 2_000)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < 30_000


def test_the_pilot_goes_on_where_much_is_at_stake_and_ends_where_little_is() -> None:
    assert PILOT.longer([0, 0]) == PILOT.stages[0]
    assert PILOT.longer([100, 0]) == PILOT.stages[1] - PILOT.stages[0]
    assert PILOT.longer([500, 0]) == PILOT.stages[2] - PILOT.stages[1]
    assert PILOT.longer([3_000, 0]) == 0
    assert PILOT.longer([34, 33, 33]) == 0


@pytest.mark.parametrize("n", [1, 10, 137, 5_000])
def test_no_size_is_above_n_and_n_is_among_them(n: int) -> None:
    assert max(Pilot(n=n, alpha=0.001).sizes) == n
    assert min(Pilot(n=n, alpha=0.001).sizes) >= 1


@pytest.mark.parametrize("p", [0.5, 0.7, 0.9, 0.99])
def test_the_bound_on_fresh_samples_covers_p_with_probability_at_least_one_minus_alpha(p: float) -> None:
    """Summed over every outcome of the pilot and of the samples whose number it chose; two classes, p of the first."""
    alpha, stage = 0.05, 40
    pilot = Pilot(n=600, alpha=alpha)
    error, chance = 0.0, binom.pmf(np.arange(stage + 1), stage, p)
    for k in range(stage + 1):
        size = pilot.size([k, stage - k])
        truth = p if 2 * k >= stage else 1 - p  # of the class that the pilot has selected
        if size:
            votes = np.arange(size + 1)
            bounds = np.array([lower_bound(v, size, alpha) for v in votes.tolist()])
            error += chance[k] * binom.pmf(votes, size, truth)[bounds > truth].sum()
    assert error <= alpha
