"""A forecast follows the procedure's own rules."""

import pytest

from rs_core.certify.decision import certify
from rs_core.certify.forecast import averaged, forecast, typical
from rs_core.certify.procedure import Procedure
from rs_core.fields import Sampling


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
    samples, acr = averaged(procedure, (0.7, 0.9, 0.9), (True, True, False))
    assert samples == sum(row.samples for row in rows) / 3
    assert acr == pytest.approx((rows[0].radius + rows[1].radius) / 3)
