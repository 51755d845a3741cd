"""Sums over rows: they add up, and the default grids are the papers'."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radii.rs_core.certify.bounds import lower_bound, max_radius, radius
from radii.rs_core.errors import InvalidSpec
from radii.rs_core.records import ABSTAIN, Certificate
from radii.rs_core.results.aggregate import curve, default_radii, grid_counts, radii_up_to, row_sums


def certificate(
    index: int, *, label: int = 0, prediction: int = 0, radius: float = 0.5, votes: int | None = 90
) -> Certificate:
    counts = () if votes is None else (votes, 100 - votes)
    return Certificate(
        index=index,
        label=label,
        prediction=prediction,
        radius=radius,
        p_lower=0.9,
        counts0=(),
        counts=counts,
        n0=10,
        n=100,
        sigma=0.25,
        alpha=0.001,
        seed=7,
    )


ROWS = [
    certificate(0, radius=0.25),
    certificate(1, radius=0.3, votes=100),
    certificate(2, radius=0.9, label=1),
    certificate(3, radius=0.0, prediction=ABSTAIN),
    certificate(4, radius=0.0),
]


def test_only_correct_inputs_count_and_a_radius_equal_to_the_grid_s_does() -> None:
    assert grid_counts(ROWS, (0.0, 0.25, math.nextafter(0.25, 1), 0.3, 0.31)) == (3, 2, 1, 1, 0)


def test_row_sums_hold_what_a_status_poll_needs() -> None:
    found = row_sums(ROWS, (0.25, 0.0))
    assert (found.radii, found.counts) == ((0.0, 0.25), (3, 2))
    assert (found.evaluated, found.correct, found.abstained, found.at_cap, found.errors) == (5, 3, 1, 1, 0)
    assert found.radius_sum == pytest.approx(0.55)


@pytest.mark.parametrize("cut", range(6))
def test_row_sums_of_disjoint_rows_add_up_to_those_of_all(cut: int) -> None:
    parts, whole = row_sums(ROWS[:cut], (0.0, 0.25)) + row_sums(ROWS[cut:], (0.0, 0.25)), row_sums(ROWS, (0.0, 0.25))
    assert parts.radius_sum == pytest.approx(whole.radius_sum, abs=1e-12)
    assert (parts.counts, parts.abstained, parts.at_cap) == (whole.counts, whole.abstained, whole.at_cap)


def test_row_sums_on_different_grids_do_not_add_up() -> None:
    with pytest.raises(ValueError, match="one grid"):
        row_sums(ROWS, (0.0,)) + row_sums(ROWS, (0.5,))


def test_the_cap_is_found_by_votes_else_by_the_given_radius_else_not_at_all() -> None:
    unknown = [certificate(0, radius=0.953, votes=None), certificate(1, radius=0.94, votes=None)]
    assert row_sums(unknown, ()).at_cap is None
    assert row_sums(unknown, (), cap=0.95287).at_cap == 1
    assert row_sums([*unknown, certificate(2, radius=0.0, prediction=ABSTAIN, votes=None)], (), cap=0.95287).at_cap == 1
    assert row_sums([certificate(0, radius=0.953)], (), cap=0.95287).at_cap == 0


@pytest.mark.parametrize("n", [100, 10_000, 100_000, 100_000_000])
@pytest.mark.parametrize("alpha", [0.1, 0.001, 1e-6])
def test_one_dissenting_vote_is_told_from_the_cap_even_in_three_digits(n: int, alpha: float) -> None:
    cap, below = max_radius(n, alpha, 0.25), radius(lower_bound(n - 1, n, alpha), 0.25)
    rows = [certificate(0, radius=float(f"{cap:.3}"), votes=None), certificate(1, radius=below, votes=None)]
    assert row_sums(rows, (), cap=cap).at_cap == 1


def test_missing_inputs_are_not_certified_but_the_interval_leaves_them_open() -> None:
    (complete,), (partial,) = curve(row_sums(ROWS, (0.25,)), 5), curve(row_sums(ROWS, (0.25,)), 8)
    assert (complete.certified_accuracy, partial.certified_accuracy) == (0.4, 0.25)
    assert partial.low < 2 / 8 and partial.high > 5 / 8


@pytest.mark.parametrize("radii", [(-0.1,), (math.nan,), (0.0, math.inf)])
def test_radii_that_are_none_are_refused(radii: tuple[float, ...]) -> None:
    with pytest.raises(InvalidSpec, match="finite and at least 0"):
        row_sums(ROWS, radii)


@pytest.mark.parametrize(
    ("sigma", "radii"),
    [
        (0.12, tuple(k / 20 for k in range(10))),
        (0.25, (0.0, 0.25, 0.5, 0.75)),
        (0.5, tuple(k / 4 for k in range(8))),
        (1.0, tuple(k / 4 for k in range(16))),
        (2.0, tuple(float(k) for k in range(8))),
    ],
)
def test_the_default_radii_are_those_of_the_papers(sigma: float, radii: tuple[float, ...]) -> None:
    assert default_radii(sigma, 100_000, 0.001) == radii


@given(st.floats(min_value=1e-6, max_value=1e6))
def test_default_radii_are_few_evenly_spaced_and_up_to_the_limit(limit: float) -> None:
    radii = radii_up_to(limit)
    step = radii[1]
    assert 4 <= len(radii) <= 16
    assert radii[0] == 0 and radii[-1] <= limit < radii[-1] + step * (1 + 1e-12)
    assert all(b - a == pytest.approx(step) for a, b in pairwise(radii))


def test_where_nothing_can_be_certified_the_only_radius_is_zero() -> None:
    assert default_radii(0.25, 1, 0.001) == (0.0,)
    assert radii_up_to(0.0) == (0.0,)
