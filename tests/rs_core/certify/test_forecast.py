"""A forecast follows the procedure's own rules."""

import numpy as np
import pytest

from radii.rs_core.certify.certificates import certify
from radii.rs_core.certify.forecast import LikelyProbabilities, averaged, forecast, typical
from radii.rs_core.certify.procedure import Procedure
from radii.rs_core.specs.fields import Sampling


def test_a_fixed_n_certifies_what_the_expected_votes_do() -> None:
    row = typical(Procedure(sigma=0.5), 0.9)
    assert row.samples == 100_100
    assert row.radius == certify((90, 10), (90_000, 10_000), sigma=0.5, alpha=0.001)[1]
    assert typical(Procedure(sigma=0.5), 0.4).radius == 0.0


def test_a_pilot_draws_least_where_little_is_to_be_won_and_all_where_much_is() -> None:
    fixed, pilot = (forecast(Procedure(sigma=0.5, sampling=sampling)) for sampling in ("fixed", "pilot"))
    assert [row.p for row in pilot] == [0.6, 0.8, 0.9, 0.99, 0.999, 1.0]
    assert pilot[0].samples < pilot[3].samples < pilot[-1].samples == 103_000
    assert all(0.9 * one.radius <= other.radius <= one.radius for one, other in zip(fixed[1:], pilot[1:], strict=True))


def test_at_radii_ends_early_away_from_its_radii_and_late_at_one_of_them() -> None:
    procedure = Procedure(sigma=0.5, sampling="at_radii", radii=(0.5,))
    far, near = typical(procedure, 0.99), typical(procedure, 0.8413)
    assert far.samples < 500
    assert near.samples == 100_100
    assert far.radius >= 0.5


@pytest.mark.parametrize("sampling", ["fixed", "pilot", "anytime"])
def test_an_average_is_that_of_its_rows(sampling: Sampling) -> None:
    procedure = Procedure(sigma=0.5, n=5_000, sampling=sampling)
    rows = [typical(procedure, p) for p in (0.7, 0.9, 0.9)]
    seen = [(LikelyProbabilities(first=p, second=(1 - p) / 9),) for p in (0.7, 0.9, 0.9)]
    samples, acr = averaged(procedure, seen, (True, True, False))
    assert samples == sum(row.samples for row in rows) / 3
    assert acr == pytest.approx((rows[0].radius + rows[1].radius) / 3, rel=0.01)


def test_a_close_second_class_is_seen_by_a_bound_of_two_classes() -> None:
    procedure = Procedure(sigma=0.5, bound="two_class")
    spread, close = typical(procedure, 0.6), typical(procedure, 0.6, 0.35)
    assert close.radius < spread.radius / 2


def test_votes_leave_open_what_they_cannot_tell() -> None:
    """All of 500 agree for an input of p = 0.999 more often than not, which does not make it one of p = 1."""
    low, middle, high = (seen.first for seen in LikelyProbabilities.likely((500, 0), 0))
    assert 0.995 < low < 0.999 < middle < high < 1.0
    assert all(abs(seen.first - 0.7) < 0.01 for seen in LikelyProbabilities.likely((7_000, 2_000, 1_000), 0))
    assert all(abs(seen.second - 0.2) < 0.01 for seen in LikelyProbabilities.likely((7_000, 2_000, 1_000), 0))


def test_what_is_expected_from_few_votes_is_what_comes_of_many() -> None:
    """Inputs whose p is spread as those of a classifier are, seen by 500 votes each: their forecast ACR is that of their own
    p to 5 %. Taken for p themselves, shares of votes would promise more: certainty of 500 is the cap of 100,000."""
    generator = np.random.default_rng(0)
    truths = 1 - 10 ** generator.uniform(-5, -0.5, 300)
    votes = generator.binomial(500, truths)
    procedure = Procedure(sigma=0.5)
    truth = float(np.mean([typical(procedure, float(p)).radius for p in truths]))
    seen = [LikelyProbabilities.likely((int(k), 500 - int(k)), 0) for k in votes]
    shares = [(LikelyProbabilities(first=int(k) / 500, second=0.0),) for k in votes]
    right = [True] * len(votes)
    assert averaged(procedure, seen, right)[1] == pytest.approx(truth, rel=0.05)
    assert averaged(procedure, shares, right)[1] > 1.05 * truth
