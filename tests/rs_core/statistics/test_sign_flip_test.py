"""The exact sign-flip test: its p-values are those of all signs, counted, and those of McNemar where that applies."""

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from radii.rs_core.statistics.sign_flip_test import sign_flip_p_value

SMALL = st.lists(st.integers(-75, 75), min_size=1, max_size=40)


def counted(differences: list[int]) -> Fraction:
    """Over all signs, in whole numbers."""
    law = {0: 1}
    for size in differences:
        longer: dict[int, int] = {}
        for total, ways in law.items():
            for signed in (total + size, total - size):
                longer[signed] = longer.get(signed, 0) + ways
        law = longer
    reached = abs(sum(differences))
    return Fraction(sum(ways for total, ways in law.items() if abs(total) >= reached), 2 ** len(differences))


def p_of(differences: list[int]) -> float:
    return sign_flip_p_value(np.array(differences, dtype=np.int64))


def test_three_photographs_by_hand() -> None:
    # +-3 +-2 +-1: of eight sums 6, 4, 2, 0, 0, -2, -4, -6 those at least 4 from 0 are four.
    assert p_of([3, 2, -1]) == pytest.approx(4 / 8)
    assert p_of([3, 2, 1]) == pytest.approx(2 / 8)


def test_the_signs_of_a_few_photographs_are_all_tried() -> None:
    differences = [7, -3, 12, 0, 5, -1, 9]
    reached = abs(sum(differences))
    sums = [
        sum(sign * size for sign, size in zip(signs, differences, strict=True)) for signs in product((1, -1), repeat=7)
    ]
    assert p_of(differences) == pytest.approx(sum(abs(total) >= reached for total in sums) / 2**7, rel=1e-12)


@settings(deadline=None)
@given(SMALL)
def test_it_is_exact_whatever_the_differences(differences: list[int]) -> None:
    assert p_of(differences) == pytest.approx(float(counted(differences)), rel=1e-10)


@settings(deadline=None)
@given(st.integers(0, 200), st.integers(0, 200))
def test_with_one_image_of_each_photograph_it_is_the_test_of_mcnemar(ours: int, theirs: int) -> None:
    wanted = binomtest(ours, ours + theirs).pvalue if ours + theirs else 1.0
    assert p_of([1] * ours + [-1] * theirs) == pytest.approx(wanted, rel=1e-10)


@settings(deadline=None)
@given(SMALL, st.integers(2, 9))
def test_neither_sign_nor_scale_nor_order_matters(differences: list[int], factor: int) -> None:
    p = p_of(differences)
    assert p == pytest.approx(p_of([-factor * size for size in sorted(differences)]), rel=1e-10)
    assert 0 < p <= 1


def test_a_tail_is_as_exact_as_the_middle() -> None:
    """Thousands of photographs, p far below the smallest error of a plain Fourier transform."""
    differences = [*np.random.default_rng(0).integers(-5, 30, 900)]
    wanted = counted([int(size) for size in differences])
    assert float(wanted) < 1e-150
    assert p_of(differences) == pytest.approx(float(wanted), rel=1e-9)


def test_of_many_photographs_it_is_close_to_the_normal_law() -> None:
    """10,000 photographs of 75 images, in a few milliseconds: p to within a hundredth of the normal law's with a continuity
    correction of half a step."""
    differences = np.random.default_rng(5).integers(-75, 76, 10_000)
    spread = math.sqrt(float((differences.astype(float) ** 2).sum()))
    wanted = 2 * norm.sf((abs(int(differences.sum())) - 1) / spread)
    assert sign_flip_p_value(differences) == pytest.approx(float(wanted), rel=0.01)


def test_no_difference_has_p_1() -> None:
    assert p_of([0, 0]) == p_of([3, -3]) == p_of([]) == 1.0
